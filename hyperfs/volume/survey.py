"""The survey: for each block of the content logs, what all that need it ask for, and when it was last used.

Walks the newest version's tree, then those of all others that are kept, from the newest to the oldest, and of each only
what no newer one has; then what is pinned. What holds for a file of an old version is what is set now on it and on the
folders that it lay in then; where they are no more, what was set on them then. A block that nothing reaches is not
known: it stays, and retention lets go of it.

Reads metadata only, in a worker thread, and changes nothing. Memory: some eleven bytes a block. What has
changed since is noted by `resurvey.py`.
"""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from hyperfs.chunks.extents import Extent, Place
from hyperfs.errors import InvalidArgument
from hyperfs.log.cleared import Cleared
from hyperfs.log.log import Log
from hyperfs.policy.attributes import CLASS, COPIES, PLACES, PREFIX
from hyperfs.policy.inheritance import nearest
from hyperfs.policy.placement import STAYS, STRENGTHS, Needs, Strength, Stretch, is_media
from hyperfs.policy.storage import parse_class, parse_copies, parse_places
from hyperfs.trie.node import Leaf, Ref
from hyperfs.values import BlockRef
from hyperfs.volume import keys
from hyperfs.volume.entries import decode_dentry, decode_place, extent_in, kind_of_key
from hyperfs.volume.inode import Inode
from hyperfs.volume.marking import Marks
from hyperfs.volume.nodes import Nodes
from hyperfs.volume.survey_table import Table
from hyperfs.volume.tree import Tree

HOUR_NS: Final = 3600 * 10**9
STRETCH_BYTES: Final = 16 << 20
"""No stretch is longer, so that what leaves can leave in parts."""
LIVE: Final = 1
_OTHER: Final = 2
_SETTLED: Final = 4
"""Of a block's flags: something live needs it; something needs it that is no large media; a newer version has it, and
what holds in that one counts."""

Progress = Callable[[str, int, int], None]
Own = Mapping[int, Mapping[bytes, bytes]]
"""By inode, the policies that were set on it."""


@dataclass
class Ask:
    """What a survey goes by. `lengths`: of the content logs as far as the newest version covers them, `metadata` of the
    others. `roots`: the newest version's first. `is_there`: whether an inode is live. `uses`: by inode, the
    hour of its last use."""

    nodes: Nodes
    read_chunk: Callable[[Extent], bytes]
    lengths: Mapping[int, int]
    metadata: Mapping[int, int]
    roots: Iterable[Ref | None]
    policies: Own
    is_there: Callable[[int], bool]
    uses: Mapping[int, int]


@dataclass
class SurveyedLog:
    """One content log's blocks. `needs`: numbers of the table, 0 for what nothing has reached; `named`: how many live
    extents name a block, themselves or as a base."""

    needs: "array[int]"
    used: "array[int]"
    flags: bytearray
    named: "array[int]"

    @classmethod
    def of(cls, length: int) -> "SurveyedLog":
        """Nothing has reached any of its blocks."""
        hours, counts = array("I", bytes(4 * length)), array("I", bytes(4 * length))
        return cls(array("H", bytes(2 * length)), hours, bytearray(length), counts)

    def grown(self, length: int) -> "SurveyedLog":
        """A copy, as long as the log is now."""
        more = self.of(max(0, length - len(self.needs)))
        return SurveyedLog(
            self.needs + more.needs, self.used + more.used, self.flags + more.flags, self.named + more.named
        )


