"""From version to version in the history of a file or folder: only by those that may have made a difference to it."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from hyperfs.volume.catalog import VersionFacts
from hyperfs.volume.changes import ATTRIBUTES, CONTENT
from hyperfs.volume.file_states import Spot, file_at
from hyperfs.volume.inode import Inode
from hyperfs.volume.paths import Paths, find, parts_of
from hyperfs.volume.pins import Pin
from hyperfs.volume.tree import Tree
from hyperfs.volume.volume import Volume

AS_IT_WAS: Final = "as it was last, kept for 30 days"
"""How a version is told of which nothing is left but what was deleted after it."""


class FileVersion(NamedTuple):
    """A version that differs from the one before it in a file or folder.

    `second` is its display second, 0 where `.versions` does not list it; `name` a snapshot's that keeps it.
    `size` is the file's bytes, or those of all names below a folder; 0 once deleted. `change` says in words what
    differs: created, content, attributes, renamed from X, deleted; for a folder how many things. `let_go`: how many
    states of a file between the version listed before and this one are not kept, as far as is known.
    """

    version: int
    time_ns: int
    second: int
    size: int
    device: int
    name: bytes | None
    change: str
    let_go: int = 0


class Steps:
    """The versions in which something of a file or folder may have changed, each beside the one before it."""

    def __init__(self, volume: Volume, path: bytes) -> None:
        self._versions = volume.versions
        self._changes = volume.changes
        self._nothing = Tree(volume.parts.nodes.load, None, volume.parts.chunkstore.read_chunk)
        self.names = _snapshot_names(volume, path)

    def all_versions(self) -> Iterator[VersionFacts]:
        """Newest first."""
        facts: VersionFacts | None = self._versions.kept_from(self._versions.newest.version)
        while facts is not None:
            yield facts
            before = self._versions.kept_before(facts.time_ns)
            facts = self._versions.kept_from(before) if before else None

    def pair(self, facts: VersionFacts) -> tuple[int, Paths, Paths]:
        """The number of the version before, its tree, and the tree."""
        earlier = self._versions.kept_before(facts.time_ns)
        before = Paths(self._versions.whole_tree(earlier) if earlier else self._nothing)
        return earlier, before, Paths(self._versions.whole_tree(facts.version))

    def file_at(self, facts: VersionFacts | None, spot: Spot) -> Inode | None:
        """In a version, or the newest one."""
        version = facts.version if facts is not None else self._versions.newest.version
        return file_at(self._versions.whole_tree(version), spot)

    def newest_change(self, inode: Inode | None, spot: Spot, through: int | None = None) -> VersionFacts | None:
        """The last version up to `through` in which a file may have changed; where there is none, a name have gone."""
        if inode is None:
            version = next((found.version for found in self._changes.went(*spot, through)), 0)
        else:
            row = next(self._changes.touched(inode.ino, through), None)
            version = max(inode.born, row.version if row is not None else 0)
        return self._versions.kept_from(version) if version else None

    def end_of(self, directory: int, last: int) -> VersionFacts | None:
        """The version with which a name's end is told: none while its directory is there, else the one after `last`."""
        newest = self._versions.whole_tree(self._versions.newest.version)
        return None if newest.inode(directory) is not None else self.kept_from(last + 1)

    def kept_from(self, version: int) -> VersionFacts | None:
        return self._versions.kept_from(version)

    def of_folder(self, ino: int, last: int) -> Iterator[VersionFacts]:
        """The versions up to `last`, newest first, in which something may have changed in a folder or below it."""
        seen = last + 1
        for row in self._changes.touched(ino, last):
            facts = self._versions.kept_from(row.version)
            if facts is not None and facts.version < seen:
                seen = facts.version
                yield facts
        inode = self._versions.whole_tree(last).inode(ino)
        born = self._versions.kept_from(inode.born) if inode is not None else None
        if born is not None and born.version < seen:
            yield born

    @property
    def newest(self) -> int:
        return self._versions.newest.version

    def offered_from(self, facts: VersionFacts, until: int, ino: int) -> VersionFacts | None:
        """The first version from one to the last that offers the inode."""
        return self._versions.offered_from(facts, until, ino)

    def pinned(self, spot: Spot) -> list[FileVersion]:
        """What was deleted under a name and is pinned, newest first."""
        pins = sorted(self._versions.offers.pinned_from(spot.directory), reverse=True)
        return [self._pinned(pin) for pin in pins if pin.name == spot.name]

    def _pinned(self, pin: Pin) -> FileVersion:
        commit, tree = self._versions.commit(pin.version), self._versions.tree(pin.version)
        inode = tree.inode(pin.ino)
        size = 0 if inode is None else tree_bytes(tree, pin.ino) if inode.is_directory else inode.size
        return FileVersion(pin.version, commit.time_ns, 0, size, commit.device, None, AS_IT_WAS)

    def let_go(self, inode: Inode, before: int, facts: VersionFacts, is_there: bool) -> int:
        """How many states of a file came after one version and are not kept in the next kept one."""
        known = int(before < inode.born <= facts.version)
        for row in self._changes.touched(inode.ino, facts.version):
            if row.version <= max(before, inode.born):
                break
            known += bool(row.flags & (CONTENT | ATTRIBUTES))
        return max(0, known - is_there)

    def file_version(self, facts: VersionFacts, size: int, change: str, let_go: int = 0) -> FileVersion:
        device = self._versions.commit(facts.version).device
        name = self.names.get(facts.version)
        return FileVersion(facts.version, facts.time_ns, facts.second, size, device, name, change, let_go)


def _snapshot_names(volume: Volume, path: bytes) -> dict[int, bytes]:
    """The snapshots that can be named where the path is, by version."""
    live = volume.overlay.live
    parts = parts_of(path)
    # The nearest folder that the path is in today. Not the file's `parent`: it may have names elsewhere.
    while (directory := _directory(live, b"/".join(parts))) is None:
        parts.pop()
    visible = volume.versions.visible_snapshots(directory).values()
    return {snapshot.version: snapshot.name for snapshot in sorted(visible, key=lambda s: s.made_ns, reverse=True)}


def _directory(tree: Tree, path: bytes) -> int | None:
    ino = find(tree, path)
    inode = None if ino is None else tree.inode(ino)
    return ino if inode is not None and inode.is_directory else None


def tree_bytes(tree: Tree, ino: int) -> int:
    """The sizes of all names below a directory; a file with two names counts twice."""
    total = 0
    waiting = [ino]
    while waiting:
        folder = waiting.pop()
        for _, (child, _) in tree.dentries(folder):
            inode = tree.inode(child)
            if inode is None:
                continue
            if inode.is_directory:
                if inode.parent == folder:
                    waiting.append(child)
            else:
                total += inode.size
    return total
