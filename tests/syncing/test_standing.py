"""How a peer fares over days, what bounds its connections, and what is said of one that has another history."""

import pytest
import trio

from hyperfs.errors import Corrupt
from hyperfs.log.control import Chain
from hyperfs.log.control_codec import Roster
from hyperfs.syncing.limits import LimitedStream
from hyperfs.syncing.settings import Limits
from hyperfs.volume.chains import take_newer
from tests.volume.conftest import DRIVE, Store

from .conftest import running

MIB = 1 << 20
DAY_SECONDS = 86_400


async def test_a_peer_that_has_had_nothing_new_for_days_is_named(store: Store) -> None:
    async with running(store, "cloud") as side:
        await side.synced()
        await side.servers["cloud"].stop()
        await side.write(b"file", MIB)
        await side.until(lambda: not side.peer().is_connected)
        assert side.peers.warnings() == []
        store.clock.forward(2 * DAY_SECONDS)
        [words] = side.peers.warnings()
        assert "the peer cloud has had nothing new for 2.0 days" in words
        async with trio.open_nursery() as nursery:
            await nursery.start(side.servers["cloud"].serve)
            await side.synced()
            assert side.peers.warnings() == []
            nursery.cancel_scope.cancel()


async def test_limits_hold_for_each_connection_from_when_they_are_set_on(store: Store) -> None:
    async with running(store, "cloud") as side:
        await side.until(lambda: side.peer().is_connected)
        side.peers.set_limits(Limits(MIB, 2 * MIB))
        link = side.peer().link
        assert link is not None
        stream = link.client.session.stream
        assert isinstance(stream, LimitedStream)
        assert (stream._up.rate, stream._down.rate) == (MIB, 2 * MIB)


def _renamed(chain: Chain, name: bytes) -> Chain:
    """It goes on with a roster in which the first device is called so."""
    roster = chain.records[0].body
    assert isinstance(roster, Roster)
    first, *others = roster.devices
    body = roster._replace(devices=(first._replace(name=name), *others))
    return chain.extend([chain.make(body, DRIVE.root.signing())])


async def test_attack_m04_a_peer_with_another_control_chain_is_named_loudly_and_gets_nothing_more(
    store: Store,
) -> None:
    async with running(store, "cloud") as side:
        await side.synced()
        server, ours = side.servers["cloud"], side.volume.parts.chain
        await server.stop()
        server.drive(side.volume).offer_chain(_renamed(ours, b"theirs").encode())
        take_newer(side.volume, _renamed(ours, b"ours"))
        await side.write(b"file", MIB)
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve)
            with pytest.raises(Corrupt, match=r"two control chains part.*nothing more goes there"):
                await side.synced()
            assert "nothing more goes there" in side.volume.warnings["peer-cloud"]
            assert side.peers.proven(side.log, 0, 1) == frozenset()
            assert len(server.held(side.volume, side.log)) < side.length
            nursery.cancel_scope.cancel()
