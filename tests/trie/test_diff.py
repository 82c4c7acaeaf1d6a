from hypothesis import given
from hypothesis import strategies as st
from trie_model import MemoryLog, applied, changes, contents

from hyperfs.trie import diff, update


def expected(a: dict, b: dict) -> list:
    changed = [key for key in sorted({*a, *b}) if (key in a) != (key in b) or a[key][0] != b[key][0]]
    return [(key, a.get(key), b.get(key)) for key in changed]


@given(contents, changes, st.booleans())
def test_diff_is_the_difference_of_two_dicts(entries: dict, batch: dict, stored: bool) -> None:
    log = MemoryLog()
    old = log.of(entries)
    new = update(log.load, old, sorted(batch.items()), lambda ref: None)
    if stored:
        new = log.save(new)
    after = applied(entries, batch)
    assert list(diff(log.load, old, new)) == expected(entries, after)
    assert list(diff(log.load, new, old)) == expected(after, entries)


@given(contents, contents)
def test_diff_of_unrelated_roots(one: dict, two: dict) -> None:
    log = MemoryLog()
    assert list(diff(log.load, log.of(one), log.of(two))) == expected(one, two)


@given(contents)
def test_diff_of_equal_contents_loads_nothing_and_ignores_hints_and_places(entries: dict) -> None:
    log = MemoryLog()
    one = log.of(entries)
    two = log.of({key: (value, b"elsewhere") for key, (value, _) in entries.items()})
    log.loads = 0
    assert list(diff(log.load, one, two)) == []
    assert log.loads == 0


def test_diff_enters_only_what_differs() -> None:
    log = MemoryLog()
    entries = {i.to_bytes(4, "big"): (bytes(90), b"") for i in range(16**3)}
    old = log.of(entries)
    new = log.save(update(log.load, old, [((77).to_bytes(4, "big"), None)], lambda ref: None))
    log.loads = 0
    assert [key for key, _, _ in diff(log.load, old, new)] == [(77).to_bytes(4, "big")]
    assert log.loads <= 2 * 3 + 2  # a path of each; walk() resolves the two last leaves itself


def test_diff_skips_a_subtree_that_has_come_under_another_branch() -> None:
    log = MemoryLog()
    deep = {b"aa" + bytes([i]): (bytes(300), b"") for i in range(32)}
    below = log.of(deep)
    assert below is not None
    above = log.of({**deep, b"a": (b"v", b"h"), b"b": (bytes(5), b"")})
    log.loads = 0
    for old, new, back in ((below, above, False), (above, below, True)):
        added = [(b"a", (b"v", b"h")), (b"b", (bytes(5), b""))]
        assert list(diff(log.load, old, new)) == [(k, e, None) if back else (k, None, e) for k, e in added]
    assert log.loads == 10  # each time: below, above; below again, the branch of "a"; the leaf of "b"


def test_diff_of_branches_with_nothing_in_common_is_in_order() -> None:
    log = MemoryLog()
    one = {b"a" + bytes([i]): (bytes(300), b"") for i in range(32)}
    two = {b"b" + bytes([i]): (bytes(300), b"") for i in range(32)}
    for a, b in ((one, two), (two, one)):
        assert list(diff(log.load, log.of(a), log.of(b))) == expected(a, b)


def test_a_hint_alone_is_no_difference_even_in_a_leaf_that_differs() -> None:
    log = MemoryLog()
    old = log.of({b"a": (b"v", b"here"), b"b": (b"v", b"here"), b"c": (b"v", b"")})
    new = log.of({b"a": (b"v", b"there"), b"b": (b"w", b"there"), b"c": (b"v", b"")})
    assert list(diff(log.load, old, new)) == [(b"b", (b"v", b"here"), (b"w", b"there"))]


def test_a_hint_alone_is_no_difference_for_an_entry_that_ends_at_a_branch() -> None:
    log = MemoryLog()
    rest = {b"ab": (bytes(2100), b""), b"aq": (bytes(2100), b"")}
    old = log.of({b"a": (b"v", b"here"), **rest})
    new = log.of({b"a": (b"v", b"there"), **rest, b"ac": (b"new", b"")})
    assert list(diff(log.load, old, new)) == [(b"ac", None, (b"new", b""))]
