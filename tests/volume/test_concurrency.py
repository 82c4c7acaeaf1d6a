"""Writers, fsyncs and commits at once, and a kill at any disk operation: nobody's acknowledged bytes are lost."""

import random
import shutil
from pathlib import Path

import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hyperfs.volume.volume import Volume

from .conftest import Store, kill, read_file, write_file
from .faults import Faults, Killed
from .model import Allowed, Node, Seen, walk_tree, why_not

WRITERS = 4


def seen(data: bytes) -> Seen:
    return Seen((0,) * 7, data, (), ())


async def write_much(volume: Volume, name: bytes, node: Node, seed: int) -> None:
    """Random changes of one file. `node.states` are those since the last fsync that returned."""
    choices = random.Random(seed)
    inode = await write_file(volume, name, b"")
    volume.opened(inode, True)
    for _ in range(15):
        what = choices.choice(["write", "write", "write", "cut", "fsync", "fsync", "names"])
        if what == "write":
            offset = choices.choice([0, 0, 10, 600, 70_000, 200_000])
            data = choices.randbytes(choices.choice([1, 100, 511, 5000, 70_000]))
            old = node.data.ljust(offset, b"\0")
            node.change(old[:offset] + data + old[offset + len(data) :])
            await volume.files.write(inode, offset, data)
        elif what == "cut":
            size = choices.choice([0, 5, 1000, 80_000])
            node.change(node.data[:size].ljust(size, b"\0"))
            await volume.files.resize(inode, size)
        elif what == "fsync":
            promised = len(node.states) - 1
            await volume.fsync(inode)
            node.states = node.states[promised:]
        else:
            await volume.fsync(None)
        assert volume.files.read(inode, 0, inode.size + 1) == node.data
        await trio.lowlevel.checkpoint()
    volume.released(inode, True)


async def commit_much(volume: Volume) -> None:
    for _ in range(6):
        await volume.commit()
        await trio.sleep(0)


async def everybody(volume: Volume, nodes: dict[bytes, Node], seed: int) -> None:
    async with trio.open_nursery() as nursery:
        for number, (name, node) in enumerate(nodes.items()):
            nursery.start_soon(write_much, volume, name, node, seed * WRITERS + number)
        nursery.start_soon(commit_much, volume)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), operations=st.one_of(st.none(), st.integers(0, 150)))
def test_what_was_acknowledged_survives(
    empty_store: Path, tmp_path: Path, seed: int, operations: int | None
) -> None:
    shutil.rmtree(tmp_path / "store", ignore_errors=True)
    shutil.copytree(empty_store, tmp_path / "store")
    faults = Faults()
    store = Store(tmp_path / "store", disk=faults.disk)
    volume = store.open()
    nodes = {b"file%d" % number: Node(0) for number in range(WRITERS)}
    faults.kill_after = operations
    try:
        trio.run(everybody, volume, nodes, seed)
    except* Killed:
        pass
    kill(volume)
    faults.dead, faults.kill_after = False, None
    volume = store.open()
    live = volume.overlay.live
    names = {name for name, _ in live.dentries(1)}
    for name, node in nodes.items():
        if name not in names:
            assert node.states[0] == b"", f"{name!r} was synced and is not there"
            continue
        wrong = why_not(
            Allowed({name: seen(node.states[0])}, {name: node.states} if len(node.states) > 1 else {}),
            {name: seen(read_file(volume, name))},
        )
        assert not wrong, wrong
    totals = volume.overlay.files, volume.overlay.directories, volume.overlay.file_bytes
    inodes = [inode for _, inode in walk_tree(live)]
    files = [inode for inode in inodes if inode.is_file]
    assert totals == (len(files), len(inodes) - len(files), sum(inode.size for inode in files))
    trio.run(volume.recover)
    before = {path: inode.encode(born=0) for path, inode in walk_tree(live)}
    newest = volume.versions.tree(volume.versions.newest.version)
    assert {path: inode.encode(born=0) for path, inode in walk_tree(newest)} == before
    kill(volume)
