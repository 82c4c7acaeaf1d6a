"""A small drive with every kind of content, what can be read from it, and how two readings compare.

The sample is a copy of the store taken while it was open: what a SIGKILL leaves, with changes that were fsynced
after the last version and changes that were not.
"""

import hashlib
import itertools
import os
import random
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import trio

from hyperfs.crypto import wrap
from hyperfs.crypto.keys import LOG_CONTENT, LOG_METADATA, DeviceKeys
from hyperfs.errors import HyperfsError
from hyperfs.log.control import Chain
from hyperfs.volume.creating import create_store, new_secrets
from hyperfs.volume.device_logs import log_folder
from hyperfs.volume.inode import Inode
from hyperfs.volume.opening import open_volume
from hyperfs.volume.options import Options
from hyperfs.volume.tree import Tree
from hyperfs.volume.volume import Volume

START_NS = 1_795_255_200 * 10**9


def ticking(start_ns: int = START_NS) -> Callable[[], int]:
    """A clock for tests: a quarter of a second goes by between two looks at it."""
    ticks = itertools.count()
    return lambda: start_ns + next(ticks) * 250_000_000


class Drive:
    """A store in a folder and the means to open it. `options` are those of every opening."""

    def __init__(self, path: Path, options: Options | None = None) -> None:
        self.path = path
        self.options = options or Options(memory_index=True)

    def create(self) -> None:
        secrets = new_secrets("sample", "laptop")
        key_file = wrap.wrap(wrap.KIND_DEVICE, secrets.device_keys.to_bytes())
        create_store(self.path, secrets, key_file, self.options)

    def open(self, **changes: Any) -> Volume:
        """As the command does it: the key file first."""
        keys = DeviceKeys.from_bytes(wrap.unwrap((self.path / "keys").read_bytes(), wrap.KIND_DEVICE))
        return open_volume(self.path, keys, replace(self.options, **changes))

    def log_kinds(self) -> dict[str, str]:
        """ "metadata" or "content" by the name of a log's folder."""
        chain = Chain.parse((self.path / "control").read_bytes())
        kinds = {LOG_METADATA: "metadata", LOG_CONTENT: "content"}
        return {log_folder(entry).rpartition("/")[2]: kinds[entry.kind] for entry in chain.logs.values()}

    def log_file(self, kind: str, name: str) -> Path:
        """A file of the content or metadata log: blocks, tree or heads."""
        (log,) = [log for log, found in self.log_kinds().items() if found == kind]
        return self.path / "logs" / log / name


# Writing, as the handlers do it


async def put(volume: Volume, folder: Inode, name: bytes, data: bytes) -> Inode:
    inode = volume.names.make(folder.ino, name, 0o100644, 1000, 100)
    await volume.files.write(inode, 0, data)
    return inode


async def fill(volume: Volume, seed: int) -> None:
    """Several versions of everything that a drive can hold."""
    rng = random.Random(seed)
    names, files = volume.names, volume.files
    root = volume.overlay.inode(1)
    docs = names.make(1, b"docs", 0o40755, 1000, 100)
    for number in range(40):
        await put(volume, docs, b"note %d" % number, rng.randbytes(600 + 40 * number))
    for number in range(12):
        await put(volume, docs, b"tiny %d" % number, b"small " * number)
    noise = await put(volume, root, b"noise", rng.randbytes(700_000))
    await put(volume, root, b"text", b"".join(b"line %d of a text\n" % n for n in range(15_000)))
    sparse = await put(volume, root, b"sparse", b"begin" * 400)
    await files.write(sparse, 900_000, b"end" * 1000)
    await files.resize(sparse, 2_000_000)
    names.symlink(1, b"link", b"docs/note 1", 1000, 100)
    names.link(noise, docs.ino, b"noise again")
    names.make(1, b"fifo", 0o10600, 1000, 100)
    names.make(1, b"device", stat.S_IFCHR | 0o600, 0, 0, os.makedev(1, 3))
    odd = names.make(docs.ino, b"\xff\xfe odd\n", 0o41777, 1, 2)
    volume.xattrs.set(odd, b"user.short", b"value")
    volume.xattrs.set(noise, b"user.medium", b"v" * 1000)
    volume.xattrs.set(noise, b"user.long", rng.randbytes(5000))
    await volume.commit()
    await volume.make_snapshot(1, b"before")
    await files.write(noise, 300_000, b"edited in place")
    await files.resize(names.lookup(docs.ino, b"note 7"), 100)
    names.unlink(docs.ino, b"note 8")
    await volume.commit()
    await put(volume, docs, b"note 9.new", rng.randbytes(5000))
    names.rename(docs.ino, b"note 9.new", docs.ino, b"note 9")
    names.rename(docs.ino, b"note 10", 1, b"moved")
    names.unlink(1, b"text")
    await volume.commit()
    for number in range(14):
        await files.write(names.lookup(docs.ino, b"note %d" % (11 + number % 20)), 50 * number, b"again %d" % number)
        await volume.commit()
    await volume.make_snapshot(docs.ino, b"notes")
    await volume.commit()


