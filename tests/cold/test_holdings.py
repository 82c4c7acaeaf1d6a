"""What lies where, compared with sets of blocks."""

from hypothesis import given
from hypothesis import strategies as st

from hyperfs.cold.holdings import PROOF_NS, Held, Holdings, locate, whole_size, within, without
from hyperfs.cold.object_format import BLOCKS_MOST, Name, Run, head_bytes

NOW = 10**18
LOG = 2

runs = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), max_size=6).map(
    lambda found: tuple((first, first + count) for first, count in found)
)


def apart(found: tuple[Run, ...]) -> tuple[Run, ...]:
    return tuple(runs_of_blocks(blocks(found)))


def runs_of_blocks(found: set[int]) -> list[Run]:
    made: list[Run] = []
    for block in sorted(found):
        if made and made[-1][1] == block:
            made[-1] = made[-1][0], block + 1
        else:
            made.append((block, block + 1))
    return made


def blocks(found: tuple[Run, ...] | list[Run]) -> set[int]:
    return {block for first, end in found for block in range(first, end)}


def held_of(found: tuple[Run, ...], number: int = 0, proven_ns: int = NOW, size: int = 0) -> Held:
    """`found`: ascending and apart, not empty."""
    here = sum(end - first for first, end in found)
    name = Name(found[0][0], found[-1][1], here, f"{number:032x}", "0" * 32)
    return Held(LOG, name, size, "tag", found, proven_ns)


objects = st.lists(runs.map(apart).filter(bool), max_size=8).map(
    lambda all_runs: [held_of(found, number) for number, found in enumerate(all_runs)]
)


@given(runs, runs)
def test_without_is_a_difference_of_sets(found: tuple[Run, ...], taken: tuple[Run, ...]) -> None:
    assert blocks(list(without(apart(found), taken))) == blocks(found) - blocks(taken)


@given(runs, st.integers(0, 70), st.integers(1, 20))
def test_within_has_all_that_is_in_a_stretch(found: tuple[Run, ...], first: int, count: int) -> None:
    chosen = within(apart(found), first, first + count)
    stretch = set(range(first, first + count))
    assert blocks(list(chosen)) & stretch == blocks(found) & stretch
    assert all(blocks([run]) & stretch for run in chosen)


@given(objects, st.integers(0, 70), st.integers(1, 20), st.sets(st.integers(0, 7)))
def test_what_is_there_missing_and_proven(all_held: list[Held], first: int, count: int, old: set[int]) -> None:
    holdings = Holdings()
    for number, held in enumerate(all_held):
        held.proven_ns = NOW - PROOF_NS if number in old else NOW
        holdings.add(held)
    stretch = set(range(first, first + count))
    there = set().union(*(blocks(held.runs or ()) for held in all_held))
    proven = set().union(*(blocks(held.runs or ()) for n, held in enumerate(all_held) if n not in old))
    assert blocks(holdings.missing(LOG, first, first + count)) == stretch - there
    assert holdings.are_proven(LOG, first, first + count, NOW) == (stretch <= proven)
    proofs = holdings.proofs_of(LOG, first, first + count, NOW)
    assert bool(proofs) == (stretch <= proven)
    assert not proofs or stretch <= set().union(*(blocks(held.runs or ()) for held in proofs))
    for block in stretch:
        assert {h.name for h in holdings.having(LOG, block)} == {
            h.name for h in all_held if block in blocks(h.runs or ())
        }


@given(objects, st.sets(st.integers(0, 7)))
def test_what_is_removed_is_gone(all_held: list[Held], gone: set[int]) -> None:
    holdings = Holdings()
    for held in all_held:
        holdings.add(held)
    for number, held in enumerate(all_held):
        if number in gone:
            holdings.remove(held)
    left = [held for number, held in enumerate(all_held) if number not in gone]
    assert {held.name for held in holdings} == {held.name for held in left}
    assert len(holdings) == len({held.name for held in left})


def test_the_longest_object_is_found_from_its_last_block() -> None:
    holdings = Holdings()
    held = held_of(((0, BLOCKS_MOST),))
    holdings.add(held)
    assert holdings.having(LOG, BLOCKS_MOST - 1) == [held]
    assert holdings.having(LOG, BLOCKS_MOST) == []
    assert holdings.having(LOG + 1, 0) == []


def test_an_object_of_which_only_the_name_is_known_is_not_sent_again_and_proves_nothing() -> None:
    holdings = Holdings()
    held = Held(LOG, Name(4, 8, 2, "0" * 32, "0" * 32), 100, "")
    held.proven_ns = NOW
    holdings.add(held)
    assert holdings.missing(LOG, 4, 8) == []
    assert not holdings.are_proven(LOG, 4, 8, NOW)
    assert holdings.having(LOG, 4) == []


def test_a_proof_from_the_future_counts_for_nothing() -> None:
    assert not held_of(((0, 1),), proven_ns=NOW + 1).is_proven(NOW)


def test_changes_are_numbered() -> None:
    holdings = Holdings()
    first = held_of(((0, 1),))
    holdings.add(first)
    before = holdings.now
    later = held_of(((1, 2),))
    holdings.add(later)
    assert first.noted <= before < later.noted


@given(runs.map(apart).filter(bool))
def test_blocks_lie_one_behind_the_other(found: tuple[Run, ...]) -> None:
    def size(first: int, end: int) -> int:
        return sum(range(first + 1, end + 1))

    held = held_of(found)
    at = head_bytes(held.name.end - held.name.first)
    for first, end in found:
        assert locate(held, first, end, size) == (at, at + size(first, end))
        for block in range(first, end):
            assert locate(held, block, block + 1, size) == (at, at + block + 1)
            at += block + 1
    assert whole_size(held, size) == at
