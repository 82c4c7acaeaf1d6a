"""Versions: what a WHEN means here, which entries a directory's `.versions` has, and the trees behind them."""

import struct
from collections.abc import Callable, Iterable, Iterator
from datetime import tzinfo
from itertools import islice, takewhile
from typing import Final, NamedTuple, TypeVar

from hyperfs.errors import Corrupt, FormatTooNew, NoSuchVersion, NotResident
from hyperfs.policy.when import At, Name, Number, check_snapshot_name, display_name, parse_when
from hyperfs.trie.node import Ref
from hyperfs.values import ROOT_INO
from hyperfs.volume import commit_record, gone, keys
from hyperfs.volume.catalog import Catalog, VersionFacts
from hyperfs.volume.commit_record import Commit
from hyperfs.volume.gone import GoneVersions
from hyperfs.volume.nodes import Nodes
from hyperfs.volume.offers import Offer, Offers, offered
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
        device_of: Callable[[int], int],
    ) -> None:
        """`device_of`: whose a log is."""
        self._device_of = device_of
        self._read_extent = read_extent
        self._catalog = catalog
        self._nodes = nodes
        self._live = live
        self._newest = newest
        self._commits: dict[int, Commit] = {}
        self._roots: dict[int, tuple[Ref | None, Offer | None]] = {}
        self._offers: tuple[int, Offers] | None = None
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
            if facts is None and (pinned := self._pinned_commit(version)) is not None:
                return pinned
            if facts is None:
                raise NoSuchVersion(self._why_not(version))
            commit = read_commit(self._nodes, facts.log, facts.index)
            if len(commit.replaced.nodes) + len(commit.replaced.chunks) <= SHORT_LIST:
                _keep(self._commits, version, commit)
        return commit

    @property
    def offers(self) -> Offers:
        """What the newest version says of what the others offer. Raises Corrupt, NotResident."""
        newest = self._newest()
        if self._offers is None or self._offers[0] != newest.version:
            self._offers = newest.version, self._read_offers(newest.root)
            self._roots = {}
        return self._offers[1]

    def _read_offers(self, root: Ref | None) -> Offers:
        try:
            return Offers(Tree(self._nodes.load, root, self._read_extent))
        except (Corrupt, FormatTooNew, NotResident):
            # A damaged drive, to be read only: what may be gone is then told by what can't be read.
            return Offers(Tree(self._nodes.load, None, self._read_extent))

    def is_kept(self, version: int) -> bool:
        return self._catalog.version(version) is not None

    def _why_not(self, version: int) -> str:
        marked = GoneVersions(self._live.facts(gone.PREFIX)).of(version)
        if marked is None:
            return f"there is no version {version}: they go from 1 to {self._newest().version}"
        since = display_name(marked.when_ns // 10**9)
        return f"version {version} is not kept: it was let go at {since}, with versions up to {marked.last}"

    def look_again(self) -> None:
        """The index knows more than it did."""
        self._commits.clear()
        self._roots.clear()
        self._offers = None

    def forget(self, versions: Iterable[int]) -> None:
        """These were let go."""
        self.let_go += 1
        for version in versions:
            self._commits.pop(version, None)
            self._roots.pop(version, None)

    def tree(self, version: int) -> Tree:
        """The drive as it was in that version; as version 0, before the first, it is empty."""
        whole, offer = self._tree(version)
        return offered(whole, offer, self._read_extent)

    def whole_tree(self, version: int) -> Tree:
        """With what the version does not offer any more: its names are there, its bytes may be gone."""
        return self._tree(version)[0]

    def _tree(self, version: int) -> tuple[Tree, Offer | None]:
        offers = self.offers  # first: it forgets what was told before it changed
        found = self._roots.get(version)
        if found is None:
            commit = self.commit(version) if version else None
            found = (None, None) if commit is None else (commit.root, offers.of(version, commit.device))
            _keep(self._roots, version, found)
        return Tree(self._nodes.load, found[0], self._read_extent), found[1]

    def _pinned_commit(self, version: int) -> Commit | None:
        """Of a version that is gone, but for what was deleted after it."""
        pinned = self.offers.pinned(version)
        if not pinned or not self.offers.gone.has(version):
            return None
        return read_commit(self._nodes, pinned[0].log, pinned[0].block)

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
        found = (facts for facts in self._catalog.versions(max(self.born(ino), after + 1)) if facts.second)
        return found if not self.offers.absent else (facts for facts in found if self._is_offered(facts, ino))

    def _is_offered(self, facts: VersionFacts, directory: int) -> bool:
        """Whether a version offers a live directory, by the region in which that lies now."""
        absent = self.offers.absent
        region = next((ino for ino in self.ancestry(directory) if ino in self.offers.borders), ROOT_INO)
        return not absent.has(region, self._device_of(facts.log), facts.version)

    def offered_from(self, facts: VersionFacts, last: int, ino: int) -> VersionFacts | None:
        """The first version from one up to the last that offers an inode, which all of them have; None for none."""
        if not self.offers.absent:
            return facts
        return next((found for found in self._through(facts, last) if not self.tree(found.version).hides(ino)), None)

    def _through(self, facts: VersionFacts, last: int) -> Iterator[VersionFacts]:
        return takewhile(lambda found: found.version <= last, self._catalog.versions(facts.version))

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
                return self._offered_at(self._at(time_ns, second, text), directory)
            case Name(name):
                snapshot = self.snapshot(directory, name.encode("utf-8", "surrogateescape"))
                if snapshot is None:
                    raise NoSuchVersion(f"there is no snapshot named {name!r} for this folder or one above it")
                return snapshot.version
        raise AssertionError(when)

    def _offered_at(self, version: int, directory: int) -> int:
        """The version, or the one before it that offers the directory; the version itself where none does."""
        facts = self._catalog.version(version)
        while facts is not None and self.offers.absent:
            if self._is_offered(facts, directory):
                return facts.version
            before = self.kept_before(facts.time_ns)
            facts = self._catalog.version(before) if before else None
        return version

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
