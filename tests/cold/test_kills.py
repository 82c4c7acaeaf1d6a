"""The process dies at a question to the store, before or behind the deed: nothing is lost, and the next one goes on."""

import os
import random
import shutil

import pytest

from hyperfs.cold.object_format import Name, decode, hash_of
from hyperfs.store.objects import ObjectInfo
from hyperfs.volume.moving import Mover
from tests import tally
from tests.volume.conftest import Store, inode_of, make_folder, write_file

from .conftest import SEED, Faulty, Side, running

MIB = 1 << 20
LONG = os.environ.get("HYPERFS_ALL") == "1"
KILLS = int(os.environ.get("HYPERFS_KILLS", "200" if LONG else "6"))
"""At most so many lives; there are about forty moments in one."""
FILES = {b"cold/a": 9 * MIB, b"cold/b": 2 * MIB, b"cold/c": 1000}


class Died(BaseException):
    """The end of the process."""


class Mortal(Faulty):
    """Dies at its question number `fatal`, before it is answered or, `behind`, when the deed is done."""

    def __init__(self) -> None:
        super().__init__()
        self.fatal: int | None = None
        self.behind = False

    def _dies(self, behind: bool) -> None:
        if self.fatal is not None and len(self.asked) > self.fatal and self.behind == behind:
            raise Died

    def _meet(self, kind: str, name: str) -> None:
        super()._meet(kind, name)
        self._dies(behind=False)

    def put(self, name: str, data: bytes, storage_class: str = "") -> bool:
        taken = super().put(name, data, storage_class)
        self._dies(behind=True)
        return taken

    def read(self, name: str, start: int, end: int) -> bytes:
        found = super().read(name, start, end)
        self._dies(behind=True)
        return found

    def info(self, name: str) -> ObjectInfo:
        found = super().info(name)
        self._dies(behind=True)
        return found


def contents(path: bytes) -> bytes:
    return random.Random(path).randbytes(FILES[path])


async def fill(store: Store) -> None:
    async with store.opened(memory_index=False) as volume:
        folder = make_folder(volume, b"cold")
        volume.xattrs.set(folder, b"user.hyperfs.class", b"cold")
        for path in FILES:
            await write_file(volume, path, contents(path))


async def move_all(side: Side) -> None:
    """Until all that is to leave has left."""
    side.volume.returning.elsewhere = side.cold
    await side.volume.commit()
    mover = Mover(side.volume)
    while side.volume.parts.residence.cold_bytes < 10 * MIB:
        await mover.turn()
        if side.volume.parts.residence.cold_bytes < 10 * MIB:
            await side.cold.changed()


async def read_all(side: Side) -> None:
    side.volume.parts.chunkstore.cache.clear()
    side.volume.returning.elsewhere = side.cold
    for path in FILES:
        inode = inode_of(side.volume, path)
        found = await side.volume.returning.complete(
            lambda inode=inode: side.volume.files.read_soon(inode, 0, inode.size),  # type: ignore[misc]
            keep=False,
        )
        assert found == contents(path), path


async def life(store: Store, place: Mortal) -> bool:
    """Whether it was lived to its end."""
    try:
        async with running(store, "nas", places={"nas": place}, memory_index=False) as side:
            await move_all(side)
            await read_all(side)
    except BaseExceptionGroup as group:
        if group.subgroup(Died) is None:
            raise
        return False
    return True


async def questions(store: Store) -> int:
    place = Mortal()
    assert await life(store, place)
    return len(place.asked)


@pytest.mark.timeout(1800 if LONG else 300)
async def test_killed_at_any_question_to_the_store(store: Store, tmp_path_factory: pytest.TempPathFactory) -> None:
    await fill(store)

    def copied(number: int) -> Store:
        path = tmp_path_factory.mktemp("killed") / str(number)
        shutil.copytree(store.path, path)
        return Store(path, store.clock)

    moments = [(fatal, behind) for fatal in range(await questions(copied(0))) for behind in (False, True)]
    random.Random(SEED).shuffle(moments)
    for number, (fatal, behind) in enumerate(moments[:KILLS], 1):
        place, again = Mortal(), copied(number)
        place.fatal, place.behind = fatal, behind
        await life(again, place)
        place.fatal = None
        async with running(again, "nas", places={"nas": place}, memory_index=False) as side:
            await read_all(side)  # nothing is in neither place
            await move_all(side)
            await read_all(side)
        for path, data in place.contents.items():
            name = Name.decode(path.rpartition("/")[2])
            assert name is not None
            assert name.hash == hash_of(data)
            assert decode(data)
        shutil.rmtree(again.path)
        tally.add("kills at a question to a cold store", 1, seed=SEED)
