"""Which of the files that versions touched are lost: overwritten by what looks encrypted, or deleted.

What counts is told by `policy/noise.py` and `made_again.py`; here it is read off the trees: what stands now where the
file was, beside it, and under its number. For a worker thread; reads only.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from hyperfs.chunks.chunkstore import ChunkStore
from hyperfs.errors import Corrupt, NoSuchVersion
from hyperfs.policy.brake import Loss, Sample, Touched
from hyperfs.policy.made_again import goes_on_as, stem_of
from hyperfs.policy.noise import LOOKED_BYTES, is_scrambled, is_scrambled_inside, looks_encrypted, made_sense
from hyperfs.volume.brake_places import FOLDER, Place, Places
from hyperfs.volume.inode import Inode
from hyperfs.volume.paths import Paths
from hyperfs.volume.rescue import UNREADABLE
from hyperfs.volume.touched import FILE, Pace, Trees
from hyperfs.volume.tree import Tree

INSIDE_FROM_BYTES: Final = 64 << 10
"""Of a file so large a place in its middle is looked at too."""
NEIGHBOURS: Final = 16
"""Names that are looked at, of those that begin as a deleted one's."""
NEW_MOST: Final = 8
"""New files that are looked at in a folder from which something was deleted,"""
NAMES_MOST: Final = 2000
"""among so many names."""
KNOWN_MOST: Final = 20_000


class Losses:
    """One piece of work. `known` outlives it: which of two states of a file is scrambled."""

    def __init__(self, trees: Trees, store: ChunkStore, pace: Pace, known: dict[tuple[int, ...], bool]) -> None:
        self._trees = trees
        self._newest = trees.newest
        self._store = store
        self._pace = pace
        self._places = Places(trees.newest, pace)
        self._known = known
        self._noisy: dict[int, bool] = {}
        if len(known) > KNOWN_MOST:
            known.clear()

    def of(self, sample: Sample) -> list[Loss]:
        found = []
        for touched in sample:
            self._pace()
            try:
                loss = self._loss(touched)
            except (NoSuchVersion, *UNREADABLE):
                continue
            if loss is not None:
                found.append(loss)
        return found

    def files_below(self, version: int, folder: int, most: int) -> int:
        """How many files a folder had in a version, with all below it; `most` where there are as many or more."""
        tree, waiting, files = self._trees.of(version), [folder], 0
        while waiting:
            for _, (ino, kind) in tree.dentries(waiting.pop()):
                self._pace()
                if kind == FOLDER:
                    waiting.append(ino)
                files += kind == FILE
                if files >= most:
                    return most
        return files

    def path_of(self, folder: int) -> bytes:
        """Of a folder as it is called now."""
        try:
            return Paths(self._newest).directory(folder)
        except Corrupt:
            return b""

    def _loss(self, touched: Touched) -> Loss | None:
        tree = self._trees.of(touched.before)
        before = tree.inode(touched.ino)
        if before is None or not before.is_file or not before.size:
            return None
        place = self._places.of(tree, touched.directory)
        if place.made_again or not place.stands:
            return None
        now = self._stands(touched, place)
        if now is not None and now.size:
            scrambled = self._is_scrambled(touched, tree, before, now)
            return Loss(place.stands, False, touched.before) if scrambled else None
        head = self._read(tree, before, 0)
        if head is not None and not made_sense(head):
            return None
        instead = self._instead(touched, place.now) if place.now else None
        if instead is None:
            return None if place.worked_on else Loss(place.stands, True, touched.before)
        return Loss(place.stands, False, touched.before) if instead else None

    def _stands(self, touched: Touched, place: Place) -> Inode | None:
        """What the file is now: itself, wherever it is, or what has its name."""
        inode = self._newest.inode(touched.ino)
        if inode is None and touched.name and place.now:
            dentry = self._newest.dentry(place.now, touched.name)
            inode = self._newest.inode(dentry[0]) if dentry is not None and dentry[1] == FILE else None
        return inode

    def _is_scrambled(self, touched: Touched, tree: Tree, before: Inode, now: Inode) -> bool:
        key = (touched.ino, touched.before, now.ino, now.ctime_ns)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._compare(tree, before, now)
        return known

    def _compare(self, tree: Tree, before: Inode, now: Inode) -> bool:
        after = self._read(self._newest, now, 0)
        if after is not None and is_scrambled(self._read(tree, before, 0), after):
            return True
        inside = min(before.size, now.size) // 2
        if inside < INSIDE_FROM_BYTES // 2:
            return False
        after = self._read(self._newest, now, inside)
        return after is not None and is_scrambled_inside(self._read(tree, before, inside), after)

    def _read(self, tree: Tree, inode: Inode, offset: int) -> bytes | None:
        """Some bytes of a file; None where they can't be had here."""
        size = min(LOOKED_BYTES, inode.size - offset)
        if inode.inline is not None:
            return inode.inline[offset : offset + size]
        try:
            return self._store.read(tree.extents(inode.ino, offset, offset + size), offset, size)
        except (*UNREADABLE, OSError):
            return None

    # What stands in a deleted file's place

    def _instead(self, touched: Touched, directory: int) -> bool | None:
        """Whether what looks encrypted came in a deleted file's place; False: the file goes on as another one beside
        it; None: nothing is in its place."""
        goes_on = False
        for ino in self._neighbours(directory, touched.name):
            noisy = self._is_new_noise(ino, touched.before)
            if noisy:
                return True
            goes_on = goes_on or noisy is not None
        if goes_on:
            return False
        return True if self._noise_came(directory, touched.before) else None

    def _neighbours(self, directory: int, name: bytes) -> Iterator[int]:
        stem = stem_of(name)
        same = self._newest.dentry(directory, stem)
        if same is not None and same[1] == FILE and stem != name:
            yield same[0]
        for start in {stem, name}:
            for other, (ino, kind) in islice(self._newest.dentries(directory, start), NEIGHBOURS):
                if not other.startswith(start):
                    break
                if kind == FILE and goes_on_as(name, other):
                    yield ino

    def _is_new_noise(self, ino: int, before: int) -> bool | None:
        """Whether a file came after a version and looks encrypted; None for one that says nothing."""
        inode = self._newest.inode(ino)
        if inode is None or not inode.size:
            return None
        if inode.born <= before:
            return False
        head = self._read(self._newest, inode, 0)
        return head is not None and looks_encrypted(head)

    def _noise_came(self, directory: int, before: int) -> bool:
        """Whether most of the files that came into the folder look encrypted, whatever they are called."""
        known = self._noisy.get(directory)
        if known is None:
            found: list[bool] = []
            for _, (ino, kind) in islice(self._newest.dentries(directory), NAMES_MOST):
                inode = self._newest.inode(ino) if kind == FILE else None
                if inode is not None and inode.born > before:
                    found.append(bool(self._is_new_noise(ino, before)))
                if len(found) >= NEW_MOST:
                    break
            known = self._noisy[directory] = 2 * sum(found) > len(found)
        return known
