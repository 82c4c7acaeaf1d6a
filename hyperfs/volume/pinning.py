"""Which deleted things need a pin when versions go: those whose last state no version that stays has.

Told by the trees themselves, a version and the next one, and not by rows of the index: what is missed here is lost.
Only when a deletion of a folder began does a row say; without it its files are pinned one by one. In a worker thread.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from hyperfs.trie.below import diff_below
from hyperfs.volume import keys
from hyperfs.volume.catalog import VersionFacts
from hyperfs.volume.change_collector import Collector
from hyperfs.volume.change_rows import DELETED, Went
from hyperfs.volume.clearing import Progress
from hyperfs.volume.offers import Offer
from hyperfs.volume.parts import Parts
from hyperfs.volume.pins import Pin
from hyperfs.volume.rules import without_trash
from hyperfs.volume.tree import Tree
from hyperfs.volume.tree_changes import tree_changes
from hyperfs.volume.versions import read_commit
from hyperfs.volume.volume import Volume

COMPARED_MOST: Final = 1000
"""Inodes below a folder that are compared, to learn whether a version that stays has it as it was."""
TREES_KEPT: Final = 8
_FOLDER: Final = 4  # as d_type


class Pinning:
    """One plan's pins: versions oldest first, and which of them stay."""

    def __init__(
        self,
        volume: Volume,
        facts: Sequence[VersionFacts],
        stay: Sequence[bool],
        offers: Mapping[int, Offer],
        since_ns: int,
        progress: Progress,
    ) -> None:
        """`offers`: of versions that stay, by number, where they are not offered whole. What was deleted by `since_ns`
        is pinned no more."""
        self._volume = volume
        self._facts = facts
        self._stay = stay
        self._offers = offers
        self._since_ns = since_ns
        self._progress = progress
        self._trees: dict[int, tuple[Tree, int]] = {}
        self._whole: dict[int, int] = {}  # by folder that was deleted over several versions, where it was whole

    def pins(self, known: Sequence[Pin]) -> list[Pin]:
        """Those that are still needed of the known ones, and the new ones."""
        found = {(pin.version, pin.ino): pin for pin in known if pin.deleted_ns > self._since_ns}
        for position in range(len(self._facts) - 2, -1, -1):
            if self._facts[position + 1].time_ns <= self._since_ns:
                break
            if not self._stay[position] or self._facts[position].version in self._offers:
                for pin in self._of(position):
                    found.setdefault((pin.version, pin.ino), pin)
        return sorted(found.values())

    def _of(self, position: int) -> Iterator[Pin]:
        """Of what the version at a position has and the next one has not."""
        self._progress("looking for what was deleted", len(self._facts) - position, len(self._facts))
        (old, next_ino), (new, _) = self._tree(position), self._tree(position + 1)
        after = self._facts[position + 1]
        collector = Collector(
            old, new, self._facts[position].version, next_ino, after.time_ns, after.version
        )
        for event in tree_changes(old, new):
            if event is not None:
                collector.take(event)
        is_loose = without_trash(old)
        for went in collector.gone:
            if went.how != DELETED or is_loose(went.ino):
                continue
            where = self._began(went, position) if went.kind == _FOLDER else position
            is_covered = self._is_covered(old, went, where)
            if where != position:
                self._whole[went.ino] = where
            if is_covered:
                continue
            if not self._has(where, went.ino) and not self._is_offered(where, went.ino):
                found = self._facts[where]
                yield Pin(found.version, went.ino, found.log, found.index, went.directory, went.time_ns, went.name)

    def _began(self, went: Went, position: int) -> int:
        """The position of the version in which a folder was whole that was deleted file by file."""
        rows = self._volume.changes.went(went.directory, went.name)
        began_ns = next((row.began_ns for row in rows if row.version == went.version), went.time_ns)
        while position and self._facts[position].time_ns >= began_ns:
            position -= 1
        return position

    def _is_covered(self, old: Tree, went: Went, position: int) -> bool:
        """Whether a folder above it is pinned as it was before its deletion began, with this as it was in the end."""
        ino = went.directory
        while ino:
            where = self._whole.get(ino)
            if where is not None and where <= position:
                return where == position or self._is_same(self._tree(where)[0], self._tree(position)[0], went.ino)
            inode = old.inode(ino)
            ino = inode.parent if inode is not None else 0
        return False

    def _has(self, position: int, ino: int) -> bool:
        """Whether a version stays and offers something, if it had it."""
        if not self._stay[position]:
            return False
        offer = self._offers.get(self._facts[position].version)
        return offer is None or not offer.hides(self._tree(position)[0], ino)

    def _is_offered(self, position: int, ino: int) -> bool:
        """Whether the newest version before that stays has something as that one."""
        below = next((before for before in range(position - 1, -1, -1) if self._has(before, ino)), None)
        return below is not None and self._is_same(self._tree(below)[0], self._tree(position)[0], ino)

    def _is_same(self, one: Tree, other: Tree, ino: int) -> bool:
        """Whether an inode, and all below it, is the same in two trees; no, where that would take long to tell."""
        waiting = [ino]
        for _ in range(COMPARED_MOST):
            if not waiting:
                return True
            ino = waiting.pop()
            inode = one.inode(ino)
            if inode is None:
                return False
            if next(diff_below(one.load, one.root, other.root, keys.whole(ino)), None) is not None:
                return False
            if inode.is_directory:
                waiting += [child for _, (child, _) in one.dentries(ino)]
        return False

    def _tree(self, position: int) -> tuple[Tree, int]:
        """The whole tree of a version, and the inode number that it would have given next."""
        found = self._trees.get(position)
        if found is None:
            if len(self._trees) > TREES_KEPT:
                self._trees.clear()
            found = self._trees[position] = tree_of(self._volume.parts, self._facts[position])
        return found


def tree_of(parts: Parts, facts: VersionFacts) -> tuple[Tree, int]:
    """The whole tree of a version, and the inode number that it would have given next. Any thread."""
    commit = read_commit(parts.nodes, facts.log, facts.index)
    return Tree(parts.nodes.load, commit.root, parts.chunkstore.read_chunk), commit.next_ino
