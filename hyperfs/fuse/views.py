"""Numbers of what stands in the past: which view of it, and which inode there.

    bit 63        set: in the past
    bits 41..62   the view: an old tree under one name of one directory's `.versions`
    bits 0..40    the inode's own number in that tree, without the number of the device that gave it

So of an inode that the kernel knows nothing has to be remembered, whatever its number: a search through an old version
takes the memory of one view. Every name is a view of its own, for the kernel allows a directory one dentry only. The
version is a part of it, because a snapshot's name may be given again, and the kernel keeps bytes and sizes by number.
"""

from hashlib import blake2b
from typing import Final, NamedTuple

from hyperfs.errors import StaleHandle

PAST_BIT: Final = 1 << 63
_COUNTER_BITS: Final = 41
_DEVICE_SHIFT: Final = 48
_SLOTS: Final = 1 << (63 - _COUNTER_BITS)
_COUNTER_MASK: Final = (1 << _COUNTER_BITS) - 1
_UNKNOWN_MOST: Final = 1000
_IN_HAND: Final = 100


class View(NamedTuple):
    """What many inodes of the past have in common.

    `directory` is the live inode whose `.versions` they are below, `entry` the name there. With `target` it is a
    symlink from a relative name to an entry. Without `entry` it is the `.versions` themselves, whose own numbers are
    those of their directories. `device` gave the inodes their numbers.
    """

    directory: int
    entry: bytes
    version: int
    device: int
    target: bytes = b""


class Views:
    """The views that the kernel knows something of, each in a slot. Owned by the trio thread.

    A slot comes of the view's hash, so that numbers are nearly always the same when they are asked for again.
    """

    def __init__(self) -> None:
        self._slots: dict[int, View] = {}
        self._by_view: dict[View, int] = {}
        self._known: dict[int, int] = {}  # by slot: how many answers gave a number of it, less what was forgotten

    def __len__(self) -> int:
        return len(self._slots)

    def all(self) -> list[View]:
        return list(self._slots.values())

    def number(self, directory: int, entry: bytes, version: int, ino: int, target: bytes = b"") -> int:
        """Of an inode in a view. Raises StaleHandle for one that can't have a number here."""
        if ino >> _DEVICE_SHIFT << _DEVICE_SHIFT | ino & _COUNTER_MASK != ino:
            raise StaleHandle(f"inode {ino} has too high a number to be shown in a version")
        slot = self._slot(View(directory, entry, version, ino >> _DEVICE_SHIFT, target))
        return PAST_BIT | slot << _COUNTER_BITS | ino & _COUNTER_MASK

    def _slot(self, view: View) -> int:
        slot = self._by_view.get(view)
        if slot is not None:
            return slot
        if len(self._slots) > len(self._known) + _UNKNOWN_MOST:
            self._drop_unknown()
        if len(self._slots) >= _SLOTS // 2:
            raise StaleHandle("the kernel knows too many old versions at once")
        named = b"%d %d %d " % (view.directory, view.version, view.device) + view.entry + b"\0" + view.target
        slot = int.from_bytes(blake2b(named, digest_size=8).digest()) % _SLOTS
        while slot in self._slots:
            slot = (slot + 1) % _SLOTS
        self._slots[slot] = view
        self._by_view[view] = slot
        return slot

    def find(self, number: int) -> tuple[View, int]:
        """The view and the inode of a number. Raises StaleHandle for one that the kernel should not have."""
        view = self._slots.get((number & ~PAST_BIT) >> _COUNTER_BITS)
        if view is None:
            raise StaleHandle(f"no such inode of a version: {number}")
        return view, view.device << _DEVICE_SHIFT | number & _COUNTER_MASK

    def given(self, number: int) -> None:
        """The kernel was told of the number: its view stays until the kernel has forgotten all that it was told."""
        slot = (number & ~PAST_BIT) >> _COUNTER_BITS
        self._known[slot] = self._known.get(slot, 0) + 1

    def forget(self, number: int, count: int) -> None:
        """The kernel takes back `count` answers: an older one may be on its way back when a newer is given."""
        slot = (number & ~PAST_BIT) >> _COUNTER_BITS
        left = self._known.get(slot, 0) - count
        if left > 0:
            self._known[slot] = left
            return
        self._known.pop(slot, None)
        self._drop(slot)

    def _drop_unknown(self) -> None:
        """Lets go of views that were made for an answer that the kernel did not get."""
        # The newest may be of the answer that is being made.
        for slot in [slot for slot in list(self._slots)[:-_IN_HAND] if slot not in self._known]:
            self._drop(slot)

    def _drop(self, slot: int) -> None:
        view = self._slots.pop(slot, None)
        if view is not None:
            del self._by_view[view]