@dataclass
class Survey:
    """Owned by who asked for it; never changes afterwards."""

    table: Table = field(default_factory=Table)
    logs: dict[int, SurveyedLog] = field(default_factory=dict)
    moved: dict[bytes, Place] = field(default_factory=dict)
    """Where chunks lie that were moved, by their ids."""
    media: "array[int]" = field(default_factory=lambda: array("Q"))
    """The files whose names are those of large media, ascending."""

    def grown(self, lengths: Mapping[int, int]) -> "Survey":
        """A copy that may be changed, of logs that are so long now. The table only grows, and is shared."""
        none = SurveyedLog.of(0)
        logs = {number: self.logs.get(number, none).grown(length) for number, length in lengths.items()}
        return Survey(self.table, logs, self.moved, self.media[:])

    def needs(self, ref: BlockRef) -> Needs:
        """What all that need a block ask for; STAYS where nothing is known of it."""
        log = self.logs.get(ref.log)
        return self.table.all[log.needs[ref.index] if log is not None and ref.index < len(log.needs) else 0]

    def stretches(self, logs: Mapping[int, Log], cleared: Cleared) -> Iterator[Stretch]:
        """All blocks that were reached and not cleared, in runs of which all the same holds."""
        for number, found in self.logs.items():
            log = logs[number]
            marks = log.evicted
            first, size, last = 0, 0, (0, 0, 0, False)
            for index in range(len(found.needs) + 1):
                if index == len(found.needs):
                    now = (-1, 0, 0, False)
                elif not found.needs[index] or cleared.has(number, index):
                    now = (0, 0, 0, False)
                else:
                    is_here = marks is None or not marks.has(index)
                    now = (found.needs[index], found.used[index], found.flags[index] & ~_SETTLED, is_here)
                if now == last and size < STRETCH_BYTES:
                    size += log.size_about(index)
                    continue
                if last[0] > 0:
                    yield self._stretch(number, first, index, size, last)
                first, last = index, now
                size = log.size_about(index) if now[0] > 0 else 0

    def _stretch(self, log: int, first: int, end: int, size: int, alike: tuple[int, int, int, bool]) -> Stretch:
        needs, used, flags, is_here = alike
        is_live, is_large_media = bool(flags & LIVE), not flags & _OTHER
        return Stretch(log, first, end, size, self.table.all[needs], is_live, used, is_large_media, is_here)


def chunks_moved(tree: Tree) -> dict[bytes, Place]:
    """Where chunks lie that were moved, by their ids."""
    places = tree.facts(keys.prefix(keys.NO_INO, keys.PLACE))
    return {key[keys.PREFIX_BYTES :]: decode_place(value, key.hex()) for key, value in places.items()}


class Surveyed(NamedTuple):
    """`policies`: how many changes of policies there had been (`Policies.changes`) when it was begun."""

    survey: Survey
    policies: int


def survey(ask: Ask, progress: Progress) -> Survey:
    """In a worker thread. Raises Corrupt, NotResident: then nothing is known."""
    made = Survey()
    for number, length in ask.lengths.items():
        made.logs[number] = SurveyedLog.of(length)
    seen = Marks()
    seen.reach(ask.metadata)
    for number, root in enumerate(ask.roots):
        if root is not None:
            Walk(ask, made, root, is_live=not number).run(seen, progress)
    return made


