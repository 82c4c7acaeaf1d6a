"""Peers and cold stores together as the places of one drive."""

import random

import pytest

from hyperfs.errors import Unreachable
from hyperfs.policy.attributes import CLASS, COPIES
from hyperfs.values import BlockRef
from tests.cold.conftest import Faulty
from tests.volume.conftest import Store, inode_of

from .conftest import SEED, running

MIB = 1 << 20


@pytest.fixture(autouse=True)
def _cold_stores_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    from hyperfs.cold import uploading

    monkeypatch.setattr(uploading, "SOON_SECONDS", 0.0)
    monkeypatch.setattr(uploading, "LOOK_SECONDS", 0.02)


async def test_a_copy_at_the_peer_and_one_at_a_store_let_it_leave(store: Store) -> None:
    async with running(store, "cloud") as side:
        side.cold.add("nas", "memory:nas", nas := Faulty())
        await side.write(b"film", MIB)
        await side.set(b"film", CLASS, b"cold")
        await side.synced()
        await side.until(lambda: side.cold.proven(side.log, 0, side.length) == {"nas"})
        assert side.volume.returning.elsewhere.places == {"nas", "cloud"}
        await side.mover.turn()
        assert side.volume.parts.residence.cold_bytes >= MIB
        assert nas.contents
        await side.servers["cloud"].stop()
        side.volume.parts.chunkstore.cache.clear()
        assert await side.read(b"film") == random.Random(SEED).randbytes(MIB)


async def test_one_copy_is_the_peers_and_no_store_is_asked_to_keep_it(store: Store) -> None:
    async with running(store, "cloud") as side:
        side.cold.add("nas", "memory:nas", nas := Faulty())
        await side.write(b"film", MIB)
        side.volume.xattrs.set(inode_of(side.volume, b"film"), COPIES, b"1")
        await side.set(b"film", CLASS, b"cold")
        await side.synced()
        await side.mover.turn()
        assert side.volume.parts.residence.cold_bytes >= MIB
        assert nas.contents == {}


async def test_where_nobody_answers_each_side_says_why(store: Store) -> None:
    async with running(store, "cloud") as side:
        nas = Faulty()
        side.cold.add("nas", "memory:nas", nas)
        await side.write(b"film", MIB)
        await side.set(b"film", CLASS, b"cold")
        await side.synced()
        await side.until(lambda: side.cold.proven(side.log, 0, side.length) == {"nas"})
        nas.error = Unreachable("the cable is out")
        await side.servers["cloud"].stop()
        await side.until(lambda: not side.peer().is_connected)
        with pytest.raises(Unreachable, match=r"the peer cloud.*the cable is out|the cable is out.*the peer cloud"):
            await side.volume.returning.elsewhere.fetch([BlockRef(side.log, 0)])
