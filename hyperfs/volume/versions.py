"""Versions: what a WHEN means here, which entries a directory's `.versions` has, and the trees behind them."""

import struct
from collections.abc import Callable, Iterable, Iterator
from datetime import tzinfo
from itertools import islice
from typing import Final, NamedTuple, TypeVar

from hyperfs.errors import Corrupt, NoSuchVersion
from hyperfs.policy.when import At, Name, Number, check_snapshot_name, display_name, parse_when
from hyperfs.trie.node import Ref
from hyperfs.values import ROOT_INO
from hyperfs.volume import commit_record, gone, keys
from hyperfs.volume.catalog import Catalog, VersionFacts
from hyperfs.volume.commit_record import Commit
from hyperfs.volume.gone import GoneVersions
from hyperfs.volume.nodes import Nodes
from hyperfs.volume.tree import LiveTree, ReadExtent, Tree

V = TypeVar("V")

SNAPSHOT: Final = struct.Struct("<Qq")
TREES_KEPT: Final = 64
SHORT_LIST: Final = 500
"""A commit that let go of more is not kept in memory: its lists take up to a megabyte."""


class Snapshot(NamedTuple):
    """A version kept under a name for one directory and all below it. `made_ns`: when, since the epoch."""

    directory: int
    name: bytes
    version: int
    made_ns: int


