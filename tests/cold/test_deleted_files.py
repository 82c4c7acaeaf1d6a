"""What was deleted leaves this device, comes back on the 29th day, and is gone from the place on the 31st.

A few MiB; HYPERFS_ALL=1: 5 GiB. HYPERFS_DELETED_MIB sets the size.
"""

import os
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import trio

from hyperfs.cold.cold import Cold
from hyperfs.store.object_folder import FolderObjects
from hyperfs.volume.moving import Mover
from hyperfs.volume.restore import restore
from hyperfs.volume.retaining import retain
from hyperfs.volume.volume import Volume
from tests import tally
from tests.volume.conftest import Store, inode_of, make_folder, unlink, write_file

MIB = 1 << 20
ALL = os.environ.get("HYPERFS_ALL") == "1"
TOTAL = int(os.environ.get("HYPERFS_DELETED_MIB", "5120" if ALL else "24")) * MIB
FILES = 8
SIZE = TOTAL // FILES
PIECE = MIB
SLACK = 2 * MIB
"""Ends of blocks and objects, and what else the drive writes."""
DAY = 24 * 3600

pytestmark = pytest.mark.timeout(3600 if ALL else 300)


def noise(seed: int, offset: int) -> bytes:
    """A piece of a file."""
    return random.Random(f"{seed} {offset}").randbytes(PIECE)


async def write(volume: Volume, path: bytes, seed: int) -> None:
    inode = await write_file(volume, path, b"")
    for offset in range(0, SIZE, PIECE):
        await volume.files.write(inode, offset, noise(seed, offset))
    await volume.commit()


def quiet(what: str, done: int, of: int) -> None:
    """Nobody looks."""


def used(folder: Path) -> int:
    """As du counts."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


async def move(volume: Volume, mover: Mover, done: Callable[[], bool]) -> None:
    """Turn after turn until it is so; the test's timeout is the bound."""
    while not done():
        await mover.turn()
        await trio.sleep(0.01)
        await trio.sleep(0.01)


async def retained(volume: Volume) -> None:
    """As a day's work does it: what no rule keeps goes, half-dead packs are stored anew."""
    await volume.commit()
    await retain(volume, False, quiet, with_packs=True)


async def test_deleted_files_leave_come_back_on_day_29_and_are_gone_on_day_31(store: Store, tmp_path: Path) -> None:
    nas = tmp_path / "nas"
    places = FolderObjects(nas)
    await trio.to_thread.run_sync(places.prepare)
    names = [b"film %d" % number for number in range(FILES)]
    async with store.opened() as volume, trio.open_nursery() as nursery:
        cold = Cold(volume.parts, volume.warnings, store.clock, random.Random(1).randrange)
        cold.add("nas", nas.as_uri(), places)
        volume.returning.elsewhere = cold
        mover = Mover(volume)
        nursery.start_soon(cold.run)
        make_folder(volume, b"films")
        for number, name in enumerate(names):
            await write(volume, b"films/" + name, number)
            store.clock.forward(60)
        full = used(store.path)
        assert full > TOTAL
        made = volume.versions.newest.version
        store.clock.forward(2 * 3600)
        for name in names:
            removed = inode_of(volume, b"films/" + name)
            unlink(volume, b"films/" + name)
            volume.forgotten(removed.ino)
        await volume.commit()
        await move(volume, mover, lambda: full - used(store.path) > TOTAL - SLACK)
        assert used(nas) > TOTAL - SLACK

        store.clock.forward(29 * DAY)
        await retained(volume)
        await volume.returning.complete(partial(restore, volume, b"films/" + names[3], made), False)
        back = inode_of(volume, b"films/" + names[3])
        for offset in range(0, SIZE, PIECE):
            read = partial(volume.files.read_soon, back, offset, PIECE)
            assert await volume.returning.complete(read, False) == noise(3, offset)

        store.clock.forward(2 * DAY)
        await retained(volume)
        await move(volume, mover, lambda: used(nas) < SIZE + SLACK + 16 * MIB)
        assert used(nas) > SIZE - SLACK, "what was put back is still needed"
        read = partial(volume.files.read_soon, back, SIZE - PIECE, PIECE)
        assert await volume.returning.complete(read, False) == noise(3, SIZE - PIECE)
        tally.add("MiB deleted, back on the 29th day, gone on the 31st", TOTAL // MIB)
        nursery.cancel_scope.cancel()
