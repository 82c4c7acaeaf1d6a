"""A root comes back from enough of its shares, and what is wrong with others is said."""

import hashlib
import json
import random
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shamir_mnemonic import Share, combine_mnemonics, generate_mnemonics, shamir
from shamir_mnemonic.wordlist import WORDLIST

from hyperfs.crypto import shares
from hyperfs.crypto.keys import RootSeed
from hyperfs.errors import BadRecoveryKey

SETS = json.loads((Path(__file__).parents[1] / "vectors" / "shares.json").read_text())["sets"]
ROOT = RootSeed(bytes.fromhex(SETS[0]["seed"]))
FIVE = SETS[0]["shares"]
"""Three of them are needed; there is no passphrase."""


def combined(texts: list[str], passphrase: bytes = b"") -> shares.Combined:
    return shares.combine([shares.read(text) for text in texts], passphrase)


def told(number: int) -> Callable[[int], bytes]:
    """The random bytes of a golden set."""
    calls = iter(range(1, 1000))
    return lambda size: hashlib.shake_256(f"hyperfs test {number} {next(calls)}".encode()).digest(size)


@pytest.mark.parametrize("number", range(len(SETS)))
def test_golden_shares(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    case = SETS[number]
    root, secret = RootSeed(bytes.fromhex(case["seed"])), case["passphrase"].encode()
    monkeypatch.setattr(shamir, "RANDOM_BYTES", told(number))
    assert shares.split(root, len(case["shares"]), case["threshold"], secret) == case["shares"]
    assert combined(case["shares"][-case["threshold"] :], secret).root == root


def test_any_three_of_five_give_the_root_and_no_two_do() -> None:
    for chosen in combinations(FIVE, 3):
        assert combined(list(chosen)) == shares.Combined(ROOT, ())
    for chosen in combinations(FIVE, 2):
        with pytest.raises(BadRecoveryKey, match="3 different shares are needed, and 2 are here"):
            combined(list(chosen))
    with pytest.raises(BadRecoveryKey, match="3 different shares are needed, and 2 are here"):
        combined([FIVE[0], FIVE[1], FIVE[1]])


@settings(max_examples=20)
@given(st.binary(min_size=32, max_size=32), st.integers(2, 16), st.data())
def test_every_choice_of_numbers(seed: bytes, count: int, data: st.DataObject) -> None:
    threshold = data.draw(st.integers(2, count))
    made = shares.split(RootSeed(seed), count, threshold)
    chosen = data.draw(st.permutations(made))[: data.draw(st.integers(threshold, count))]
    assert combined(list(chosen)) == shares.Combined(RootSeed(seed), ())


@pytest.mark.parametrize(("count", "threshold"), [(1, 1), (5, 1), (3, 4), (17, 2), (0, 0)])
def test_numbers_that_make_no_sense(count: int, threshold: int) -> None:
    with pytest.raises(ValueError, match="up to 16 shares"):
        shares.split(ROOT, count, threshold)


def test_other_tools_find_the_seed_at_the_front() -> None:
    """SLIP-39's own master secret is the seed and its check."""
    assert combine_mnemonics(FIVE[:3])[:32] == ROOT.seed


def test_a_wrong_passphrase_is_told_from_another_secret() -> None:
    case = SETS[1]
    with pytest.raises(BadRecoveryKey, match="this is not the passphrase"):
        combined(case["shares"][:2], b"wrong horse")
    with pytest.raises(BadRecoveryKey, match="need the passphrase"):
        combined(case["shares"][:2])
    with pytest.raises(BadRecoveryKey, match="this is not the passphrase"):
        combined(FIVE[:3], b"there was none")


@pytest.mark.parametrize("passphrase", ["schön".encode(), b"a\nb", b"x" * 1025])
def test_passphrases_that_others_could_not_type(passphrase: bytes) -> None:
    with pytest.raises(ValueError, match="printable ASCII"):
        shares.split(ROOT, 3, 2, passphrase)


def changed(text: str) -> str:
    """What a holder could make of a share: whole by its checksum, and another one."""
    share = shares.read(text)
    value = bytes([share.value[0] ^ 1]) + share.value[1:]
    return Share(**{**vars(share), "value": value}).mnemonic()


def test_a_share_that_was_changed_is_noticed_and_with_one_more_it_is_named() -> None:
    with pytest.raises(BadRecoveryKey, match="at least one was changed"):
        combined([FIVE[0], changed(FIVE[1]), FIVE[2]])
    for place in range(4):
        texts = [changed(text) if at == place else text for at, text in enumerate(FIVE[:4])]
        assert combined(texts) == shares.Combined(ROOT, (place,))
    assert combined([FIVE[0], changed(FIVE[0]), FIVE[1], FIVE[2]]) == shares.Combined(ROOT, (1,))


def test_shares_of_two_times_do_not_go_together() -> None:
    other = shares.split(ROOT, 5, 3)
    with pytest.raises(BadRecoveryKey, match="share 3 is of another set"):
        combined([FIVE[0], FIVE[1], other[2]])


@pytest.mark.parametrize("place", range(1, 40))
def test_a_wrong_word_is_noticed(place: int) -> None:
    words = FIVE[0].split()
    other = WORDLIST[(WORDLIST.index(words[place - 1]) + 1) % len(WORDLIST)]
    with pytest.raises(BadRecoveryKey, match="all of them together are none"):
        shares.read(" ".join([*words[: place - 1], other, *words[place:]]))
    with pytest.raises(BadRecoveryKey, match=rf"word {place} \('{other}x'\) is in no share; did you mean '{other}'"):
        shares.read(" ".join([*words[: place - 1], f"{other}x", *words[place:]]))


@pytest.mark.parametrize("texts", [["academic " * 38], ["academic " * 40], [""], ["x" * 10_000]])
def test_what_has_not_the_length_of_a_share(texts: list[str]) -> None:
    with pytest.raises(BadRecoveryKey, match="39 words"):
        shares.read(texts[0])


@pytest.mark.parametrize(
    "other",
    [
        {"groups": [(1, 1), (2, 3)], "group_threshold": 2},
        {"groups": [(2, 3)], "group_threshold": 1, "iteration_exponent": 9},
    ],
)
def test_shares_that_hyperfs_never_makes(other: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shamir.cipher, "encrypt", lambda secret, *_: secret)  # which takes long with that exponent
    for group in generate_mnemonics(master_secret=bytes(40), **other):
        with pytest.raises(BadRecoveryKey, match="share of something else"):
            shares.read(group[0])


@given(st.randoms(use_true_random=False))
def test_reading_forgives_case_numbers_and_abbreviations(choice: random.Random) -> None:
    words = [choice.choice([word, word.upper(), word[:4]]) for word in FIVE[0].split()]
    numbered = [f"{number}{choice.choice(['', '.', ')', ':'])} {word}" for number, word in enumerate(words, 1)]
    choice.shuffle(numbered)
    lines = "\n".join("   ".join(numbered[at : at + 3]) for at in range(0, 39, 3))
    for text in (" ".join(words), "\n".join(words), ", ".join(words), f"Anna's, 3 of 5:\n\n{lines}\n"):
        assert shares.read(text) == shares.read(FIVE[0])


def test_the_card_is_read_as_what_it_shows() -> None:
    card = shares.card_text(FIVE[4], 5, 5, "My\n1 academic 2 acid", bytes(range(32)), "22 November 2026")
    assert shares.read(card) == shares.read(FIVE[4])
    assert "SHARE 5 OF 5" in card
    assert "3 of the 5 shares" in card
    assert max(map(len, card.splitlines())) <= 72


@pytest.mark.parametrize(("old", "new", "words"), [("12 ", "13 ", "word 12 is missing"), ("39 ", "40 ", "word 39")])
def test_a_card_with_a_number_twice_or_missing(old: str, new: str, words: str) -> None:
    card = shares.card_text(FIVE[0], 1, 5, "Photos", bytes(32), "today")
    with pytest.raises(BadRecoveryKey, match=words):
        shares.read(card.replace(f"\n{old}", f"\n{new}") if f"\n{old}" in card else card.replace(f" {old}", f" {new}"))


def test_no_secret_is_in_a_repr() -> None:
    assert ROOT.seed.hex() not in repr(combined(FIVE[:3]))