class Walk:
    """Of one version."""

    def __init__(self, ask: Ask, made: Survey, root: Ref, is_live: bool) -> None:
        self._ask = ask
        self._made = made
        self._root = root
        self._is_live = is_live
        self.tree = Tree(ask.nodes.load, root, ask.read_chunk)
        self._then: dict[int, dict[bytes, bytes]] = {}
        self._of: tuple[int, int, int, int] = (0, 0, 0, 0)  # the inode that is at hand: its number, needs, hour, flags
        self._folders: dict[tuple[int, bytes], bytes | None] = {}
        self._reached: list[tuple[SurveyedLog, int]] = []

    def run(self, seen: Marks, progress: Progress) -> None:
        """`seen`: nodes that newer versions have."""
        if not self._is_live:
            self.read_policies()
        else:
            self._made.moved = chunks_moved(self.tree)
            self._find_media(progress)
        stack = [self._root]
        done = 0
        while stack:
            ref = stack.pop()
            if not seen.add_node(ref.log, ref.point):
                continue
            node = self._ask.nodes.read(ref)
            if isinstance(node, Leaf):
                for entry in zip(node.keys, node.values, node.hints, strict=True):
                    self._entry(*entry)
            else:
                stack += [child for child in reversed(node.children) if isinstance(child, Ref)]
                if node.ends is not None:
                    self._entry(node.prefix, *node.ends)
            done += 1
            progress("looking what is where", done, 0)
        self._settle()

    def read_policies(self) -> None:
        """What was set then, on what is no more."""
        for key, value in self.tree.facts(keys.prefix(keys.NO_INO, keys.POLICY)).items():
            ino, name = keys.decode_policy_key(key)
            if not self._ask.is_there(ino):
                self._then.setdefault(ino, {})[PREFIX + name] = value

    def _settle(self) -> None:
        """What was reached goes by this version from now on."""
        if self._is_live:  # nearly all there is: no list of it
            for found in self._made.logs.values():
                for block, needs in enumerate(found.needs):
                    if needs:
                        found.flags[block] |= _SETTLED
        for log, block in self._reached:
            log.flags[block] |= _SETTLED

    def _find_media(self, progress: Progress) -> None:
        """The files whose names are those of large media, whatever their size."""
        stack, found = [self._root], self._made.media
        while stack:
            node = self._ask.nodes.read(stack.pop())
            progress("looking for large media", len(found), 0)
            if not isinstance(node, Leaf):
                stack += [child for child in node.children if isinstance(child, Ref)]
                entries = [] if node.ends is None else [(node.prefix, node.ends[0])]
            else:
                entries = list(zip(node.keys, node.values, strict=True))
            for key, value in entries:
                if kind_of_key(key) == keys.DENTRY and is_media(key[keys.PREFIX_BYTES :], 1 << 40):
                    found.append(decode_dentry(value)[0])
        ordered = array("Q", sorted(found))
        del found[:]
        found.extend(ordered)

    def _entry(self, key: bytes, value: bytes, hint: bytes) -> None:
        kind = kind_of_key(key)
        if kind not in (keys.EXTENT, keys.XATTR):
            return
        extent = extent_in(key, (value, hint))
        if extent is None:
            return
        ino = int.from_bytes(key[: keys.PREFIX_BYTES - 1], "big")
        self._note(extent, *self.asks(ino, kind))

    def asks(self, ino: int, kind: int) -> tuple[int, int, int]:
        """Of an extent of a file, or of its attributes: the number of its needs, the hour of last use, its flags."""
        if self._of[0] != ino:
            self._of = (ino, *self._file(ino))
        needs, used, flags = self._of[1:]
        if kind == keys.XATTR:
            # Long attributes are metadata: they stay here, and go as far as their file may.
            here = self._made.table.all[needs]._replace(strength=Strength.HOT)
            return self._made.table.number(here), used, flags | LIVE | _OTHER
        return needs, used, flags

    def blocks(self, extent: Extent) -> Iterator[tuple[SurveyedLog, int]]:
        """All that it needs."""
        moved = self._made.moved.get(extent.chunk)
        for place in (extent.place,) if moved is None else (extent.place, moved):
            for at in (place, *place.bases):
                log = self._made.logs.get(at.log)
                if log is not None and at.block < len(log.needs):
                    yield log, at.block

    def _note(self, extent: Extent, needs: int, used: int, flags: int) -> None:
        for log, block in self.blocks(extent):
            if self._is_live:
                log.named[block] += 1
            if log.flags[block] & _SETTLED:
                continue
            if not self._is_live and not log.needs[block]:
                self._reached.append((log, block))
            log.needs[block] = self._made.table.joined(log.needs[block], needs)
            log.used[block] = max(log.used[block], used)
            log.flags[block] |= flags

    def _file(self, ino: int) -> tuple[int, int, int]:
        """The number of its needs, the hour of its last use, its flags."""
        inode = self.tree.inode(ino)
        if inode is None:
            return self._made.table.number(STAYS), 0, LIVE | _OTHER
        needs = self._made.table.number(self.needs(inode))
        used = max(self._ask.uses.get(ino, 0), inode.ctime_ns // HOUR_NS)
        position = bisect_left(self._made.media, ino)
        named = position < len(self._made.media) and self._made.media[position] == ino
        flags = 0 if named and is_media(b"a.mp4", inode.size) else _OTHER
        return needs, used, flags | (LIVE if self._is_live else 0)

    def needs(self, inode: Inode) -> Needs:
        if not self._ask.policies and not self._then:
            return Needs()
        found = [self._held(inode, name) for name in (CLASS, COPIES, PLACES)]
        kind, copies, places = found
        try:
            return Needs(
                STRENGTHS[parse_class("auto" if kind is None else kind.decode())],
                0 if copies is None else parse_copies(copies.decode()),
                copies is None,
                None if places is None else frozenset(parse_places(places.decode())),
            )
        except (InvalidArgument, UnicodeDecodeError):
            return STAYS  # a later hyperfs wrote it

    def _held(self, inode: Inode, name: bytes) -> bytes | None:
        own = self._own(inode.ino, name)
        if own is not None:
            return own
        folder = (inode.parent, name)
        if folder not in self._folders:
            held = nearest(lambda at: self._own(at, name), self._parent, inode.parent, None)
            self._folders[folder] = held.value
        return self._folders[folder]

    def _own(self, ino: int, name: bytes) -> bytes | None:
        now = self._ask.policies.get(ino)
        return self._then.get(ino, {}).get(name) if now is None else now.get(name)

    def _parent(self, ino: int) -> int:
        inode = self.tree.inode(ino)
        return 0 if inode is None else inode.parent
