"""A survey that is brought up to date: what has changed since is read, and nothing else.

From version to version, each against the one before, so that what came and went in between is known too: it is needed
by these versions, and by nothing live. How many live extents name a block is counted, so a block of which the last
one goes is needed as that one needed it. A block that several need, and one of them weaker or less, keeps what it had:
it holds more strongly than it must, until the next whole survey.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from hyperfs.chunks.extents import Extent
from hyperfs.policy.placement import is_media
from hyperfs.trie.diff import diff
from hyperfs.trie.node import Entry, Ref
from hyperfs.volume import keys
from hyperfs.volume.entries import decode_dentry, extent_in, kind_of_key
from hyperfs.volume.inode import Inode
from hyperfs.volume.overlay import MAX_FILE_BYTES
from hyperfs.volume.survey import LIVE, Ask, Progress, Survey, SurveyedLog, Walk

Block = tuple[int, int]
"""Of a log in a survey, by `id`, and its number."""


def resurvey(ask: Ask, before: Survey, used: Mapping[int, int], progress: Progress) -> Survey | None:
    """`ask.roots`: of the version that was surveyed, and of those since, in order; no policy may have changed since.
    `used`: what it knew of uses. None where only a whole survey will do. Raises as `survey`. In a worker thread."""
    made, roots = before.grown(ask.lengths), list(ask.roots)
    for old, new in pairwise(roots):
        if old is None or new is None or not _Step(ask, made, old, new).run(progress):
            return None
    fresh = [ino for ino, hour in ask.uses.items() if used.get(ino, 0) < hour]
    if fresh and roots[-1] is not None:
        _note_uses(Walk(ask, made, roots[-1], is_live=True), fresh)
    return made


def _note_uses(walk: Walk, files: Iterable[int]) -> None:
    for ino in files:
        inode = walk.tree.inode(ino)
        if inode is not None and inode.is_file:
            _, used, _ = walk.asks(ino, keys.EXTENT)
            for extent in walk.tree.extents(ino, 0, MAX_FILE_BYTES):
                for log, block in walk.blocks(extent):
                    log.used[block] = max(log.used[block], used)


@dataclass
class _Change:
    """What came of a block, and went."""

    log: SurveyedLog
    went: int = 0
    came: int = 0
    needed: int = 0  # by what went, in the table's numbers
    needs: int = 0  # by what came
    used: int = 0
    flags: int = 0
    stays: bool = False  # of an attribute: it stays, whatever has gone


@dataclass
class _Step:
    """From one version to the next."""

    ask: Ask
    made: Survey
    old_root: Ref
    new_root: Ref
    changes: dict[Block, _Change] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._old = Walk(self.ask, self.made, self.old_root, is_live=False)
        self._new = Walk(self.ask, self.made, self.new_root, is_live=True)

    def run(self, progress: Progress) -> bool:
        """False where all has to be looked at."""
        extents: list[tuple[bytes, Entry | None, Entry | None]] = []
        moved: set[int] = set()
        self._old.read_policies()
        for done, (key, was, now) in enumerate(diff(self.ask.nodes.load, self.old_root, self.new_root)):
            progress("looking what has changed", done, 0)
            ino, kind = int.from_bytes(key[: keys.PREFIX_BYTES - 1], "big"), kind_of_key(key)
            if ino == keys.NO_INO and kind == keys.PLACE:
                return False  # nobody can say which files have these chunks
            if kind == keys.INODE and was is not None and now is not None:
                before, after = Inode.decode(ino, was[0]), Inode.decode(ino, now[0])
                if before.parent != after.parent and self._old.needs(before) != self._new.needs(after):
                    if after.is_directory:
                        return False
                    moved.add(ino)
            elif kind == keys.DENTRY and now is not None and is_media(key[keys.PREFIX_BYTES :], 1 << 40):
                self._add_media(decode_dentry(now[0])[0])
            elif kind in (keys.EXTENT, keys.XATTR) and ino not in moved:
                extents.append((key, was, now))
        for key, was, now in extents:
            ino, kind = int.from_bytes(key[: keys.PREFIX_BYTES - 1], "big"), kind_of_key(key)
            self._went(ino, kind, extent_in(key, was))
            self._came(ino, kind, extent_in(key, now))
        for ino in moved:
            for extent in self._old.tree.extents(ino, 0, MAX_FILE_BYTES):
                self._went(ino, keys.EXTENT, extent)
            for extent in self._new.tree.extents(ino, 0, MAX_FILE_BYTES):
                self._came(ino, keys.EXTENT, extent)
        return self._apply()

    def _add_media(self, ino: int) -> None:
        media = self.made.media
        at = bisect_left(media, ino)
        if at == len(media) or media[at] != ino:
            insort(media, ino)

    def _change(self, log: SurveyedLog, block: int) -> _Change:
        return self.changes.setdefault((id(log), block), _Change(log))

    def _went(self, ino: int, kind: int, extent: Extent | None) -> None:
        for log, block in self._old.blocks(extent) if extent is not None else ():
            change = self._change(log, block)
            needs, _, _ = self._old.asks(ino, kind)
            change.went += 1
            change.needed = self.made.table.joined(change.needed, needs)
            change.stays |= kind == keys.XATTR

    def _came(self, ino: int, kind: int, extent: Extent | None) -> None:
        for log, block in self._new.blocks(extent) if extent is not None else ():
            change = self._change(log, block)
            needs, used, flags = self._new.asks(ino, kind)
            change.came += 1
            change.needs = self.made.table.joined(change.needs, needs)
            change.used, change.flags = max(change.used, used), change.flags | flags

    def _apply(self) -> bool:
        joined = self.made.table.joined
        for (_, block), change in self.changes.items():
            log = change.log
            rest = log.named[block] - change.went
            if rest < 0:
                return False  # its chunk lies elsewhere than it did
            if change.came and not rest:
                log.needs[block], log.flags[block] = change.needs, change.flags
            elif change.came:
                log.needs[block] = joined(log.needs[block], change.needs)
                log.flags[block] |= change.flags
            elif not rest and not change.stays:
                log.needs[block] = change.needed
                log.flags[block] &= ~LIVE & 0xFF
            log.used[block] = max(log.used[block], change.used)
            log.named[block] = rest + change.came
        return True

