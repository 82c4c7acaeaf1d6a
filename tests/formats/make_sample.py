"""Makes the sample drives: archives of small stores, and for each a manifest of every version's tree.

    python -m tests.formats.make_sample FOLDER NAME

writes FOLDER/NAME.tar.xz and FOLDER/NAME.json. The name is `sample`; `pruned`, of which old versions were let go; or
`deltas`, in which much takes the place of what is like it, and of which old versions were let go too. The
stores are what a kill leaves behind: their newest changes were fsynced and are in no version. Those of a frozen format
are never made anew: this is for a further format, or a further sample; see docs/formats/README.md.
"""

import hashlib
import json
import lzma
import os
import stat
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import trio

from hyperfs.crypto import recovery, wrap
from hyperfs.values import FORMAT_VERSION, ROOT_INO
from hyperfs.volume.creating import create_store, new_secrets
from hyperfs.volume.inode import Inode
from hyperfs.volume.opening import open_volume
from hyperfs.volume.options import Options
from hyperfs.volume.prune import prune
from hyperfs.volume.restore import restore
from hyperfs.volume.tree import Tree
from hyperfs.volume.volume import Volume

START_NS: Final = 1_795_000_000_000_000_000
SECOND_NS: Final = 1_000_000_000
RESERVE_BYTES: Final = 4096
DEFAULT_ACL: Final = bytes.fromhex(
    "02000000"  # as the kernel gives it: version 2; then each entry's tag, permissions, id
    "01000700ffffffff" "02000600e9030000" "04000500ffffffff" "10000700ffffffff" "20000500ffffffff"
)
Entry = dict[str, Any]
Read = Callable[[Inode], bytes]


class Clock:
    """Thirty seconds and a bit pass between two looks, so that every commit is listed under its own second."""

    def __init__(self) -> None:
        self.now_ns = START_NS

    def __call__(self) -> int:
        self.now_ns += 30 * SECOND_NS + 123_456_789
        return self.now_ns


def options(clock: Callable[[], int]) -> Options:
    return Options(memory_index=True, reserve_bytes=RESERVE_BYTES, wall_ns=clock)


# What a manifest says of a tree


def tree_of(tree: Tree, read: Read) -> dict[str, Entry]:
    """Everything in a tree by path; `.` is the root. Names are as os.fsdecode gives them."""
    found: dict[str, Entry] = {}
    waiting = [(ROOT_INO, "")]
    while waiting:
        ino, path = waiting.pop()
        inode = tree.inode(ino)
        assert inode is not None, path
        found[path or "."] = _entry(inode, tree, read)
        if inode.is_directory:
            waiting += [(child, f"{path}/{os.fsdecode(name)}") for name, (child, _) in tree.dentries(ino)]
    return dict(sorted(found.items()))


def _entry(inode: Inode, tree: Tree, read: Read) -> Entry:
    entry: Entry = {
        "mode": stat.filemode(inode.mode),
        "owner": [inode.uid, inode.gid],
        "ino": inode.ino,
        "times_ns": [inode.atime_ns, inode.mtime_ns, inode.ctime_ns, inode.btime_ns],
    }
    optional = {
        "size": inode.size,
        "stored": inode.stored,
        "born": inode.born,
        "predecessor": inode.predecessor,
        "rdev": inode.rdev,
        "nlink": inode.nlink if inode.nlink > 1 else 0,
        "sha256": _sha256(read(inode)) if inode.is_file else None,
        "target": os.fsdecode(inode.inline or b"") if inode.is_symlink else None,
        "xattrs": {os.fsdecode(name): _sha256(value) for name, value in sorted(tree.xattrs(inode.ino).items())},
    }
    return entry | {name: value for name, value in optional.items() if value}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def past_reader(volume: Volume, tree: Tree) -> Read:
    """Reads files of a version."""

    def read(inode: Inode) -> bytes:
        if inode.inline is not None:
            return inode.inline.ljust(inode.size, b"\0")
        return volume.content.read(tree.extents(inode.ino, 0, inode.size), 0, inode.size)

    return read


