"""When an object that is not full is sent, and that nothing is done where nothing has changed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from hyperfs.cold import uploading
from hyperfs.cold.choosing import OBJECT_BYTES
from tests.volume.conftest import Store

from .conftest import Side, running

MIB = 1 << 20


@asynccontextmanager
async def by_hand(store: Store, size: int) -> AsyncIterator[Side]:
    """With a file and a place that was listed; nothing is brought but in a turn."""
    async with running(store, "nas", background=False) as side:
        place = side.cold.place("nas")
        assert place is not None
        await side.cold._auditor.list(place)
        await side.write(b"file", size)
        yield side


async def turn(side: Side) -> float:
    return await side.cold._uploader.turn()


async def test_the_end_of_a_log_that_may_grow_waits_and_the_rest_does_not(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploading, "SOON_SECONDS", 1000.0)
    async with by_hand(store, 9 * MIB) as side:
        side.want("nas")
        await turn(side)
        [data] = side.places["nas"].contents.values()
        assert len(data) >= OBJECT_BYTES
        monkeypatch.setattr(uploading, "SOON_SECONDS", 0.0)
        await turn(side)
        assert side.cold.proven(side.log, 0, side.length) == {"nas"}


async def test_what_need_not_leave_at_once_waits_for_a_quiet_minute(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploading, "LOOK_SECONDS", 1000.0)
    async with by_hand(store, MIB) as side:
        side.want("nas", soon=False)
        assert 0 < await turn(side) <= uploading.QUIET_SECONDS
        assert side.places["nas"].contents == {}
        monkeypatch.setattr(uploading, "QUIET_SECONDS", 0.0)
        await turn(side)
        assert side.cold.proven(side.log, 0, side.length) == {"nas"}


async def test_blocks_that_can_not_grow_wait_for_nothing(store: Store) -> None:
    async with by_hand(store, MIB) as side:
        side.want("nas", end=side.length - 1, soon=False)
        await turn(side)
        assert side.cold.proven(side.log, 0, side.length - 1) == {"nas"}


async def test_where_nothing_has_changed_nothing_is_looked_through(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with by_hand(store, MIB) as side:
        seen: list[object] = []
        plans = side.cold._uploader._plans
        monkeypatch.setattr(side.cold._uploader, "_plans", lambda *given: seen.append(given) or plans(*given))
        side.want("nas")
        for _ in range(5):
            await turn(side)
        looks = len(seen)
        assert 1 <= looks <= 2
        side.want("nas")  # the same again
        await turn(side)
        assert len(seen) == looks
        side.want("nas", first=1)
        await turn(side)
        assert len(seen) == looks + 1


async def test_many_wishes_leave_others_their_turn(store: Store) -> None:
    async with by_hand(store, MIB) as side:
        wish = side.want("nas", end=1)
        side.cold.want([wish] * 1000)
        uploader, place = side.cold._uploader, side.cold.place("nas")
        assert place is not None
        plans = list(uploader._plans(uploader._wishes, place))
        assert plans.count(None) >= 1000 // uploading.WISHES_AT_ONCE
        assert len([plan for plan in plans if plan is not None]) == 1


async def test_a_block_that_is_damaged_here_is_told_and_the_others_go(store: Store) -> None:
    async with by_hand(store, 20 * MIB) as side:
        log = side.volume.content.log
        at, size = log.block_range(1)
        log._blocks.pwrite(bytes([log._blocks.pread(1, at + size - 1)[0] ^ 1]), at + size - 1)
        side.want("nas")
        await turn(side)
        assert side.cold.facts()[0].proven_objects == 2
        assert "'hyperfs verify' tells more" in side.volume.warnings["cold-damage"]
        assert side.cold.proven(side.log, 1, 2) == frozenset()
