"""A writer's own log as a session sees it."""

from pathlib import Path

import pytest

from hyperfs.log.proof import BlockRequest, Request
from hyperfs.replication.own_log import OwnLog

from .sides import content, own_log


@pytest.mark.parametrize(
    ("absent", "wanted"),
    [
        ((), [(0, 20)]),
        (((0, 5),), [(5, 20)]),
        (((3, 5), (9, 10)), [(0, 3), (5, 9), (10, 20)]),
        (((15, 40),), [(0, 15)]),
        (((0, 20),), []),
    ],
)
def test_what_was_let_go_is_not_had(
    tmp_path: Path, absent: tuple[tuple[int, int], ...], wanted: list[tuple[int, int]]
) -> None:
    log = OwnLog(own_log(tmp_path / "own", 20), lambda: absent)
    assert list(log.ranges()) == wanted
    assert [block for block in range(-3, 60) if log.has(block)] == [b for low, high in wanted for b in range(low, high)]
    inner = [(max(low, 4), min(high, 12)) for low, high in wanted if max(low, 4) < min(high, 12)]
    assert list(log.ranges(4, 12)) == inner


def test_only_what_a_head_covers_is_had(tmp_path: Path) -> None:
    log = own_log(tmp_path / "own", 3)
    seen = OwnLog(log)
    log.append([content(3)])
    assert list(seen.ranges()) == [(0, 3)]
    assert not seen.has(3)
    log.flush()
    assert seen.has(3)
    assert seen.head() == log.head()
    assert seen.proof(Request(BlockRequest(3))) == log.proof(Request(BlockRequest(3)))
    assert (seen.key, seen.discovery_key) == (log.key, log.discovery_key)
