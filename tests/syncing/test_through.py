"""What left this device for a cold store before a peer was there goes to the peer, and is not kept on the way."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from hyperfs.cold import uploading
from hyperfs.errors import Unreachable
from hyperfs.log.evicted import Evicted
from hyperfs.policy.attributes import CLASS, PLACES
from hyperfs.syncing import through
from hyperfs.syncing.settings import Known, Limits
from hyperfs.syncing.waiting import why_not_brought
from tests.cold.conftest import Faulty
from tests.volume.conftest import Store

from .conftest import SEED, Side, running

MIB = 1 << 20
FILM = 5 * MIB


@pytest.fixture(autouse=True)
def _little_and_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploading, "SOON_SECONDS", 0.0)
    monkeypatch.setattr(uploading, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(through, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(through, "LENT_BYTES", MIB)
    monkeypatch.setattr(through, "AGAIN_SECONDS", 0.05)
    monkeypatch.setattr(through, "SOON_SECONDS", 0.05)


@asynccontextmanager
async def left(store: Store, places: bytes = b"") -> AsyncIterator[tuple[Side, Faulty, Known]]:
    """A film is in a cold store alone. The peer serves, and is not the drive's any more."""
    async with running(store, "cloud") as side:
        known = side.servers["cloud"].known
        side.peers.remove("cloud")
        side.cold.add("nas", "memory:nas", nas := Faulty())
        await side.write(b"film", FILM)
        if places:
            await side.set(b"film", PLACES, places)
        await side.set(b"film", CLASS, b"cold")
        await side.until(lambda: side.cold.proven(side.log, 0, side.length) == {"nas"})
        await side.mover.turn()
        side.volume.parts.chunkstore.cache.clear()
        assert marks(side).count == side.length
        yield side, nas, known


def marks(side: Side) -> Evicted:
    found = side.volume.content.log.evicted
    assert found is not None
    return found


def held(side: Side) -> set[int]:
    return side.servers["cloud"].held(side.volume, side.log)


async def test_it_goes_to_the_peer_little_by_little_and_stays_elsewhere(store: Store) -> None:
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, sum(map(len, marks(side).lent.values())))
            await trio.sleep(0.002)

    async with left(store) as (side, nas, known):
        side.peers.set_limits(Limits(metered="yes"))
        side.peers.add(known)
        await side.until(lambda: side.peers.proven(side.metadata, 0, 1) == {"cloud"})
        await trio.sleep(0.2)
        assert held(side) == set()
        assert side.peers.facts()[0]["elsewhere_bytes"] == side.peers.facts()[0]["lag_bytes"] >= FILM
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            await side.synced()  # somebody waits: whatever it costs
            nursery.cancel_scope.cancel()
        assert held(side) == set(range(side.length))
        assert side.peers.proven(side.log, 0, side.length) == {"cloud"}
        assert (marks(side).count, marks(side).lent) == (side.length, {})
        assert 0 < most <= 2 * MIB
        facts = side.peers.facts()[0]
        assert (facts["lag_blocks"], facts["lag_bytes"], facts["elsewhere_bytes"]) == (0, 0, 0)
        nas.error = Unreachable("it has burnt down")
        assert await side.read(b"film") == random.Random(SEED).randbytes(FILM)


async def test_until_it_is_there_nobody_says_so(store: Store) -> None:
    async with left(store) as (side, nas, known):
        nas.error = Unreachable("the cable is out")
        side.peers.add(known)
        with pytest.raises(Unreachable, match=r"can't be brought to the peer cloud: .*the cable is out"):
            await side.synced()
        assert side.peers.facts()[0]["elsewhere_bytes"] >= FILM
        await side.until(lambda: "the cable is out" in side.volume.warnings.get("peer-cloud-away", ""))
        nas.error = None
        await side.until(lambda: held(side) == set(range(side.length)))
        await side.synced()
        await side.until(lambda: "peer-cloud-away" not in side.volume.warnings)


async def test_what_no_place_is_proved_to_have_any_more_is_not_waited_for(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(through, "AGAIN_SECONDS", 3600.0)
    async with left(store) as (side, nas, known):
        nas.error = Unreachable("the cable is out")
        side.peers.add(known)
        await side.peer().refresh()
        away = {side.log: side.peer().portion.elsewhere(side.log)}
        assert away[side.log].blocks == side.length
        assert why_not_brought(side.peers.home, side.peer(), away, 0.0) is None
        side.cold.remove("nas")
        words = why_not_brought(side.peers.home, side.peer(), away, 0.0)
        assert words == "no place is proved to have it any more"


async def test_what_may_not_be_there_does_not_go(store: Store) -> None:
    async with left(store, places=b"nas") as (side, _, known):
        side.peers.add(known)
        await side.synced()
        assert side.peers.facts()[0]["elsewhere_bytes"] == 0
        await trio.sleep(0.2)
        assert held(side) == set()


async def test_bytes_that_are_not_as_they_were_signed_go_nowhere(store: Store) -> None:
    async with left(store) as (side, nas, known):
        nas.lies = True
        side.peers.add(known)
        await side.until(lambda: (link := side.peer().link) is not None and link.through.failures > 0)
        assert held(side) == set()