def live_reader(volume: Volume) -> Read:
    """Reads files of the live tree."""
    return lambda inode: volume.files.read(inode, 0, inode.size)


def describe(volume: Volume) -> Entry:
    """Every version's tree and the live one, each as what differs from the one before; and the snapshots."""
    versions: list[Entry] = []
    trees: list[dict[str, Entry]] = [{}]
    for facts in volume.versions.all():
        tree = volume.versions.tree(facts.version)
        trees.append(tree_of(tree, past_reader(volume, tree)))
        about = {"version": facts.version, "time_ns": facts.time_ns, "second": facts.second}
        versions.append(about | _difference(*trees[-2:]))
    live = tree_of(volume.overlay.live, live_reader(volume))
    return {
        "drive": volume.drive_id.hex(),
        "versions": versions,
        "snapshots": [[s.directory, os.fsdecode(s.name), s.version, s.made_ns] for s in volume.versions.snapshots()],
        "live": _difference(trees[-1], live),
        "totals": [volume.overlay.files, volume.overlay.directories, volume.overlay.file_bytes],
    }


def _difference(old: dict[str, Entry], new: dict[str, Entry]) -> Entry:
    return {
        "put": {path: entry for path, entry in new.items() if old.get(path) != entry},
        "gone": [path for path in old if path not in new],
    }


# The life of the sample


def noise(seed: str, size: int) -> bytes:
    """Bytes that no compressor shrinks, the same ones every time."""
    return hashlib.shake_128(seed.encode()).digest(size)


def text(seed: str, size: int) -> bytes:
    """Bytes that shrink well."""
    lines = (f"line {number} of {seed}, and so on\n".encode() for number in range(size))
    data = bytearray()
    while len(data) < size:
        data += next(lines)
    return bytes(data[:size])


class Author:
    """Does to a volume what programs would do."""

    def __init__(self, volume: Volume) -> None:
        self.volume = volume
        self.names = volume.names

    def at(self, path: bytes) -> Inode:
        return self.names.find(path, ROOT_INO)

    def _place(self, path: bytes) -> tuple[int, bytes]:
        parent, _, name = path.rpartition(b"/")
        return self.at(parent).ino, name

    def make(self, path: bytes, mode: int, rdev: int = 0) -> Inode:
        return self.names.make(*self._place(path), mode, 1000, 100, rdev)

    async def write(self, path: bytes, data: bytes, mode: int = 0o100644, at: int = 0) -> Inode:
        parent, name = self._place(path)
        known = self.volume.overlay.live.dentry(parent, name)
        inode = self.make(path, mode) if known is None else self.at(path)
        await self.volume.files.write(inode, at, data)
        return inode

    def symlink(self, path: bytes, target: bytes) -> None:
        self.names.symlink(*self._place(path), target, 1000, 100)

    def link(self, old: bytes, new: bytes) -> None:
        self.names.link(self.at(old), *self._place(new))

    def rename(self, old: bytes, new: bytes) -> None:
        replaced = self.names.rename(*self._place(old), *self._place(new))
        if replaced is not None:
            self.volume.unlinked(replaced)

    def unlink(self, path: bytes) -> None:
        self.volume.unlinked(self.names.unlink(*self._place(path)))

    def xattr(self, path: bytes, name: bytes, value: bytes | None) -> None:
        self.volume.xattrs.set(self.at(path), name, value)


