"""Replaying the journal on the newest version: its items become the overlay again, as if just done."""

import stat
from collections.abc import Iterable, Sequence

from hyperfs.errors import Corrupt
from hyperfs.log.log import Log
from hyperfs.store.journal import Journal
from hyperfs.store.journal_records import Record, select_replay
from hyperfs.volume import rescue
from hyperfs.volume.files import Files
from hyperfs.volume.inode import Inode
from hyperfs.volume.journal_items import (
    BlocksItem,
    BytesItem,
    BytesVoidItem,
    DentryItem,
    ExtentItem,
    FactItem,
    InodeItem,
    Item,
    NextInoItem,
    XattrItem,
    decode,
)
from hyperfs.volume.options import Options
from hyperfs.volume.overlay import Overlay


def apply(items: Iterable[Item], overlay: Overlay, files: Files, lenient: bool, warnings: dict[str, str]) -> None:
    """Applies items in their order; the last word on each key counts.

    Each changed inode is looked up in the newest version, for the totals. Where that is damaged: Corrupt, or,
    `lenient`, totals that are not exact.
    """
    bytes_of: dict[int, list[BytesItem]] = {}
    for item in items:
        match item:
            case InodeItem(ino, record):
                _uncount(overlay, ino, lenient, warnings)
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


def _uncount(overlay: Overlay, ino: int, lenient: bool, warnings: dict[str, str]) -> None:
    try:
        before = overlay.live.inode(ino)
    except rescue.DAMAGE as error:
        if not lenient:
            raise Corrupt(f"the journal goes on from what can't be read: {error}", "", rescue.ADVICE) from error
        warnings["totals"] = "the numbers of files and bytes are not exact: a part of the tree can't be read"
        return
    if before is not None:
        _count(overlay, before, -1)


def _inode(overlay: Overlay, ino: int, record: bytes | None) -> None:
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


def items_to_replay(
    journal: Journal, records: list[Record], folded: int, options: Options, warnings: dict[str, str]
) -> list[Item]:
    """What the journal adds to the newest version. When it is damaged: nothing, read-only; what comes before the
    first missing record, for a rescue; else Corrupt."""
    if options.rescue:
        return [item for payload in select_replay(records, folded, lenient=True) for item in decode(payload)]
    if "newest" in warnings:
        return []  # the records go on from a version that can't be read
    try:
        if journal.damage:
            raise Corrupt(f"{journal.damage}, and what was fsynced may have gone with it", "journal", rescue.ADVICE)
        return [item for payload in select_replay(records, folded) for item in decode(payload)]
    except Corrupt as error:
        if not options.read_only:
            raise
        warnings["journal"] = f"changes that were fsynced after the last version are not shown: {error.what}"
        return []


def adopt_blocks(log: Log, number: int, items: Sequence[Item], lenient: bool, warnings: dict[str, str]) -> None:
    """Takes the blocks that the journal names and no head does back into the content log's tree."""
    for item in items:
        if not isinstance(item, BlocksItem) or item.log != number:
            continue
        skip = max(0, log.length - item.first)
        if skip < len(item.sizes):
            try:
                log.adopt(item.first + skip, item.sizes[skip:], item.leaf_hashes[skip:])
            except ValueError as error:
                raise Corrupt("the journal names blocks that do not join the log", str(error)) from error
            except Corrupt as error:
                if not lenient:
                    raise Corrupt(error.what, error.where, rescue.ADVICE) from error
                warnings["journal"] = f"some fsynced bytes can't be read: {error.what}"
                return  # what stands behind a gap has no place in the tree
