"""A drive keeps itself on peers: a real volume, and the product's cloud peer behind a socket."""

from tests.volume.conftest import Store

from .conftest import running

MIB = 1 << 20


async def test_what_is_committed_comes_to_the_peer_and_is_attested(store: Store) -> None:
    async with running(store, "cloud") as side:
        await side.write(b"file", MIB)
        await side.synced()
        server = side.servers["cloud"]
        for number in (side.log, side.metadata):
            assert server.held(side.volume, number) == set(range(side.volume.parts.logs[number].signed_length))
        assert side.peers.proven(side.log, 0, side.length) == {"cloud"}
        [facts] = side.peers.facts()
        assert (facts["lag_blocks"], facts["lag_bytes"], facts["lag_seconds"]) == (0, 0, 0.0)
        assert facts["connected"]
        assert facts["trouble"] is None


async def test_what_comes_later_follows_by_itself(store: Store) -> None:
    async with running(store, "cloud") as side:
        await side.synced()
        for number in range(3):
            await side.write(b"file %d" % number, 100_000, number)
        await side.until(lambda: side.peers.proven(side.log, 0, side.length) == {"cloud"})
        assert side.servers["cloud"].held(side.volume, side.log) == set(range(side.length))
