"""A recovery key comes back from paper, or the message says which group to look at."""

import json
import random
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.crypto.keys import RootSeed
from hyperfs.crypto.recovery import card_svg, card_text, from_text, terminal_qr, to_text
from hyperfs.errors import BadRecoveryKey

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "recovery.json").read_text())
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
ROOT = RootSeed(bytes(range(100, 132)))
TEXT = to_text(ROOT)

seeds = st.binary(min_size=32, max_size=32)


@pytest.mark.parametrize("case", VECTORS["keys"], ids=lambda case: case["seed"][:8])
def test_golden_texts(case: dict[str, str]) -> None:
    root = RootSeed(bytes.fromhex(case["seed"]))
    assert to_text(root) == case["text"]
    assert from_text(case["text"]) == root


@given(seeds)
def test_a_seed_comes_back_from_its_text(seed: bytes) -> None:
    text = to_text(RootSeed(seed))
    assert [len(group) for group in text.split("-")] == [5] * 14
    assert from_text(text).seed == seed


@given(seeds, st.randoms(use_true_random=False))
def test_reading_forgives_case_separators_and_look_alikes(seed: bytes, choice: random.Random) -> None:
    text = to_text(RootSeed(seed))
    alike = {"0": "0Oo", "1": "1IiLl", "-": ["-", " ", "", "\n", " - ", "\u2013", "."]}
    written = "".join(choice.choice(alike.get(symbol, [symbol, symbol.lower()])) for symbol in text)
    assert from_text(f"  {written}\n").seed == seed


@pytest.mark.parametrize("place", range(1, 15))
def test_any_wrong_symbol_names_its_group(place: int) -> None:
    groups = TEXT.split("-")
    for at in range(5):
        for symbol in ALPHABET.replace(groups[place - 1][at], ""):
            group = groups[place - 1][:at] + symbol + groups[place - 1][at + 1 :]
            wrong = "-".join([*groups[: place - 1], group, *groups[place:]])
            with pytest.raises(BadRecoveryKey, match=f"group {place} "):
                from_text(wrong)


@given(seeds, st.integers(0, 13), st.integers(0, 4), st.integers(0, 4))
def test_any_two_symbols_swapped_within_a_group_name_it(seed: bytes, place: int, one: int, two: int) -> None:
    groups = to_text(RootSeed(seed)).split("-")
    swapped = list(groups[place])
    swapped[one], swapped[two] = swapped[two], swapped[one]
    if swapped == list(groups[place]):
        return
    groups[place] = "".join(swapped)
    with pytest.raises(BadRecoveryKey, match=f"group {place + 1} "):
        from_text("-".join(groups))


@given(seeds, st.integers(0, 13), st.integers(0, 13))
def test_groups_out_of_their_order_are_noticed(seed: bytes, one: int, two: int) -> None:
    groups = to_text(RootSeed(seed)).split("-")
    if one == two:
        return
    groups[one], groups[two] = groups[two], groups[one]
    with pytest.raises(BadRecoveryKey, match=f"group {min(one, two) + 1} "):
        from_text("-".join(groups))


def test_groups_of_two_keys_do_not_make_a_third() -> None:
    mixed = TEXT.split("-")[:7] + to_text(RootSeed(bytes(32))).split("-")[7:]
    with pytest.raises(BadRecoveryKey, match="of one key"):
        from_text("-".join(mixed))


def test_a_group_with_a_symbol_too_few_is_named() -> None:
    groups = TEXT.split("-")
    groups[3] = groups[3][:4]
    with pytest.raises(BadRecoveryKey, match=r"group 4 .* has 4 symbols"):
        from_text("-".join(groups))
    with pytest.raises(BadRecoveryKey, match="13 groups and 65 symbols"):
        from_text("-".join(TEXT.split("-")[:13]))
    with pytest.raises(BadRecoveryKey, match="0 groups"):
        from_text("")


def test_a_symbol_of_no_recovery_key_is_named() -> None:
    with pytest.raises(BadRecoveryKey, match=r"group 1 has 'U'.*V"):
        from_text("U" + TEXT[1:])
    with pytest.raises(BadRecoveryKey, match="group 2 has '!'"):
        from_text(TEXT[:6] + "!" + TEXT[7:])
    with pytest.raises(BadRecoveryKey, match="far longer"):
        from_text("0" * 10_000)


@given(st.text(max_size=120))
def test_no_text_at_all_makes_it_stumble(text: str) -> None:
    with pytest.raises(BadRecoveryKey):
        from_text(text)


def test_the_card_can_be_copied_by_hand_and_read_back() -> None:
    card = card_text(ROOT, "My\nDrive", b"\xab" * 32, "21 November 2026")
    rows = [line for line in card.split("\n") if line[:2].strip().isdigit()]
    cells = " ".join(rows).split()
    assert cells[::2] == [str(place) for place in range(1, 15)]
    assert from_text(" ".join(cells[1::2])) == ROOT
    assert "My Drive" in card
    assert "ab" * 16 in card
    assert max(len(line) for line in card.split("\n")) <= 80


def test_the_printed_card_is_well_formed_and_shows_the_same() -> None:
    svg = card_svg(ROOT, "<Drive> & more", b"\xab" * 32, "21 November 2026")
    tree = ElementTree.fromstring(svg)
    shown = " ".join(element.text or "" for element in tree.iter("{http://www.w3.org/2000/svg}text"))
    assert all(group in shown for group in TEXT.split("-"))
    assert "<Drive> & more" in shown
    assert len(list(tree.iter("{http://www.w3.org/2000/svg}path"))) == 1


def test_the_terminal_shows_a_square_code() -> None:
    lines = terminal_qr(ROOT).strip("\n").split("\n")
    assert len(lines) > 15
    assert len({len(line) for line in lines}) == 1