async def change_with_fsync(volume: Volume, seed: int) -> None:
    """After the last version: changes that are on disk and in no version, and then some that are not on disk."""
    rng = random.Random(seed + 1)
    names, files = volume.names, volume.files
    root, docs = volume.overlay.inode(1), names.lookup(1, b"docs")
    letter = await put(volume, docs, b"letter", b"Dear all, " * 200)
    await volume.fsync(letter)
    large = await put(volume, root, b"large", rng.randbytes(400_000))
    await volume.fsync(large)
    names.rename(docs.ino, b"note 3", 1, b"note three")
    names.unlink(docs.ino, b"note 4")
    volume.xattrs.set(large, b"user.later", b"yes")
    await files.write(names.lookup(1, b"noise"), 10, b"fsynced edit")
    await volume.fsync(names.lookup(1, b"noise"))
    await files.write(letter, 2000, b"P.S.")
    await volume.fsync(letter)
    # From here on nothing was promised.
    await files.write(letter, 0, b"Never synced")
    unsynced = await put(volume, root, b"unsynced", rng.randbytes(300_000))
    await files.flushing.flush([unsynced])


def build_sample(folder: Path, options: Options, seed: int = 1) -> "Sample":
    """Makes the drive and copies it as a kill would leave it."""
    drive = Drive(folder / "original", options)
    drive.create()
    copy = folder / "killed"

    async def work() -> None:
        volume = drive.open()
        async with volume.running():
            await fill(volume, seed)
            await change_with_fsync(volume, seed)
            copy_store(drive.path, copy)

    trio.run(work)
    return Sample.of(copy, options)