async def first_things(author: Author) -> None:
    """One of each kind."""
    author.make(b"docs", 0o40755)
    author.make(b"docs/deep", 0o42775)
    author.make(b"drop", 0o41777)
    await author.write(b"docs/tiny", b"hello\n")
    await author.write(b"docs/empty", b"")
    await author.write(b"docs/small.txt", text("small", 3000))
    await author.write(b"docs/run", b"#!/bin/sh\n", 0o104755)
    await author.write(b"noise.bin", noise("first", 50_000))
    await author.write(b"text.log", text("log", 700_000))
    sparse = await author.write(b"sparse", b"begin")
    await author.volume.files.write(sparse, 1_000_000, text("middle", 70_000))
    await author.volume.files.resize(sparse, 3_000_000)
    author.symlink(b"short link", b"docs/tiny")
    author.symlink(b"long link", b"x/" * 2000 + b"end")
    author.make(b"fifo", 0o10600)
    author.make(b"socket", 0o140600)
    author.make(b"device", 0o60640, rdev=0x801)
    author.link(b"docs/tiny", b"docs/deep/hard link")
    for name in (b"\xff\xfe not UTF-8", b"new\nline", b"n" * 255, "café ☕".encode()):
        await author.write(b"drop/" + name, name)
    author.xattr(b"docs/tiny", b"user.note", b"short")
    author.xattr(b"docs/deep", b"system.posix_acl_default", DEFAULT_ACL)
    author.xattr(b"docs/deep", b"user.long", noise("attribute", 2500))
    author.xattr(b"noise.bin", b"user.gone", b"soon")


async def many_names(author: Author) -> None:
    """Enough for branches on branches, and for packs."""
    author.make(b"many", 0o40750)
    for number in range(110):
        await author.write(b"many/%03d" % number, text(f"file {number}", number * 9))


async def edits(author: Author) -> None:
    """What history is there for."""
    await author.write(b"text.log", b"an edit in place", at=300_000)
    await author.write(b"noise.bin", noise("second", 5000), at=20_000)
    author.rename(b"docs/small.txt", b"docs/deep/moved.txt")
    await author.write(b"docs/.tiny.new", b"saved by rename\n")
    author.rename(b"docs/.tiny.new", b"docs/tiny")
    author.unlink(b"drop/new\nline")
    author.xattr(b"noise.bin", b"user.gone", None)
    await author.volume.files.resize(author.at(b"sparse"), 1_030_000)
    changed = author.at(b"docs")
    changed.mode = 0o40700
    author.volume.overlay.touch(changed)
    for number in range(0, 110, 3):
        author.unlink(b"many/%03d" % number)


async def in_the_journal(author: Author) -> None:
    """Fsynced, and in no version: each form that an item of the journal has."""
    volume = author.volume
    riding = await author.write(b"docs/riding", b"bytes in the journal")
    await volume.fsync(riding)
    await volume.files.resize(riding, 5)
    large = await author.write(b"large", noise("past the head", 66_000))
    author.rename(b"many", b"docs/many")
    author.unlink(b"docs/many/001")
    author.xattr(b"docs", b"user.late", b"note")
    author.xattr(b"docs/tiny", b"user.last", noise("late attribute", 1500))
    await author.write(b"text.log", text("tail", 150_000), at=650_000)
    await volume.fsync(author.at(b"text.log"))
    await volume.fsync(large)
    await volume.fsync(riding)
    await author.write(b"docs/lost", b"never synced")


def quiet(what: str, done: int, of: int) -> None:
    """Nobody watches."""


async def letting_go(author: Author) -> None:
    """Old versions go, but for a snapshot in the middle; bytes that went are written again."""
    for number in range(4):
        await author.write(b"noise.bin", noise(f"edit {number}", 9000), at=number * 9000)
        await author.volume.commit()
    await prune(author.volume, 2, False, quiet)
    await author.write(b"back", noise("second", 5000))
    await author.volume.commit()


def edited(data: bytes, number: int) -> bytes:
    """A little of it changed, a little put in."""
    at = len(data) * (number % 7 + 1) // 9
    return data[:at] + b"edit %d" % number + data[at + number % 3 :]


