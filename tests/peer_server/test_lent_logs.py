"""What is to be told of a log that has changed behind its session's back, as arithmetic of runs."""

from hypothesis import given
from hypothesis import strategies as st

from hyperfs.log.cleared import Range, runs_of
from hyperfs.peer_server.lent_logs import had, is_within, lost, without
from hyperfs.replication.bitfield import Bitfield
from hyperfs.replication.scheduler import ALL

blocks = st.frozensets(st.integers(0, 60))


def runs(found: frozenset[int]) -> list[Range]:
    return list(runs_of(sorted(found)))


def numbers(found: list[Range]) -> list[int]:
    return [block for start, end in found for block in range(start, end)]


@given(blocks, blocks)
def test_what_is_lost_is_what_was_and_is_not(before: frozenset[int], now: frozenset[int]) -> None:
    assert numbers(list(lost(runs(before), runs(now)))) == sorted(before - now)
    assert is_within(runs(before), runs(now)) == (before <= now)


@given(blocks)
def test_all_but_some_is_wanted(unwanted: frozenset[int]) -> None:
    wanted = list(without(runs(unwanted)))
    assert wanted[-1][1] == ALL[0][1]
    assert {block for block in range(70) if any(start <= block < end for start, end in wanted)} == (
        set(range(70)) - unwanted
    )


@given(blocks)
def test_what_was_had_is_remembered_as_runs(found: frozenset[int]) -> None:
    have = Bitfield()
    for start, end in runs(found):
        have.add(start, end)
    assert list(had(have)) == runs(found)
