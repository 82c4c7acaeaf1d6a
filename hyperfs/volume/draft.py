"""A change of many files, made beside the live tree in a worker thread and entered into it in one step.

The draft begins as a version. Nothing of it can be seen, journaled or committed before it is entered; whoever works on
the drive goes on meanwhile, and versions are made of that. What others change in the meantime is compared with what
the draft changes: where both touch the same, the draft is thrown away and begun anew from a newer version. So what is
entered is what the change would have done to that version, and what others have done since stays.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol, TypeVar

import trio

from hyperfs.policy.attributes import PREFIX
from hyperfs.trie.diff import diff
from hyperfs.volume import keys
from hyperfs.volume.inode import Inode
from hyperfs.volume.layer import INODE_BYTES, Layer
from hyperfs.volume.namespace import Namespace
from hyperfs.volume.overlay import Overlay
from hyperfs.volume.pace import Pace
from hyperfs.volume.protection import Protection
from hyperfs.volume.tree import LiveTree
from hyperfs.volume.volume import Volume

MANY: Final = 1000
"""A change of fewer things is made on the live tree itself, between two awaits: some 30 ms."""
TRIES: Final = 3
"""Drafts that others' changes may spoil; then the change is made on the live tree, however long that takes."""

_POLICIES: Final = keys.prefix(keys.NO_INO, keys.POLICY)
T = TypeVar("T")


class Surface(Protocol):
    """What a change of the live tree works on: the volume itself, or a draft of it."""

    overlay: Overlay
    names: Namespace
    protection: Protection

    def unlinked(self, inode: Inode) -> None: ...

    def forgotten(self, ino: int) -> None: ...


@dataclass
class Others:
    """What was changed in the live tree since the version that a draft began as."""

    inodes: set[int] = field(default_factory=set)
    names: set[tuple[int, bytes]] = field(default_factory=set)
    facts: set[bytes] = field(default_factory=set)

    def add_layer(self, layer: Layer) -> None:
        self.inodes.update(layer.inodes, layer.extents, layer.xattrs)
        self.names.update((parent, name) for parent, names in layer.dentries.items() for name in names)
        self.facts.update(layer.facts)

    def add_key(self, key: bytes) -> None:
        ino, kind = int.from_bytes(key[: keys.PREFIX_BYTES - 1], "big"), key[keys.PREFIX_BYTES - 1]
        if ino == keys.NO_INO:
            self.facts.add(key)
        elif kind == keys.DENTRY:
            self.names.add((ino, key[keys.PREFIX_BYTES :]))
        else:
            self.inodes.add(ino)