def copy_store(source: Path, target: Path) -> None:
    """All of a store but its reserve, which is only space."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("reserve"))


# Reading

Facts = tuple[Any, ...]
Listing = dict[bytes, "Facts | HyperfsError"]
"""What is at each path; for what can't be read, the error. A folder whose names can't be read is one too."""


class Reader:
    """One tree of an open drive: the present or a version.

    `digests` is shared by the versions read in one opening: the same extents give the same bytes out of the
    block cache, so hashing them for every version shows nothing more. Errors are not kept, and the present is
    always read, since unsaved bytes lie over its extents.
    """

    def __init__(self, volume: Volume, tree: Tree, live: bool, digests: dict[Any, bytes]) -> None:
        self._volume = volume
        self._tree = tree
        self._live = live
        self._digests = digests

    def listing(self) -> Listing:
        found: Listing = {}
        self._add(found, b"", 1)
        return found

    def _add(self, found: Listing, path: bytes, ino: int) -> None:
        try:
            inode = self._volume.overlay.inode(ino) if self._live else self._tree.inode(ino)
            assert inode is not None, f"a name of nothing: {path!r}"
            found[path] = self._facts(inode)
            children = list(self._tree.dentries(ino)) if inode.is_directory else []
        except HyperfsError as error:
            found[path] = error
            return
        for name, (child, _) in children:
            self._add(found, path + b"/" + name if path else name, child)

    def _facts(self, inode: Inode) -> Facts:
        stored = (inode.ino, inode.mode, inode.uid, inode.gid, inode.nlink, inode.size, inode.rdev)
        times = (inode.atime_ns, inode.mtime_ns, inode.ctime_ns, inode.btime_ns)
        xattrs = tuple(sorted(self._tree.xattrs(inode.ino).items()))
        return *stored, *times, xattrs, self._content(inode)

    def _content(self, inode: Inode) -> bytes:
        if inode.is_directory:
            return b""
        if inode.is_symlink:
            return inode.inline or b""
        if self._live:
            return digest(self._volume.files.read(inode, 0, inode.size))
        if inode.inline is not None:
            return digest(inode.inline.ljust(inode.size, b"\0"))
        extents = self._tree.extents(inode.ino, 0, inode.size)
        wanted = (inode.size, tuple(extents))
        if wanted not in self._digests:
            self._digests[wanted] = digest(self._volume.content.read(extents, 0, inode.size))
        return self._digests[wanted]


def digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


@dataclass
class Reading:
    """All that a drive shows: the present, every version, the snapshots, and what it warned of."""

    live: Listing
    versions: dict[int, "Listing | HyperfsError"]
    facts: list[Any]
    snapshots: list[Any] | HyperfsError
    warnings: dict[str, str]

    @classmethod
    def of(cls, volume: Volume, through: int | None = None) -> "Reading":
        """`through`: the last version to read; later ones were made by opening."""
        facts = [f for f in volume.versions.all() if through is None or f.version <= through]
        versions: dict[int, Listing | HyperfsError] = {}
        digests: dict[Any, bytes] = {}
        for fact in facts:
            try:
                tree = volume.versions.tree(fact.version)
            except HyperfsError as error:
                versions[fact.version] = error
            else:
                versions[fact.version] = Reader(volume, tree, live=False, digests=digests).listing()
        live = Reader(volume, volume.overlay.live, live=True, digests=digests).listing()
        snapshots: list[Any] | HyperfsError
        try:
            snapshots = volume.versions.snapshots()
        except HyperfsError as error:
            snapshots = error
        return cls(live, versions, facts, snapshots, dict(volume.warnings))


@dataclass
class Difference:
    """`errors`: (version or None for the present, path) of what is reported as unreadable; `wrong`: lies."""

    errors: list[tuple[int | None, bytes]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def same(self) -> bool:
        return not self.errors and not self.wrong


def compare(expected: Reading, found: Reading) -> Difference:
    """What `found` says otherwise than `expected`, which has no errors in it."""
    difference = Difference()
    _compare_listing(difference, None, expected.live, found.live)
    missing = [f.version for f in expected.facts if f not in found.facts]
    if "damage" in found.warnings and all(f in expected.facts for f in found.facts):
        difference.errors += [(version, b"") for version in missing]  # said to be unreadable; verify must list them
    elif found.facts != expected.facts:
        difference.wrong.append(f"versions missing or changed: {missing}")
    if isinstance(found.snapshots, HyperfsError):
        difference.errors.append((None, b""))
    elif found.snapshots != expected.snapshots:
        difference.wrong.append(f"snapshots {found.snapshots}")
    for version, listing in found.versions.items():
        before = expected.versions.get(version)
        if isinstance(listing, HyperfsError):
            difference.errors.append((version, b""))
        elif not isinstance(before, dict):
            difference.wrong.append(f"version {version} was not there before")
        else:
            _compare_listing(difference, version, before, listing)
    return difference


def _compare_listing(difference: Difference, version: int | None, expected: Listing, found: Listing) -> None:
    unreadable = {path for path, facts in found.items() if isinstance(facts, HyperfsError)}
    difference.errors += [(version, path) for path in sorted(unreadable)]
    for path in expected.keys() | found.keys():
        facts = found.get(path)
        if path in unreadable or (facts is None and any(above in unreadable for above in parents(path))):
            continue
        if facts != expected.get(path):
            difference.wrong.append(f"version {version} {path!r}: {facts} and not {expected.get(path)}")


def parents(path: bytes) -> Iterator[bytes]:
    while path:
        path = path.rpartition(b"/")[0]
        yield path


# The sample


@dataclass
class Sample:
    """The killed store's files in memory, to be laid out again and again, and what must be read from it."""

    files: dict[str, bytes]
    sizes: dict[str, int]
    options: Options
    expected: Reading
    newest: int
    log_kinds: dict[str, str]

    @classmethod
    def of(cls, killed: Path, options: Options) -> "Sample":
        files = {}
        sizes = {}
        for path in sorted(p for p in killed.rglob("*") if p.is_file()):
            data = path.read_bytes()
            name = str(path.relative_to(killed))
            sizes[name] = len(data)
            files[name] = data.rstrip(b"\0") if name.startswith("journal/") else data
        drive = Drive(killed, options)
        expected, newest = trio.run(read_all, drive, None)
        return cls(files, sizes, options, expected, newest, drive.log_kinds())

    def lay_out(self, folder: Path) -> Drive:
        """A fresh copy of the killed store in `folder`, which must not be there."""
        for name, data in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            if self.sizes[name] != len(data):
                os.truncate(path, self.sizes[name])
        for name in ("index", "journal"):
            (folder / name).mkdir(exist_ok=True)
        return Drive(folder, self.options)


async def read_all(drive: Drive, through: int | None) -> tuple[Reading, int]:
    """Opens the drive as a mount does, which commits what the journal holds, and reads all of it."""
    volume = drive.open()
    newest = volume.committer.newest.version
    async with volume.running():
        reading = Reading.of(volume, newest if through is None else through)
    return reading, newest
