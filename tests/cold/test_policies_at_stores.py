"""What policies say is so at the stores: their bytes are looked through; and one that lies has nothing leave."""

import pytest
import trio

from hyperfs.errors import Unreachable
from hyperfs.policy.attributes import CLASS
from hyperfs.volume import status as volume_status
from hyperfs.volume.moving import Mover
from hyperfs.volume.status import status
from tests.volume.conftest import Store, inode_of, read_file
from tests.volume.test_moving import SIZE, blocks_of, folder_with, noise

from .conftest import Faulty, Side, running


def sealed(side: Side, path: bytes) -> list[bytes]:
    """A file's blocks as they lie in the log."""
    return [side.block(ref.index) for ref in sorted(blocks_of(side.volume, path))]


def has_left(side: Side, path: bytes) -> bool:
    return all(map(side.volume.parts.residence.has_left, blocks_of(side.volume, path)))


def bytes_of(place: Faulty) -> bytes:
    return b"".join(place.contents.values())


async def test_what_may_not_go_to_a_place_is_nowhere_in_it(store: Store) -> None:
    async with running(store, "nas", "office") as side:
        volume, mover = side.volume, Mover(side.volume)
        volume.returning.elsewhere = side.cold
        await folder_with(volume, b"anywhere", 1, **{"class": b"cold"})
        await folder_with(volume, b"office", 2, **{"class": b"cold", "places": b"office"})
        await folder_with(volume, b"here", 3, **{"class": b"cold", "places": b"local-only"})
        blocks = {name: sealed(side, name + b"/f") for name in (b"anywhere", b"office", b"here")}
        with trio.fail_after(60):
            while not (has_left(side, b"anywhere/f") and has_left(side, b"office/f")):
                await mover.turn()
                await trio.sleep(0.02)
        nas, office = map(bytes_of, (side.places["nas"], side.places["office"]))
        assert all(block in nas and block in office for block in blocks[b"anywhere"])
        assert all(block in office and block not in nas for block in blocks[b"office"])
        assert all(block not in office and block not in nas for block in blocks[b"here"])
        assert not has_left(side, b"here/f")


async def test_a_store_that_acknowledges_and_drops_is_found_out_and_nothing_leaves_for_it(store: Store) -> None:
    async with running(store, "nas", places={"nas": Faulty(drops=True)}) as side:
        volume, mover, nas = side.volume, Mover(side.volume), side.places["nas"]
        volume.returning.elsewhere = side.cold
        await folder_with(volume, b"cold", 1, **{"class": b"cold"})
        with trio.fail_after(60):
            while "cold-nas-lies" not in volume.warnings:
                await mover.turn()
                await trio.sleep(0.02)
        await mover.turn()
        told = status(volume)
        assert (told["cold_bytes"], told["freeable_bytes"]) == (0, 0)
        assert told["moving"]["to_leave_bytes"] > SIZE
        assert nas.contents == {}
        assert volume.parts.residence.is_whole
        assert read_file(volume, b"cold/f") == noise(1)
        nas.drops = False
        with trio.fail_after(60):
            while not has_left(side, b"cold/f"):
                await mover.turn()
                await trio.sleep(0.02)
        volume.parts.chunkstore.cache.clear()
        kept = dict(nas.contents)
        nas.error = Unreachable("gone")

        async def look() -> bytes:
            return read_file(volume, b"cold/f")

        with pytest.raises(Unreachable, match="nas"):
            await volume.returning.complete(look)
        nas.error = None
        assert nas.contents == kept
        assert await volume.returning.complete(look, keep=False) == noise(1)


async def test_status_says_what_is_elsewhere_what_could_go_and_how_long_all_of_it_takes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volume_status, "LINE_MBIT", 1)
    async with running(store, "nas") as side:
        volume, mover = side.volume, Mover(side.volume)
        volume.returning.elsewhere = side.cold
        await folder_with(volume, b"cold", 1, **{"class": b"cold"})
        with trio.fail_after(60):
            while not has_left(side, b"cold/f"):
                await mover.turn()
                await trio.sleep(0.02)
        told = status(volume)
        assert told["cold_bytes"] > SIZE
        assert told["transfer"]["all_back_seconds"] == round(8 * told["cold_bytes"] / 10**6, 1)
        assert (told["moving"]["left_bytes"], told["moving"]["to_leave_bytes"]) == (told["cold_bytes"], 0)
        volume.xattrs.set(inode_of(volume, b"cold"), CLASS, b"hot")
        await mover.turn()
        told = status(volume)
        assert told["cold_bytes"] == 0
        assert told["moving"]["returned_bytes"] > SIZE
        volume.xattrs.set(inode_of(volume, b"cold"), CLASS, b"auto")
        await mover.turn()
        assert status(volume)["freeable_bytes"] > SIZE, "it is here, and safe elsewhere too"
