"""Several writers of one drive at once, fsyncs and versions between them: threads meet in every order."""

import random

import trio

from hyperfs.volume.volume import Volume
from tests.volume.conftest import write_file

from .promises import Crowd, Is, Kept, Knows, Wrote, root_of
from .recording import Recording

WRITERS = 4


async def crowd(volume: Volume, recording: Recording, seed: str, changes: int) -> None:
    """Each writer makes so many changes of its own file. The order of threads is not the seed's."""
    recording.mark(Is(Crowd({}, {f.version: root_of(volume, f.version) for f in volume.versions.all()})))
    async with trio.open_nursery() as nursery:
        for number in range(WRITERS):
            nursery.start_soon(write_much, volume, recording, b"file%d" % number, f"{seed}-{number}", changes)
        nursery.start_soon(commit_much, volume, recording)


async def write_much(volume: Volume, recording: Recording, name: bytes, seed: str, changes: int) -> None:
    rng = random.Random(seed)
    data = b""
    inode = await write_file(volume, name, data)
    volume.opened(inode, True)
    for number in range(changes):
        what = rng.choice(["write", "write", "write", "cut", "fsync", "fsync"])
        if what == "write":
            offset = rng.choice([0, 0, 10, 600, 70_000])
            piece = b"%d " % number + rng.randbytes(rng.choice([1, 100, 511, 5000, 70_000]))
            data = data.ljust(offset, b"\0")
            data = data[:offset] + piece + data[offset + len(piece) :]
            recording.mark(Wrote(name, data))
            await volume.files.write(inode, offset, piece)
        elif what == "cut":
            size = rng.choice([0, 5, 1000, 80_000])
            data = data[:size].ljust(size, b"\0")
            recording.mark(Wrote(name, data))
            await volume.files.resize(inode, size)
        else:
            promised = data
            await volume.fsync(inode)
            if promised:
                recording.mark(Kept(name, promised))
        await trio.lowlevel.checkpoint()
    volume.released(inode, True)


async def commit_much(volume: Volume, recording: Recording) -> None:
    for _ in range(5):
        commit = await volume.commit()
        recording.mark(Knows(commit.version, root_of(volume, commit.version)))
        await trio.sleep(0)
