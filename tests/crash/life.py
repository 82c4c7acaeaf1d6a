"""A drive's life by dice: every kind of change, fsync, version, snapshot and restore, with the promises marked."""

import random
import stat
from collections.abc import Awaitable, Callable

from hyperfs.errors import FileError
from hyperfs.volume.inode import Inode
from hyperfs.volume.prune import prune
from hyperfs.volume.restore import restore
from hyperfs.volume.volume import Volume
from tests.alike import some_bytes
from tests.volume.model import (
    Allowed,
    Node,
    allowed_now,
    attributes_of,
    model_of_volume,
    paths_below,
    view_of_model,
    view_of_tree,
)

from .promises import Is, May, Promise, Snapshots, Version, root_of
from .recording import Recording

NAMES = [b"a", b"b", b"c", b"\xff\n"]
OFFSETS = [0, 0, 1, 100, 512, 4000, 66_000, 150_000]
SIZES = [0, 1, 100, 511, 513, 3000, 5000, 65_537, 90_000]
Found = tuple[Node, bytes, Node]
"""(folder, name, what is there)."""


class Life:
    """One life of an open volume that nothing else works on. `root` is the model."""

    def __init__(self, volume: Volume, recording: Recording, seed: str, told: list[str]) -> None:
        """Adds to `told` what was done, for whoever looks for the cause of a failure."""
        self.volume = volume
        self.recording = recording
        self.rng = random.Random(seed)
        self.root = model_of_volume(volume)
        self.versions: dict[int, Version] = {}
        for facts in volume.versions.all():
            view = view_of_tree(volume, volume.versions.tree(facts.version))
            self.versions[facts.version] = Version(view, root_of(volume, facts.version))
        self.snapshots: Snapshots = {}
        self.told = told
        self.written: Node | None = None
        self.kept()

    async def live(self, changes: int) -> None:
        """So many changes, most of them followed by some kind of sync."""
        ways: list[Callable[[], Awaitable[None]]] = [
            *[self.make] * 3,
            *[self.write] * 8,
            self.append,
            self.resize,
            *[self.rename] * 2,
            self.link,
            self.remove,
            self.set_attributes,
            self.set_xattr,
        ]
        syncs: list[Callable[[], Awaitable[None]]] = [
            *[self.fsync] * 6,
            self.fsync_names,
            *[self.commit] * 2,
            self.flush,
            self.snapshot,
            self.forget_snapshot,
            self.restore,
            self.prune,
        ]
        await self.make()
        for _ in range(changes):
            await self.rng.choice(ways)()
            if self.rng.random() < 0.8:
                await self.rng.choice(syncs)()

    # Promises

    def promise(self, live: Allowed | None = None) -> Promise:
        return Promise(live or allowed_now(self.root), dict(self.versions), dict(self.snapshots))

    def kept(self) -> None:
        self.recording.mark(Is(self.promise()))

    def may(self, *promises: Promise) -> None:
        self.recording.mark(May(list(promises)))

    def all_durable(self) -> Version:
        """The model, as a version of the present would have it."""
        for _, node in paths_below(self.root):
            node.made_durable()
        return Version(view_of_model(self.root))

    def with_version(self, number: int, version: Version, snapshot: tuple[int, bytes] | None = None) -> Promise:
        snapshots = {**self.snapshots, **({snapshot: number} if snapshot else {})}
        assert version.view is not None
        return Promise(Allowed(version.view, {}), {**self.versions, number: version}, snapshots)

    # Picking

    def folders(self) -> list[tuple[bytes, Node]]:
        return [(path, node) for path, node in paths_below(self.root) if node.children is not None]

    def entries(self, wanted: Callable[[Node], bool] = lambda node: True) -> list[Found]:
        return [
            (folder, name, node)
            for _, folder in self.folders()
            for name, node in (folder.children or {}).items()
            if wanted(node)
        ]

    def a_file(self) -> Node | None:
        found = self.entries(lambda node: stat.S_ISREG(node.mode))
        return self.rng.choice(found)[2] if found else None

    def live_inode(self, node: Node) -> Inode:
        return self.volume.overlay.inode(node.ino)

    def note(self, *nodes: Node) -> None:
        """Takes over the attributes that an operation gave the nodes."""
        for node in nodes:
            inode = self.volume.overlay.table.get(node.ino) or self.volume.overlay.live.inode(node.ino)
            if inode is not None:
                node.attributes = attributes_of(inode)

    # Changes

    async def make(self) -> None:
        _, folder = self.rng.choice(self.folders())
        assert folder.children is not None
        name = self.rng.choice(NAMES)
        if name in folder.children:
            return
        kind = self.rng.choice([stat.S_IFREG, stat.S_IFREG, stat.S_IFREG, stat.S_IFDIR])
        inode = self.volume.names.make(folder.ino, name, kind | 0o640, 7, 8)
        node = folder.children[name] = Node(inode.mode, ino=inode.ino)
        if kind == stat.S_IFDIR:
            node.children = {}
        self.note(folder, node)
        self.told.append(f"make {name!r}")

    async def write_at(self, node: Node, offset: int) -> None:
        data = some_bytes(self.rng.randrange(1000), self.rng.choice(SIZES[1:]))
        old = node.data.ljust(offset, b"\0")
        node.change(old[:offset] + data + old[offset + len(data) :])
        await self.volume.files.write(self.live_inode(node), offset, data)
        self.written = node
        self.note(node)
        self.told.append(f"write {node.ino & 0xFFFF} {offset}+{len(data)}")

    async def write(self) -> None:
        node = self.a_file()
        if node is not None:
            await self.write_at(node, self.rng.choice(OFFSETS))

    async def append(self) -> None:
        node = self.a_file()
        if node is not None:
            await self.write_at(node, len(node.data))

    async def resize(self) -> None:
        node = self.a_file()
        if node is not None:
            size = self.rng.choice([*SIZES, 40, 120_000])
            node.change(node.data[:size].ljust(size, b"\0"))
            await self.volume.files.resize(self.live_inode(node), size)
            self.note(node)
            self.told.append(f"resize {node.ino & 0xFFFF} {size}")

    async def rename(self) -> None:
        """Files only, over others or not: what may go into what is tried elsewhere."""
        found = self.entries(lambda node: node.children is None)
        if not found:
            return
        source, old, node = self.rng.choice(found)
        _, target = self.rng.choice(self.folders())
        new = self.rng.choice(NAMES)
        assert source.children is not None
        assert target.children is not None
        other = target.children.get(new)
        if other is node or (other is not None and other.children is not None):
            return
        replaced = self.volume.names.rename(source.ino, old, target.ino, new)
        self.volume.renamed(self.live_inode(node), replaced)
        del source.children[old]
        target.children[new] = node
        self.note(source, target, node, *([other] if other else []))
        self.told.append(f"rename {old!r} {new!r}")

    async def link(self) -> None:
        found = self.entries(lambda node: node.children is None)
        _, folder = self.rng.choice(self.folders())
        name = self.rng.choice(NAMES)
        assert folder.children is not None
        if found and name not in folder.children:
            node = self.rng.choice(found)[2]
            self.volume.names.link(self.live_inode(node), folder.ino, name)
            folder.children[name] = node
            self.note(folder, node)
            self.told.append(f"link {name!r}")

    async def remove(self) -> None:
        found = self.entries(lambda node: not node.children)
        if not found:
            return
        folder, name, node = self.rng.choice(found)
        assert folder.children is not None
        gone = (self.volume.names.unlink if node.children is None else self.volume.names.rmdir)(folder.ino, name)
        self.volume.unlinked(gone)
        del folder.children[name]
        self.note(folder, node)
        self.told.append(f"remove {name!r}")

    async def set_attributes(self) -> None:
        found = self.entries()
        if found:
            node = self.rng.choice(found)[2]
            inode = self.live_inode(node)
            inode.mode = stat.S_IFMT(inode.mode) | self.rng.randrange(0o10000)
            inode.mtime_ns = self.rng.randrange(10**18)
            self.volume.overlay.touch(inode)
            self.note(node)
            node.mode = inode.mode

    async def set_xattr(self) -> None:
        found = self.entries()
        if found:
            node = self.rng.choice(found)[2]
            value = self.rng.choice([None, b"", self.rng.randbytes(10), self.rng.randbytes(3000)])
            self.volume.xattrs.set(self.live_inode(node), b"user.x", value)
            if value is None:
                node.xattrs.pop(b"user.x", None)
            else:
                node.xattrs[b"user.x"] = value
            self.note(node)

    # Syncs

    async def fsync(self) -> None:
        """Most often of the file that was written last, as programs do."""
        node = self.written if self.written is not None and self.rng.random() < 0.7 else self.a_file()
        if node is None or not self.entries(lambda other: other is node):
            return
        node.made_durable()
        self.may(self.promise())
        await self.volume.fsync(self.live_inode(node))
        self.kept()
        self.told.append(f"fsync {node.ino & 0xFFFF}")

    async def fsync_names(self) -> None:
        self.may(self.promise())
        await self.volume.fsync(None)
        self.kept()
        self.told.append("fsync names")

    async def flush(self) -> None:
        """What a commit begins with, and all that may be left of one."""
        node = self.a_file()
        if node is not None:
            await self.volume.files.flushing.flush([self.live_inode(node)])
            self.told.append(f"flush {node.ino & 0xFFFF}")

    async def commit(self) -> None:
        version = self.all_durable()
        number = self.volume.versions.newest.version + 1
        self.may(self.with_version(number, version))
        await self.volume.commit()
        self.committed(number, version)
        self.told.append(f"commit {number}")

    def committed(self, number: int, version: Version) -> None:
        if self.volume.versions.newest.version >= number:
            version.root = root_of(self.volume, number)
            self.versions[number] = version
        self.kept()

    async def snapshot(self) -> None:
        _, folder = self.rng.choice(self.folders())
        name = self.rng.choice([b"one", b"two"])
        if (folder.ino, name) in self.snapshots:
            return
        version = self.all_durable()
        number = self.volume.versions.newest.version + 1
        key = folder.ino, name
        assert version.view is not None
        made_before = Promise(Allowed(version.view, {}), dict(self.versions), {**self.snapshots, key: number - 1})
        self.may(made_before, self.with_version(number, version), self.with_version(number, version, key))
        made = await self.volume.make_snapshot(folder.ino, name)
        self.snapshots[key] = made.version
        self.committed(number, version)
        self.told.append(f"snapshot {name!r} of {number}")

    async def forget_snapshot(self) -> None:
        if not self.snapshots:
            return
        key = self.rng.choice(sorted(self.snapshots))
        number = self.snapshots.pop(key)
        self.may(self.promise())
        try:
            await self.volume.delete_snapshot(*key)
        except FileError:
            self.snapshots[key] = number  # its folder is no more
        self.kept()
        self.told.append(f"forget {key}")

    async def prune(self) -> None:
        """Lets all but the newest versions go; where it is cut, the next opening goes on."""
        keep = self.rng.choice([1, 1, 2, 4])
        before = self.all_durable()
        first = self.volume.versions.newest.version + 1
        may = May([self.with_version(first, before)])
        self.recording.mark(may)
        done = await prune(self.volume, keep, False, lambda *progress: None)
        for number in range(first, self.volume.versions.newest.version + 1):
            self.versions[number] = Version(before.view, root_of(self.volume, number))
        if first in self.versions:
            before.root = self.versions[first].root
        left = {facts.version for facts in self.volume.versions.all()}
        self.versions = {number: version for number, version in self.versions.items() if number in left}
        may.promises.append(self.promise())
        self.kept()
        self.told.append(f"prune to {keep}: {done}")

    async def restore(self) -> None:
        """Takes the whole drive back to a version; a version of the present comes first."""
        number = self.rng.choice(sorted(self.versions))
        before = self.all_durable()
        first = self.volume.versions.newest.version + 1
        may = May([self.with_version(first, before)])
        self.recording.mark(may)
        await restore(self.volume, b"", number)
        self.root = model_of_volume(self.volume)
        newest = self.volume.versions.newest.version
        after = Version(view_of_model(self.root))
        if newest > first:
            before.root = root_of(self.volume, first)
            self.versions[first] = before
        may.promises.append(self.with_version(newest, after))
        self.committed(newest, after)
        self.told.append(f"restore {number} as {newest}")
