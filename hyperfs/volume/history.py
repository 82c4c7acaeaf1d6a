"""The history of one file or folder, and of the drive: which versions made a difference, newest first.

A file's history follows the file across renames, and its name across saving by rename and across deletion: where
the inode was not there yet, what it replaced goes on, else what had the name before it.

Everything is a generator that does one version a step: whoever runs it in the event loop lets others run between.
"""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from hyperfs.errors import NotFound
from hyperfs.trie.below import diff_below
from hyperfs.values import ROOT_INO
from hyperfs.volume import keys
from hyperfs.volume.catalog import VersionFacts
from hyperfs.volume.compare import ATTRIBUTES, CONTENT, Difference, difference_of, differences, within
from hyperfs.volume.inode import Inode
from hyperfs.volume.paths import Paths, find, join, parts_of
from hyperfs.volume.tree import Tree
from hyperfs.volume.volume import Volume


class FileVersion(NamedTuple):
    """A version that differs from the one before it in a file or folder.

    `second` is its display second, 0 where `.versions` does not list it; `name` a snapshot's that keeps it.
    `size` is the file's bytes, or those of all names below a folder; 0 once deleted. `change` says in words what
    differs: created, content, attributes, renamed from X, deleted; for a folder how many things.
    """

    version: int
    time_ns: int
    second: int
    size: int
    device: int
    name: bytes | None
    change: str


class CommitSummary(NamedTuple):
    """A version and how many things differ from the one before it, of those that were asked for."""

    version: int
    time_ns: int
    second: int
    device: int
    name: bytes | None
    added: int
    removed: int
    moved: int
    changed: int
    attributes: int


class Spot(NamedTuple):
    """A name in a directory: where a file is looked for."""

    directory: int
    name: bytes


def versions_of(volume: Volume, path: bytes) -> Iterator[FileVersion]:
    """The distinct versions of what a path means, newest first. Raises NotFound when it never meant anything.

    A path that is no more is looked for in older versions, and its history begins with its deletion.
    """
    steps = _Steps(volume, path)
    for tree in steps.trees():
        ino = find(tree, path)
        if ino is not None:
            break
    else:
        raise NotFound(f"no version has {path.decode(errors='replace')!r}")
    inode = tree.inode(ino)
    if inode is not None and inode.is_directory:
        return _folder_versions(steps, ino)
    *folders, name = parts_of(path)
    parent = find(tree, b"/".join(folders))
    assert parent is not None
    return _file_versions(steps, Spot(parent, name))


def commits(volume: Volume, path: bytes = b"") -> Iterator[CommitSummary]:
    """The versions in which something at or below a path changed, newest first; all of them for the root."""
    steps = _Steps(volume, path)
    ino = next((ino for tree in steps.trees() if (ino := find(tree, path)) is not None), None)
    if ino is None:
        raise NotFound(f"no version has {path.decode(errors='replace')!r}")
    for facts, before, after in steps.pairs():
        found = _differences_below(before, after, ino)
        if found or ino == ROOT_INO:
            counts = Counter(difference.kind for difference in found)
            yield CommitSummary(
                facts.version,
                facts.time_ns,
                facts.second,
                volume.versions.commit(facts.version).device,
                steps.names.get(facts.version),
                counts["added"],
                counts["removed"],
                counts["moved"],
                counts["changed"],
                counts["attributes"],
            )


class _Steps:
    """The versions from the newest down, each beside the one before it."""

    def __init__(self, volume: Volume, path: bytes) -> None:
        self._versions = volume.versions
        self._nothing = Tree(volume.parts.nodes.load, None, volume.parts.chunkstore.read_chunk)
        self.facts = list(volume.versions.all())
        self.names = _snapshot_names(volume, path)

    def trees(self) -> Iterator[Tree]:
        for facts in reversed(self.facts):
            yield self._versions.tree(facts.version)

    def pairs(self) -> Iterator[tuple[VersionFacts, Paths, Paths]]:
        """(facts, the tree before, the tree) of every version. Before the first one is an empty tree."""
        after: Paths | None = None
        for position in range(len(self.facts) - 1, -1, -1):
            facts = self.facts[position]
            if after is None:
                after = Paths(self._versions.tree(facts.version))
            earlier = self.facts[position - 1].version if position else 0
            before = Paths(self._versions.tree(earlier) if earlier else self._nothing)
            yield facts, before, after
            after = before

    def file_version(self, facts: VersionFacts, size: int, change: str) -> FileVersion:
        device = self._versions.commit(facts.version).device
        name = self.names.get(facts.version)
        return FileVersion(facts.version, facts.time_ns, facts.second, size, device, name, change)


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


# Files


def _file_versions(steps: _Steps, spot: Spot) -> Iterator[FileVersion]:
    inode: Inode | None = None
    first = True
    for facts, before, after in steps.pairs():
        if first:
            inode, first = _at(after.tree, spot), False
        change, earlier, spot = _step(before, after, inode, spot)
        if change:
            yield steps.file_version(facts, inode.size if inode is not None else 0, change)
        inode = earlier


def _at(tree: Tree, spot: Spot) -> Inode | None:
    """What had the name in a version, if it was no folder: a folder's history is another one."""
    dentry = tree.dentry(*spot)
    inode = tree.inode(dentry[0]) if dentry is not None else None
    return None if inode is None or inode.is_directory else inode


