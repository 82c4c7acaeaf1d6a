"""What differs below a prefix is what differs in the two dictionaries' parts below it, and the rest is not read."""

from hypothesis import given
from hypothesis import strategies as st
from trie_model import MemoryLog, applied, changes, contents

from hyperfs.trie import update, walk
from hyperfs.trie.below import diff_below, subtree


def part(entries: dict, prefix: bytes) -> dict:
    return {key: entry for key, entry in entries.items() if key.startswith(prefix)}


def expected(a: dict, b: dict) -> list:
    changed = [key for key in sorted({*a, *b}) if (key in a) != (key in b) or a[key][0] != b[key][0]]
    return [(key, a.get(key), b.get(key)) for key in changed]


@st.composite
def prefixes(draw: st.DrawFn, entries: dict) -> bytes:
    """Mostly the beginning of a key that is there."""
    keys = sorted(entries) or [b""]
    key = draw(st.sampled_from(keys))
    return draw(st.one_of(st.just(key[: draw(st.integers(0, len(key)))]), st.binary(max_size=3)))


@given(contents, changes, st.data())
def test_diff_below_is_the_diff_of_the_parts(entries: dict, batch: dict, data: st.DataObject) -> None:
    log = MemoryLog()
    old = log.of(entries)
    new = log.save(update(log.load, old, sorted(batch.items()), lambda ref: None))
    after = applied(entries, batch)
    prefix = data.draw(prefixes({**entries, **after}))
    assert list(diff_below(log.load, old, new, prefix)) == expected(part(entries, prefix), part(after, prefix))
    assert list(diff_below(log.load, new, old, prefix)) == expected(part(after, prefix), part(entries, prefix))


@given(contents, st.data())
def test_a_subtree_holds_all_keys_with_its_prefix(entries: dict, data: st.DataObject) -> None:
    log = MemoryLog()
    prefix = data.draw(prefixes(entries))
    below = subtree(log.load, log.of(entries), prefix)
    found = {key: (value, hint) for key, value, hint in walk(log.load, below, prefix)}
    assert found == part(entries, prefix)


def test_a_change_elsewhere_costs_two_descents() -> None:
    log = MemoryLog()
    entries = {number.to_bytes(4, "big"): (bytes(40), b"") for number in range(20_000)}
    old = log.of(entries)
    key = (19_999).to_bytes(4, "big")
    new = log.save(update(log.load, old, [(key, (b"other", b""))], lambda ref: None))
    log.loads = 0
    assert list(diff_below(log.load, old, new, (5).to_bytes(4, "big"))) == []
    assert log.loads <= 12
