"""Repair: what a journal holds beside a version whose commit is lost, and a journal that is damaged itself.

A commit says through which record the journal is in it. When that commit is lost, the records themselves must tell:
they state values, so those that the tree holds already add nothing.
"""

import shutil
from collections.abc import Iterable
from typing import Final

from hyperfs.chunks.extents import Extent
from hyperfs.chunks.extents import decode as decode_extent
from hyperfs.errors import HyperfsError
from hyperfs.store import folder
from hyperfs.store.files import Disk
from hyperfs.store.journal_records import Record, select_replay
from hyperfs.volume import keys
from hyperfs.volume.entries import encode_dentry, encode_extent
from hyperfs.volume.inode import Inode
from hyperfs.volume.journal_items import (
    BytesItem,
    BytesVoidItem,
    DentryItem,
    ExtentItem,
    FactItem,
    InodeItem,
    Item,
    XattrItem,
    decode,
)
from hyperfs.volume.salvage import Entries, range_of
from hyperfs.volume.tree import ReadExtent

LOST: Final = "lost"
"""Folder of the store for what a repair could not make sense of."""


def whole_items(records: list[Record], folded: int) -> list[Item] | None:
    """What the journal adds to a version that holds it through `folded`; None where records are missing."""
    try:
        return [item for payload in select_replay(records, folded) for item in decode(payload)]
    except HyperfsError:
        return None


def is_about(items: Iterable[Item], prefix: str) -> bool:
    """Whether an item is about an inode, or a drive's fact, of which a lost node with that prefix may have known."""
    first, last = range_of(prefix)
    for item in items:
        match item:
            case InodeItem(ino) | ExtentItem(ino) | XattrItem(ino) | BytesItem(ino) | DentryItem(ino):
                if first <= ino <= last:
                    return True
            case FactItem(key) if key.hex().startswith(prefix):
                return True
    return False


def adds_nothing(items: Iterable[Item], entries: Entries, read: ReadExtent) -> bool:
    """Whether the tree holds the last word of the items on everything."""
    last: dict[object, Item] = {}
    for item in items:
        match item:
            case InodeItem(ino, record):
                last["inode", ino] = item
                if record is None:
                    last.pop(("bytes", ino), None)
            case DentryItem(parent, name, _):
                last["dentry", parent, name] = item
            case ExtentItem(ino, offset, _):
                last["extent", ino, offset] = item
            case FactItem(key, _):
                last["fact", key] = item
            case BytesItem(ino):
                last["bytes", ino] = item
            case BytesVoidItem(ino):
                last.pop(("bytes", ino), None)
    return all(_is_in(item, entries, read) for item in last.values())


def _is_in(item: Item, entries: Entries, read: ReadExtent) -> bool:
    match item:
        case InodeItem(ino, record):
            found = entries.get(keys.inode_key(ino))
            if record is None or found is None:
                return record is None and found is None
            return Inode.decode(ino, record).encode(born=0) == Inode.decode(ino, found[0]).encode(born=0)
        case DentryItem(parent, name, dentry):
            return entries.get(keys.dentry_key(parent, name)) == (dentry and encode_dentry(dentry))
        case ExtentItem(ino, offset, extent):
            return entries.get(keys.extent_key(ino, offset)) == (extent and encode_extent(extent))
        case FactItem(key, value):
            return entries.get(key, (None,))[0] == value
        case BytesItem():
            return _bytes_in(item, entries, read)
    return True


def _bytes_in(item: BytesItem, entries: Entries, read: ReadExtent) -> bool:
    record = entries.get(keys.inode_key(item.ino))
    if record is None:
        return True  # unlinked since
    inode = Inode.decode(item.ino, record[0])
    end = min(inode.size, item.offset + len(item.data))
    found = bytearray(max(0, end - item.offset))
    if inode.inline is not None:
        found[:] = inode.inline.ljust(inode.size, b"\0")[item.offset : end]
    prefix = keys.prefix(item.ino, keys.EXTENT)
    for key, entry in entries.items():
        if key.startswith(prefix):
            _put(found, item.offset, decode_extent(keys.extent_offset(key), *entry), read)
    return bytes(found) == item.data[: len(found)]


def _put(found: bytearray, start: int, extent: Extent, read: ReadExtent) -> None:
    low, high = max(start, extent.offset), min(start + len(found), extent.end)
    if low < high:
        try:
            chunk = read(extent)
        except HyperfsError:
            return
        skip = extent.skip - extent.offset
        found[low - start : high - start] = chunk[low + skip : high + skip]


def keep_aside(disk: Disk) -> str:
    """Copies the journal as it is into a folder of its own, durably; its name in the store. Raises OSError."""
    disk.makedirs(LOST)
    number = 1 + max((int(n.rpartition("-")[2]) for n in disk.listdir(LOST) if n.startswith("journal-")), default=0)
    name = f"{LOST}/journal-{number}"
    disk.makedirs(f"{name}.new")
    source = disk.root / folder.JOURNAL
    for segment in sorted(source.iterdir()) if source.is_dir() else []:
        disk.replace(f"{name}.new/{segment.name}", segment.read_bytes())
    disk.rename(f"{name}.new", name)
    disk.sync_folder(LOST)
    return name


def forget_unfinished(disk: Disk) -> None:
    """Takes away what a kill in `keep_aside` left."""
    for name in disk.listdir(LOST) if disk.exists(LOST) else []:
        if name.endswith(".new"):
            shutil.rmtree(disk.root / LOST / name)