def _step(before: Paths, after: Paths, inode: Inode | None, spot: Spot) -> tuple[str, Inode | None, Spot]:
    """What changed in a file from one version to the next; the file and its name as they were before."""
    if inode is None:
        earlier = _at(before.tree, spot)
        return ("" if earlier is None else "deleted"), earlier, spot
    earlier = before.tree.inode(inode.ino)
    if earlier is not None and earlier.predecessor == inode.predecessor:
        return _changed(before, after, earlier, inode, spot)
    replaced = before.tree.inode(inode.predecessor) if inode.predecessor else None
    earlier = replaced or _at(before.tree, spot) or earlier
    if earlier is None:
        return "created", None, spot
    old_spot = _spot(before, earlier, spot)
    if earlier.mode >> 12 != inode.mode >> 12:
        change = "content"
    else:
        change = _words(difference_of(before.tree, earlier, after.tree, inode))
    return _with_name(change, before, after, earlier, inode, old_spot, spot), earlier, old_spot


def _changed(before: Paths, after: Paths, earlier: Inode, inode: Inode, spot: Spot) -> tuple[str, Inode | None, Spot]:
    """The same inode in both versions. Nothing more is read where nothing of it has changed."""
    prefix = keys.whole(inode.ino)
    load = after.tree.load
    if next(diff_below(load, before.tree.root, after.tree.root, prefix), None) is None:
        return "", earlier, spot
    old_spot = _spot(before, earlier, spot)
    change = _words(difference_of(before.tree, earlier, after.tree, inode))
    return _with_name(change, before, after, earlier, inode, old_spot, spot), earlier, old_spot


def _spot(paths: Paths, inode: Inode, spot: Spot) -> Spot:
    """The name that the inode had in a version: the one it is known by, if it had that then."""
    dentry = paths.tree.dentry(*spot)
    if dentry is not None and dentry[0] == inode.ino:
        return spot
    names = sorted(paths.names(inode))
    return Spot(*names[0]) if names else spot


def _with_name(change: str, before: Paths, after: Paths, earlier: Inode, inode: Inode, old: Spot, new: Spot) -> str:
    if old == new:
        return change
    old_path = join(before.directory(old.directory), old.name)
    still_there = (dentry := after.tree.dentry(*old)) is not None and dentry[0] == inode.ino
    shown = (old.name if old.directory == new.directory else old_path).decode(errors="replace")
    words = f"{'linked' if still_there else 'renamed'} from {shown}"
    return f"{change}, {words}" if change else words


def _words(kind: str | None) -> str:
    return {CONTENT: "content", ATTRIBUTES: "attributes"}.get(kind or "", "")


# Folders


def _folder_versions(steps: _Steps, ino: int) -> Iterator[FileVersion]:
    size: int | None = None
    for facts, before, after in steps.pairs():
        now, then = after.tree.inode(ino), before.tree.inode(ino)
        if now is None and then is None:
            size = None
            continue
        if now is None:
            yield steps.file_version(facts, 0, "deleted")
            size = None
            continue
        if size is None:
            size = tree_bytes(after.tree, ino)
        found = _differences_below(before, after, ino)
        if then is None:
            yield steps.file_version(facts, size, "created")
            size = None
        elif found:
            yield steps.file_version(facts, size, _counted(found))
            size = _bytes_before(size, found)


def _differences_below(before: Paths, after: Paths, ino: int) -> list[Difference]:
    """What differs at or below an inode, which may have had another path then. Nothing is nowhere."""
    if _same_root(before, after):
        return []
    old_scope, new_scope = (_path_of(paths, ino) for paths in (before, after))
    nowhere = b"\0"
    return list(
        within(
            differences(before, after),
            nowhere if old_scope is None else old_scope,
            nowhere if new_scope is None else new_scope,
        )
    )


def _same_root(before: Paths, after: Paths) -> bool:
    a, b = before.tree.root, after.tree.root
    return a is b or (a is not None and b is not None and a.id == b.id)


def _path_of(paths: Paths, ino: int) -> bytes | None:
    inode = paths.tree.inode(ino)
    if inode is None:
        return None
    return paths.of(inode)[0]


def _counted(found: list[Difference]) -> str:
    counts = Counter(difference.kind for difference in found)
    words = [f"{counts[kind]} {kind}" for kind in ("added", "removed", "moved", "changed") if counts[kind]]
    if counts["attributes"]:
        words.append(f"{counts['attributes']} with other attributes")
    return ", ".join(words)


def _bytes_before(size: int, found: list[Difference]) -> int | None:
    """A folder's bytes one version earlier; None when they must be counted, for something was moved in or out."""
    if any(difference.kind == "moved" or difference.old_path is not None for difference in found):
        return None
    changed = (difference for difference in found if difference.kind != "attributes")
    return size + sum((difference.old_size or 0) - (difference.new_size or 0) for difference in changed)


def tree_bytes(tree: Tree, ino: int) -> int:
    """The sizes of all names below a directory; a file with two names counts twice."""
    total = 0
    waiting = [ino]
    while waiting:
        for _, (child, _) in tree.dentries(waiting.pop()):
            inode = tree.inode(child)
            if inode is None:
                continue
            if inode.is_directory:
                waiting.append(child)
            else:
                total += inode.size
    return total