class Versions:
    """Reads versions. Synchronous; Corrupt and NotResident go up."""

    def __init__(
        self,
        catalog: Catalog,
        nodes: Nodes,
        live: LiveTree,
        newest: Callable[[], Commit],
        read_extent: ReadExtent,
    ) -> None:
        self._read_extent = read_extent
        self._catalog = catalog
        self._nodes = nodes
        self._live = live
        self._newest = newest
        self._commits: dict[int, Commit] = {}
        self._roots: dict[int, Ref | None] = {}
        self.let_go = 0
        """How often versions were let go since the drive was opened."""

    @property
    def newest(self) -> Commit:
        return self._newest()

    def commit(self, version: int) -> Commit:
        """Raises NoSuchVersion."""
        newest = self._newest()
        if version == newest.version:
            return newest
        commit = self._commits.get(version)
        if commit is None:
            facts = self._catalog.version(version) if 0 < version < newest.version else None
            if facts is None:
                raise NoSuchVersion(self._why_not(version))
            commit = read_commit(self._nodes, facts.log, facts.index)
            if len(commit.replaced.nodes) + len(commit.replaced.chunks) <= SHORT_LIST:
                _keep(self._commits, version, commit)
        return commit

    def is_kept(self, version: int) -> bool:
        return self._catalog.version(version) is not None

    def _why_not(self, version: int) -> str:
        marked = GoneVersions(self._live.facts(gone.PREFIX)).of(version)
        if marked is None:
            return f"there is no version {version}: they go from 1 to {self._newest().version}"
        since = display_name(marked.when_ns // 10**9)
        return f"version {version} is not kept: it was let go at {since}, with versions up to {marked.last}"

    def forget(self, versions: Iterable[int]) -> None:
        """These were let go."""
        self.let_go += 1
        for version in versions:
            self._commits.pop(version, None)
            self._roots.pop(version, None)

    def tree(self, version: int) -> Tree:
        """The drive as it was in that version; as version 0, before the first, it is empty."""
        if version not in self._roots:
            _keep(self._roots, version, self.commit(version).root if version else None)
        return Tree(self._nodes.load, self._roots[version], self._read_extent)

    def all(self, first: int = 1) -> Iterator[VersionFacts]:
        """Every version from `first` on, oldest first."""
        return self._catalog.versions(first)

    def some(self, first: int, most: int) -> list[VersionFacts]:
        """Up to `most` versions from `first` on, oldest first."""
        return list(islice(self._catalog.versions(first), most))

    def before(self, version: int) -> int:
        """The kept version right before a kept one; 0 before the first. Raises NoSuchVersion."""
        facts = self._catalog.version(version)
        if facts is None:
            raise NoSuchVersion(self._why_not(version))
        return self.kept_before(facts.time_ns)

    def kept_before(self, time_ns: int) -> int:
        """The newest kept version that is older than that; 0 when there is none."""
        return self._catalog.at_time(time_ns - 1) or 0  # no two versions have one time

    def kept_from(self, version: int) -> VersionFacts | None:
        """The first kept version that is not older than that one."""
        return next(iter(self.some(version, 1)), None)

    def listed(self, ino: int, after: int = 0) -> Iterator[VersionFacts]:
        """The versions behind `after` that the `.versions` of a directory lists: those in which it existed, oldest
        first."""
        return (facts for facts in self._catalog.versions(max(self.born(ino), after + 1)) if facts.second)

    def born(self, ino: int) -> int:
        """The version that first held a live inode; the next one when none has yet."""
        inode = self._live.inode(ino)
        return (inode.born if inode is not None else 0) or self._newest().version + 1

    # Names

    def resolve(self, text: str, directory: int, now_ns: int, zone: tzinfo) -> int:
        """The version that a WHEN means in a directory. Raises BadWhen, NoSuchVersion."""
        when = parse_when(text, now_ns, zone)
        match when:
            case Number(version):
                return self.commit(version).version
            case At(time_ns, second):
                return self._at(time_ns, second, text)
            case Name(name):
                snapshot = self.snapshot(directory, name.encode("utf-8", "surrogateescape"))
                if snapshot is None:
                    raise NoSuchVersion(f"there is no snapshot named {name!r} for this folder or one above it")
                return snapshot.version
        raise AssertionError(when)

    def _at(self, time_ns: int, second: int | None, text: str) -> int:
        found = self._catalog.at_second(second) if second is not None else None
        if found is None:
            found = self._catalog.at_time(time_ns)
        if found is None:
            first = next(self._catalog.versions(1), None)
            since = f": the first version is of {display_name(first.time_ns // 10**9)}" if first else ""
            if first is not None and first.version > 1:
                since = f" that is kept: the oldest version is of {display_name(first.time_ns // 10**9)}"
            raise NoSuchVersion(f"{text!r} lies before the beginning of this drive{since}")
        return found

    def name_of(self, facts: VersionFacts) -> str:
        """How `.versions` names a version: its listed second, else its number."""
        return display_name(facts.second) if facts.second else f"@{facts.version}"

    # Snapshots

    def snapshots(self, directory: int | None = None) -> list[Snapshot]:
        """The snapshots made in one directory, or all."""
        prefix = keys.prefix(keys.NO_INO, keys.SNAPSHOT)
        if directory is not None:
            prefix += directory.to_bytes(8, "big")
        return [decode_snapshot(key, value) for key, value in sorted(self._live.facts(prefix).items())]

    def snapshot(self, directory: int, name: bytes) -> Snapshot | None:
        """The snapshot that a name means in a directory: its own, or the nearest one above."""
        for ino in self.ancestry(directory):
            value = self._live.fact(keys.snapshot_key(ino, name))
            if value is not None:
                return decode_snapshot(keys.snapshot_key(ino, name), value)
        return None

    def visible_snapshots(self, directory: int) -> dict[bytes, Snapshot]:
        """All names that mean a snapshot in a directory; the nearest one wins."""
        visible: dict[bytes, Snapshot] = {}
        for ino in self.ancestry(directory):
            for snapshot in self.snapshots(ino):
                visible.setdefault(snapshot.name, snapshot)
        return visible

    def ancestry(self, directory: int) -> Iterator[int]:
        """The directory and those above it, up to the root."""
        seen = set()
        while directory and directory not in seen:
            seen.add(directory)
            yield directory
            if directory == ROOT_INO:
                return
            inode = self._live.inode(directory)
            directory = inode.parent if inode is not None else 0


def decode_snapshot(key: bytes, value: bytes) -> Snapshot:
    """Raises Corrupt when the key has no folder and name, or the value is no snapshot's."""
    body = key[keys.PREFIX_BYTES :]
    if len(body) <= 8 or len(value) != SNAPSHOT.size:
        raise Corrupt("a snapshot's entry has an impossible length", f"key {key.hex()}")
    return Snapshot(int.from_bytes(body[:8], "big"), body[8:], *SNAPSHOT.unpack(value))


def snapshot_fact(directory: int, name: bytes, version: int, made_ns: int) -> tuple[bytes, bytes]:
    """The fact that keeps a version under a name. Raises InvalidArgument, NameTooLong for a name that can't be."""
    check_snapshot_name(name)
    return keys.snapshot_key(directory, name), SNAPSHOT.pack(version, made_ns)


def _keep(kept: dict[int, V], version: int, value: V) -> None:
    """The oldest goes when there are too many."""
    if len(kept) >= TREES_KEPT:
        del kept[next(iter(kept))]
    kept[version] = value


def read_commit(nodes: Nodes, log: int, index: int) -> Commit:
    """The commit in a block. Raises Corrupt when it is none."""
    return commit_record.decode(nodes.plaintext(log, index, nodes.COMMIT))