async def replacing(author: Author) -> None:
    """Every way in which bytes take the place of others: in chains as long as they may be, in packs and alone."""
    author.make(b"docs", 0o40755)
    author.make(b"drop", 0o40755)
    await many_names(author)
    files = {
        b"docs/letter": text("letter", 6000),
        b"docs/book": text("book", 300_000),
        b"docs/noise": noise("noise", 20_000),
        b"large": noise("large", 180_000),
        b"tiny": b"tiny",
    }
    for path, data in files.items():
        await author.write(path, data)
    pages = await author.write(b"pages", noise("pages", 150_000))
    log = await author.write(b"log", noise("log", 20_000))
    for number in range(9):
        await author.volume.commit()
        for path, data in files.items():
            files[path] = edited(data, number)
            if number % 3 == 1:
                author.unlink(path)
                await author.write(path, files[path])
            else:
                await author.write(b"drop/new", files[path])
                author.rename(b"drop/new", path)
        await author.volume.files.write(pages, 15_000 * number, noise(f"page {number}", 4096))
        await author.volume.files.write(log, log.size, text(f"line {number}", 90))
    await author.volume.commit()
    await prune(author.volume, 4, False, quiet)
    await author.write(b"docs/again", files[b"docs/book"])
    await author.volume.commit()
    await author.volume.files.write(pages, 3000, noise("alone in its block", 90_000))
    await author.volume.commit()
    # In the journal: one in chunks that no version names, one as bytes.
    for path, data in files.items():
        await author.write(b"drop/new", edited(data, 99))
        author.rename(b"drop/new", path)
        await author.volume.fsync(author.at(path))
    await author.volume.files.write(pages, 100_000, noise("last page", 4096))
    await author.volume.fsync(pages)


async def live(path: Path, device_keys: Any, clock: Clock, name: str) -> bytes:
    """Lives, and gives the archive of what a kill then would leave."""
    if name == "deltas":
        async with open_volume(path, device_keys, options(clock)).running() as volume:
            await replacing(Author(volume))
            return pack(path)
    archive = b""
    async with open_volume(path, device_keys, options(clock)).running() as volume:
        author = Author(volume)
        for chapter in (first_things, many_names):
            await chapter(author)
            await volume.commit()
        await volume.make_snapshot(ROOT_INO, b"before the edits")
        await edits(author)
        await volume.commit()
        await volume.make_snapshot(author.at(b"docs").ino, b"docs only")
        await volume.make_snapshot(ROOT_INO, b"forgotten")
        await volume.delete_snapshot(ROOT_INO, b"forgotten")
        await restore(volume, b"many", 3, b"many of old")
        await volume.commit()
        if name == "pruned":
            await letting_go(author)
        await in_the_journal(author)
        archive = pack(path)
    return archive


def pack(store: Path) -> bytes:
    """The store as tar.xz: names in order, owned by nobody, without what only a running process has."""
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for path in sorted(store.rglob("*")):
                if path.name in ("lock", "socket"):
                    continue
                info = tar.gettarinfo(path, f"store/{path.relative_to(store)}")
                info.uid = info.gid = info.mtime = 0
                info.uname = info.gname = ""
                with path.open("rb") if info.isfile() else open(os.devnull, "rb") as data:
                    tar.addfile(info, data if info.isfile() else None)
        file.seek(0)
        return lzma.compress(file.read(), preset=9)


def unpack(archive: Path, into: Path) -> Path:
    """The store folder out of an archive, with the modes that a store has."""
    with tarfile.open(archive) as tar:
        tar.extractall(into, filter="data")
    store = into / "store"
    for path in [store, *store.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)
    return store


def make(into: Path, name: str) -> None:
    """One sample."""
    into.mkdir(parents=True, exist_ok=True)
    clock = Clock()
    drive = new_secrets("sample", "here")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store"
        create_store(path, drive, wrap.wrap(wrap.KIND_DEVICE, drive.device_keys.to_bytes()), options(clock))
        archive = into / f"{name}.tar.xz"
        archive.write_bytes(trio.run(live, path, drive.device_keys, clock, name))
        copy = unpack(archive, Path(folder) / "copy")
        volume = open_volume(copy, drive.device_keys, Options(read_only=True))
        manifest = {
            "format": FORMAT_VERSION,
            "recovery_key": recovery.to_text(drive.root),
            **describe(volume),
        }
        volume.parts.close()
    (into / f"{name}.json").write_text(json.dumps(manifest, indent=0, sort_keys=True) + "\n")


if __name__ == "__main__":
    make(Path(sys.argv[1]), sys.argv[2])
