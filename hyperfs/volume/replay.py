"""Replaying the journal on the newest version: its items become the overlay again, as if just done."""

import stat
from collections.abc import Iterable

from hyperfs.volume.files import Files
from hyperfs.volume.inode import Inode
from hyperfs.volume.journal_items import (
    BytesItem,
    BytesVoidItem,
    DentryItem,
    ExtentItem,
    FactItem,
    InodeItem,
    Item,
    NextInoItem,
    XattrItem,
)
from hyperfs.volume.overlay import Overlay


def apply(items: Iterable[Item], overlay: Overlay, files: Files) -> None:
    """Applies items in their order; the last word on each key counts."""
    bytes_of: dict[int, list[BytesItem]] = {}
    for item in items:
        match item:
            case InodeItem(ino, record):
                _inode(overlay, ino, record)
                if record is None:
                    bytes_of.pop(ino, None)
            case DentryItem(parent, name, dentry):
                overlay.set_dentry(parent, name, dentry)
            case ExtentItem(ino, offset, extent):
                overlay.live.active.set_extent(ino, offset, extent)
            case XattrItem(ino, name, value):
                overlay.set_xattr(ino, name, value)
            case FactItem(key, value):
                overlay.set_fact(key, value)
            case NextInoItem(next_ino):
                overlay.next_ino = max(overlay.next_ino, next_ino)
            case BytesVoidItem(ino, start):
                bytes_of[ino] = [p._replace(data=p.data[: max(0, start - p.offset)]) for p in bytes_of.get(ino, [])]
            case BytesItem():
                bytes_of.setdefault(item.ino, []).append(item)
    for ino, pieces in bytes_of.items():
        inode = overlay.live.inode(ino)
        if inode is None:
            continue
        for piece in pieces:
            # The journaled size may leave out what the bytes of another record go on to.
            if piece.data and piece.offset < inode.size:
                files.restore_bytes(inode, piece.offset, piece.data[: inode.size - piece.offset])
    overlay.unjournaled.__init__()  # type: ignore[misc]


def _inode(overlay: Overlay, ino: int, record: bytes | None) -> None:
    before = overlay.live.inode(ino)
    if before is not None:
        _count(overlay, before, -1)
    if record is None:
        overlay.table.pop(ino, None)
        overlay.live.active.drop_inode(ino)
        return
    inode = Inode.decode(ino, record)
    _count(overlay, inode, 1)
    overlay.table[ino] = inode
    overlay.live.active.inodes[ino] = inode
    overlay.next_ino = max(overlay.next_ino, ino + 1)


def _count(overlay: Overlay, inode: Inode, by: int) -> None:
    if stat.S_ISDIR(inode.mode):
        overlay.directories += by
        return
    overlay.files += by
    if inode.is_file:
        overlay.file_bytes += by * inode.size