class Draft:
    """A surface that is nobody's but the thread's that works on it. Made and entered in the trio thread."""

    def __init__(self, volume: Volume, room: int) -> None:
        """`room`: at least as many as the inodes that it will make."""
        real = volume.overlay
        self._volume = volume
        self._real = real
        self.version = self._seen = volume.versions.newest.version
        self._base = volume.versions.whole_tree(self.version)
        self.overlay = Overlay(LiveTree(real.live.load, self._base.root, real.live.read_extent), 0, real.now_ns)
        self._first = self.overlay.next_ino = real.next_ino
        real.next_ino += room
        self._room = room
        self._policy_changes = real.policies.changes
        for ino, own in real.policies.snapshot().items():
            for name, value in own.items():
                self.overlay.policies.put(ino, name, value)
        self.names = Namespace(self.overlay)
        self.protection = Protection(self.overlay)
        self._others = Others()

    def unlinked(self, inode: Inode) -> None:
        """No version of a draft is ever due."""

    def forgotten(self, ino: int) -> None:
        self.overlay.forget(ino)

    # What others do meanwhile

    async def look(self) -> None:
        """Learns what the versions changed that were made since, in slices: so that little is left for `enter`."""
        pace = Pace()
        while self._seen < self._volume.versions.newest.version:
            for _ in self._newer():
                await pace.turn()

    def _newer(self) -> Iterator[None]:
        versions = self._volume.versions
        newest = versions.newest.version
        for key, _, _ in diff(self._base.load, versions.whole_tree(self._seen).root, versions.whole_tree(newest).root):
            self._others.add_key(key)
            yield
        self._seen = newest

    def _is_spoilt(self) -> bool:
        """Whether somebody has changed what the draft changes, or what holds for it."""
        live, others, mine = self._real.live, self._others, self.overlay.live.active
        if self._real.policies.changes != self._policy_changes:
            return True
        if not others.facts.isdisjoint(mine.facts):
            return True
        if any(name in mine.dentries.get(parent, ()) for parent, name in others.names):
            return True
        both = (ino for ino in others.inodes if ino in mine.inodes or ino in mine.dentries)
        return not all(live.inode(ino) is not None and self._only_names(ino) for ino in both)

    def _only_names(self, ino: int) -> bool:
        """Whether nothing of an inode differs in the draft but, of a directory, its names, and what comes of that."""
        mine, base = self.overlay.live.active.inodes.get(ino), self._base.inode(ino)
        if mine is None or base is None or not mine.is_directory or ino in self.overlay.live.active.xattrs:
            return False
        base.nlink, base.mtime_ns, base.ctime_ns = mine.nlink, mine.mtime_ns, mine.ctime_ns
        return base.encode() == mine.encode()

    # The one step

    def enter(self) -> bool:
        """Makes the draft's changes those of the live tree; False, and nothing, where others have spoilt it. For
        `commit_before`: all that others have changed is in versions, and in the one that is frozen."""
        for _ in self._newer():
            pass
        live = self._real.live
        for layer in (live.active, live.frozen):
            if layer is not None:
                self._others.add_layer(layer)
        assert self.overlay.next_ino - self._first <= self._room
        if self._is_spoilt():
            return False
        self._count()
        self._enter_inodes()
        self._enter_more()
        self._volume.settled()
        return True

    def _count(self) -> None:
        """The totals: by what the draft has made of those that it began with, which were 0."""
        real, mine = self._real, self.overlay
        real.files += mine.files
        real.directories += mine.directories
        real.file_bytes += mine.file_bytes

    def _enter_inodes(self) -> None:
        real, active = self._real, self._real.live.active
        if not active.inodes:
            active.began_ns = self.overlay.live.active.began_ns
        coming: dict[int, Inode] = {}
        for ino, mine in self.overlay.live.active.inodes.items():
            known = None if ino >= self._first else real.known(ino)
            if mine is None:
                self._remove(ino, known)
            elif known is None:
                coming[ino] = mine
            else:
                coming[ino] = known
                self._change(known, mine)
        real.take_in(coming)

    def _remove(self, ino: int, known: Inode | None) -> None:
        if known is None:
            self._real.live.active.drop_inode(ino)
            return
        known.nlink = 0
        known.ctime_ns = self._real.now_ns()
        totals = self._real.files, self._real.directories, self._real.file_bytes
        self._real.remove_inode(known)
        self._real.files, self._real.directories, self._real.file_bytes = totals  # counted already
        self._volume.forgotten(ino)

    def _change(self, known: Inode, mine: Inode) -> None:
        """What others did to a directory's names stays."""
        base = self._base.inode(known.ino)
        if base is not None and known.ino in self._others.inodes:
            known.nlink += mine.nlink - base.nlink
            known.mtime_ns = known.ctime_ns = self._real.now_ns()
            known.entry = None
        else:
            known.become(mine)

    def _enter_more(self) -> None:
        """Names, extents, attributes, facts."""
        real, active, mine = self._real, self._real.live.active, self.overlay.live.active
        for parent, names in mine.dentries.items():
            known = active.dentries.get(parent)
            if known is None:
                active.dentries[parent] = names
            else:
                known.update(names)
        for ino, values in mine.xattrs.items():
            active.xattrs.setdefault(ino, {}).update(values)
        active.extents.update(mine.extents)  # only new inodes have any
        active.facts.update(mine.facts)
        for key, value in mine.facts.items():
            if key.startswith(_POLICIES):
                ino, name = keys.decode_policy_key(key)
                real.policies.put(ino, PREFIX + name, value)
        real.unjournaled.join(self.overlay.unjournaled)
        # Whoever makes further changes does not wait for these to be a version, which is being made already.
        active.add_bytes(-INODE_BYTES * len(mine.inodes))


async def change_at_once(
    volume: Volume,
    make: Callable[[Surface], T],
    end: Callable[[T, int], None],
    *,
    many: bool,
    room: int,
    wanted: Callable[[T], bool] = lambda made: True,
) -> T:
    """Has `make` change the live tree, in one step for whoever looks, right behind a version of what was there before.

    With `many` changes (see MANY) it works on drafts, in a worker thread, perhaps several times; what it gave at last
    is returned. What is not `wanted` is not entered. `end` is told that, and the number of the version that will have
    the change, in the same step. What any of them raises goes up, and nothing has changed.
    """
    done: list[T] = []

    def settle(made: T) -> None:
        done.append(made)
        # The version that is being made is the one of before.
        end(made, volume.versions.newest.version + (2 if volume.overlay.live.frozen is not None else 1))

    for _ in range(TRIES if many else 0):
        draft = await _drafted(volume, room)
        with volume.reads(draft.version):
            made = await trio.to_thread.run_sync(make, draft)
            if not wanted(made):
                return made
            await draft.look()
            await volume.committer.commit_before(partial(_enter, draft, partial(settle, made)))
        if done:
            return made

    def at_once() -> None:
        made = make(volume)
        if wanted(made):
            settle(made)
        else:
            done.append(made)

    await volume.committer.commit_before(at_once)
    return done[0]


async def _drafted(volume: Volume, room: int) -> Draft:
    """Of the present."""
    await volume.commit(write_back=False)
    return Draft(volume, room)


def _enter(draft: Draft, settle: Callable[[], None]) -> None:
    if draft.enter():
        settle()
