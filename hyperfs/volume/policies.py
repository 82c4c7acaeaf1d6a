"""The policies of the live tree, in memory: which inodes carry some, and what holds for anything.

A table of what facts say, made when the drive is opened. Owned by the trio thread.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from hyperfs.errors import StaleHandle
from hyperfs.policy.attributes import CLASS, DEFAULTS, PLACES, PREFIX, PROTECT
from hyperfs.policy.inheritance import Held, nearest
from hyperfs.policy.protection import ARCHIVE, LOCK, NODELETE
from hyperfs.volume import keys
from hyperfs.volume.inode import Inode

_REFUSING: Final = frozenset({(PROTECT, NODELETE), (PROTECT, LOCK), (CLASS, ARCHIVE)})


class Policies:
    """Which values stand where, of those that facts tell."""

    def __init__(self, inode_of: Callable[[int], Inode]) -> None:
        self._inode_of = inode_of
        self._own: dict[int, dict[bytes, bytes]] = {}
        self._refusing: set[tuple[int, bytes]] = set()
        self._placing: set[int] = set()
        self.changes = 0
        """Counts what was set and taken away."""

    @property
    def protects(self) -> bool:
        """Whether anything anywhere may be refused. Without it nobody needs to ask further."""
        return bool(self._refusing)

    def load(self, facts: Mapping[bytes, bytes]) -> None:
        """In place of all that was known, what the facts of a tree say."""
        self._own.clear()
        self._refusing.clear()
        self._placing.clear()
        for key, value in facts.items():
            ino, name = keys.decode_policy_key(key)
            self.put(ino, PREFIX + name, value)

    def put(self, ino: int, name: bytes, value: bytes | None) -> None:
        """None takes it away."""
        self.changes += 1
        if value is None:
            own = self._own.get(ino, {})
            own.pop(name, None)
            if not own:
                self._own.pop(ino, None)
        else:
            self._own.setdefault(ino, {})[name] = value
        if name == PLACES and value is not None:
            self._placing.add(ino)
        elif name == PLACES:
            self._placing.discard(ino)
        if (name, value) in _REFUSING:
            self._refusing.add((ino, name))
        else:
            self._refusing.discard((ino, name))

    @property
    def names_places(self) -> bool:
        """Whether anything says where its bytes may be."""
        return bool(self._placing)

    def places(self, ino: int) -> bytes | None:
        """Where the bytes of a file may be, as it was set; None for anywhere. Quick where nothing was set anywhere."""
        return self.held(ino, PLACES).value if self._placing else None

    @property
    def carriers(self) -> set[int]:
        """What carries policies itself."""
        return set(self._own)

    def snapshot(self) -> dict[int, dict[bytes, bytes]]:
        """All that was set, by inode, as it is now."""
        return {ino: dict(own) for ino, own in self._own.items()}

    def own(self, ino: int) -> Iterable[bytes]:
        """The names of those that something carries itself."""
        return tuple(self._own.get(ino, ()))

    def value(self, ino: int, name: bytes) -> bytes | None:
        """What was set on it itself."""
        own = self._own.get(ino)
        return None if own is None else own.get(name)

    def held(self, ino: int, name: bytes) -> Held:
        """What holds for it. Of a file with several names the folder of the newest counts."""
        return nearest(lambda at: self.value(at, name), self._parent, ino, DEFAULTS.get(name))

    def held_as(self, inode: Inode, parent: int, name: bytes) -> Held:
        """What holds for it under a name in the directory `parent`."""
        own = self.value(inode.ino, name)
        return self.held(parent, name) if own is None else Held(own, inode.ino)

    def is_archived(self, ino: int) -> bool:
        return self.protects and self.held(ino, CLASS).value == ARCHIVE

    def place(self, inode: Inode, directory: int, leaving: int = 0) -> None:
        """Says that an inode lies in a directory, by its newest name; `leaving` is the one that it left for it.

        But a file that an archive's folder closes stays there: no further name may open it.
        """
        is_further = inode.nlink > 1 and not inode.is_directory and inode.parent != leaving
        if not (is_further and self.is_archived(inode.parent)):
            inode.parent = directory

    def _parent(self, ino: int) -> int:
        try:
            return self._inode_of(ino).parent
        except StaleHandle:
            return 0  # the folder of a name that went, of a file that has others
