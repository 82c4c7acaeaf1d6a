"""The steps of a path, from its versions: what `undo --list` shows, and what an undo or a redo takes.

Generators that do one version a step: whoever runs them in the event loop lets others run between.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from hyperfs.trie.diff import diff
from hyperfs.values import ROOT_INO
from hyperfs.volume import keys, undo_record
from hyperfs.volume.change_rows import VersionChanges
from hyperfs.volume.differing import Differing, Part, Scope, select
from hyperfs.volume.entries import decode_dentry, kind_of_key
from hyperfs.volume.inode import Inode
from hyperfs.volume.path_events import PathEvents
from hyperfs.volume.paths import find
from hyperfs.volume.sides import TreeSide
from hyperfs.volume.undo_line import Line, Span, Step
from hyperfs.volume.undo_record import UndoRecord
from hyperfs.volume.volume import Volume

READ_AT_ONCE: Final = 100


@dataclass
class Change:
    """What a step, or a part of history, changed below a path: the trees on both sides of it, and what differs."""

    before: TreeSide
    after: TreeSide
    differing: Differing
    """From `after` to `before`."""


class Steps:
    """The line of steps of one path. Made when everything that counts is in a version and has its rows."""

    def __init__(self, volume: Volume, path: bytes) -> None:
        """Raises NotFound for a path that no kept version has."""
        self._volume = volume
        self._versions = volume.versions
        self.events = PathEvents(volume, path)
        self.line = Line(self._covering())

    def _covering(self) -> Iterator[UndoRecord]:
        """The undos and redos of the path as it was called at each, or of a folder above it."""
        facts = self._volume.overlay.live.facts(undo_record.FACTS_PREFIX)
        for record in undo_record.records(facts):
            version = self._made_by(record)
            if version is None:
                continue
            side = TreeSide(self._versions.tree(version))
            inode = side.inode(self.events.ino) if self.events.ino is not None else None
            path = self.events.path
            if inode is not None and inode.is_directory:
                path = side.paths.directory(inode.ino)
            if record.covers(path):
                yield record._replace(version=version)

    def _made_by(self, record: UndoRecord) -> int | None:
        """The version that holds a record first, if it is kept: where a crash came between, the undo and what came
        before it became one version."""
        key = undo_record.record_key(record.version)
        for version in (record.version, record.version - 1):
            if not self._versions.is_kept(version) or self._versions.tree(version).fact(key) is None:
                continue
            before = self._versions.before(version)
            if self._versions.tree(before).fact(key) is None:
                return version
        return None

    def all(self) -> Iterator[Step]:
        """Every step, newest first, those that are taken back among them."""
        return self.line.steps(self._spans())

    def time_of(self, version: int) -> int:
        return self._versions.commit(version).time_ns

    def next_redo(self) -> UndoRecord | None:
        return self.line.next_redo(self._spans())

    def _spans(self) -> Iterator[Span]:
        for version in self.events.versions():
            before = self._versions.before(version)
            if not before:
                return  # what was before the oldest version that is kept, nobody knows
            if self.line.record(version) is not None:
                yield Span(version, before, 0, 0)
                continue
            yield self._span(self._volume.changes.of(version))

    def _span(self, changes: VersionChanges) -> Span:
        """When something changed below the path: by the times of change of what is there afterwards."""
        version, before = changes.version, changes.before
        end = self._versions.commit(version).time_ns
        begin = self._versions.commit(before).time_ns if before else 0
        began = self._volume.parts.catalog.began(version)
        if changes.many:
            return Span(version, before, min(max(begin, began or 0), end), end)
        side = TreeSide(self._versions.tree(version))
        part = Part(side, self.events.ino_in(side.tree))
        times = [min(max(inode.ctime_ns, begin), end) for inode in _changed(changes, side, part)]
        return Span(version, before, min(times, default=end), max(times, default=end), began or 0)

    # What a step changed

    def change(self, before: int, after: int) -> Iterator[Change | None]:
        """What changed below the path from a version to another; comes last, behind many Nones."""
        sides = TreeSide(self._versions.tree(before)), TreeSide(self._versions.tree(after))
        whole = Differing()
        yield from self._differing(whole, *sides)
        old, new = sides
        scope = Scope(self.events.ino_in(new.tree), self.events.ino_in(old.tree), self._spot(old, new))
        differing = whole if not self.events.parts else select(whole, new, old, scope)
        yield from _read(differing, old, new)
        yield Change(old, new, differing)

    def _spot(self, old: TreeSide, new: TreeSide) -> tuple[int, bytes] | None:
        """The path's own name, as the newer tree has it, else the older one."""
        for side in (new, old):
            ino = self.events.ino_in(side.tree)
            if ino is not None and ino != ROOT_INO:
                names = side.names(ino)
                by_path = self._named(side)
                return by_path if by_path in names else next(iter(names), None)
        return None

    def _named(self, side: TreeSide) -> tuple[int, bytes] | None:
        parent = find(side.tree, b"/".join(self.events.parts[:-1]))
        return None if parent is None else (parent, self.events.parts[-1])

    @staticmethod
    def _differing(whole: Differing, old: TreeSide, new: TreeSide) -> Iterator[None]:
        """Collects all that differs, from the newer tree to the older one."""
        lost: set[int] = set()
        for count, (key, after, before) in enumerate(diff(old.tree.load, new.tree.root, old.tree.root)):
            if count % READ_AT_ONCE == 0:
                yield None
            ino, kind = int.from_bytes(key[: keys.PREFIX_BYTES - 1], "big"), kind_of_key(key)
            if ino == keys.NO_INO:
                continue
            if kind == keys.DENTRY:
                pair = [None if e is None else decode_dentry(e[0], f"inode {ino}")[0] for e in (after, before)]
                hidden = _hides(new, ino, pair[0]) or _hides(old, ino, pair[1])
                if pair[0] != pair[1] and not hidden:
                    whole.names[ino, key[keys.PREFIX_BYTES :]] = (pair[0], pair[1])
            elif kind == keys.INODE and (after is None or before is None):
                lost.add(ino)
            elif not (new.tree.hides(ino) or old.tree.hides(ino)):
                whole.inodes.add(ino)
        whole.inodes -= lost


def _hides(side: TreeSide, directory: int, ino: int | None) -> bool:
    """Whether a name is of what retention has let go from a version: it can't be had again, and is left as it is."""
    return ino is not None and (side.tree.hides(ino) or side.tree.hides(directory))


def _changed(changes: VersionChanges, side: TreeSide, part: Part) -> Iterator[Inode]:
    """What a version changed below the path, as far as it is still there: directories for their names."""
    inos = {name.directory for name in (*changes.went, *changes.came) if part.has(name.directory)}
    inos |= {name.ino for name in changes.came if part.has(name.directory) or name.ino == part.top}
    for ino in changes.content | changes.attributes:
        if ino == part.top or part.has(side.parent(ino)):
            inos.add(ino)
    return (inode for ino in inos if (inode := side.inode(ino)) is not None)


def _read(differing: Differing, old: TreeSide, new: TreeSide) -> Iterator[None]:
    """Reads all that a plan may ask of both sides, since a plan is made between two awaits."""
    count = 0
    for (directory, _), pair in differing.names.items():
        for side in (old, new):
            for ino in (directory, *pair):
                if ino is not None:
                    side.thing(ino)
        count += 1
        if count % READ_AT_ONCE == 0:
            yield None
    for ino in differing.inodes:
        old.thing(ino)
        new.thing(ino)
        count += 1
        if count % READ_AT_ONCE == 0:
            yield None
