"""What can be had of a tree with lost nodes: what can be read, and for the rest the newest older version that has it.

A lost node is known by the prefix that all its keys have. Keys begin with the inode, so what is lost are whole inodes,
or of one inode its names, extents or attributes. Rules, so that no file is ever a mixture:

- a whole inode comes from an older version with all that belongs to it, or not at all;
- lost extents of a file stay lost: their range can't be read until somebody writes it anew;
- names and facts that an older version had in the lost part come back.

Memory grows with the tree: some 500 bytes an entry.
"""

import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from hyperfs.chunks.extents import WHOLE_BLOCK, Extent
from hyperfs.chunks.extents import decode as decode_extent
from hyperfs.errors import Corrupt, FormatTooNew, NotResident
from hyperfs.trie.node import Entry, Leaf, Load, Ref
from hyperfs.trie.walk import walk
from hyperfs.values import ROOT_INO
from hyperfs.volume import keys
from hyperfs.volume.check_findings import Range, inode_range
from hyperfs.volume.entries import decode_dentry, encode_dentry, encode_extent, is_name
from hyperfs.volume.inode import Inode
from hyperfs.volume.policy_facts import PolicyFacts

UNUSABLE: Final = (Corrupt, FormatTooNew, NotResident)
LOST_AND_FOUND: Final = b"lost+found"
LOST_EXTENT_BYTES: Final = 1 << 20
_INO_NIBBLES: Final = 16
_KIND_NIBBLES: Final = 18
_FOLDER: Final = stat.S_IFDIR >> 12

Entries = dict[bytes, Entry]


@dataclass
class Tree:
    """As far as it can be read. `lost`: the prefix in hex digits of each lost node, and the node."""

    entries: Entries = field(default_factory=dict)
    refs: list[Ref] = field(default_factory=list)
    lost: list[tuple[str, Ref]] = field(default_factory=list)


def read_tree(load: Load, root: Ref | None) -> Tree:
    found = Tree()
    stack: list[tuple[str, Ref]] = [] if root is None else [("", root)]
    while stack:
        prefix, ref = stack.pop()
        try:
            node = load(ref)
        except UNUSABLE:
            found.lost.append((prefix, ref))
            continue
        found.refs.append(ref)
        if isinstance(node, Leaf):
            found.entries.update(zip(node.keys, zip(node.values, node.hints, strict=True), strict=True))
            continue
        if node.ends is not None:
            found.entries[node.prefix] = node.ends
        digits = node.prefix.hex()[: node.depth]
        stack.extend((f"{digits}{n:x}", child) for n, child in enumerate(node.children) if isinstance(child, Ref))
    return found


def range_of(prefix: str) -> Range:
    """The inodes that keys with these leading hex digits may be about."""
    return inode_range(bytes.fromhex(prefix + "0" * (len(prefix) % 2)), len(prefix))


def older_entries(load: Load, root: Ref | None, prefix: str) -> Entries | None:
    """All entries of an older version for the inodes that a prefix may be about; None where one can't be read."""
    first, last = range_of(prefix)
    found: Entries = {}
    try:
        for key, value, hint in walk(load, root, b"", first.to_bytes(8, "big")):
            if int.from_bytes(key[:8], "big") > last:
                break
            found[key] = (value, hint)
    except UNUSABLE:
        return None
    return found


def fill(entries: Entries, prefix: str, older: Entries) -> set[int]:
    """Puts into `entries` what can be had for a lost part. Returns the inodes that came from the older version."""
    if len(prefix) <= _INO_NIBBLES:
        came = {key: entry for key, entry in older.items() if key.hex().startswith(prefix)}
        for key, entry in came.items():
            entries.setdefault(key, entry)
        return {int.from_bytes(key[:8], "big") for key in came} - {keys.NO_INO}
    ino = int(prefix[:_INO_NIBBLES], 16)
    kinds = {int(prefix[_INO_NIBBLES:_KIND_NIBBLES], 16)} if len(prefix) >= _KIND_NIBBLES else {1, 2, 3, 4, 5, 6, 7, 8}
    if keys.INODE in kinds:
        return _whole_inode(entries, ino, older)
    for key, entry in older.items():
        kind = key[keys.PREFIX_BYTES - 1]
        if key.hex().startswith(prefix) and kind != keys.EXTENT:
            entries.setdefault(key, entry)
    if keys.EXTENT in kinds and ino != keys.NO_INO:
        _lose_extents(entries, ino, prefix)
    return set()


def _whole_inode(entries: Entries, ino: int, older: Entries) -> set[int]:
    """The record is lost: what is left of the inode's own can't be trusted to go with an older record."""
    whole = keys.whole(ino)
    for key in [key for key in entries if key.startswith(whole) and key[keys.PREFIX_BYTES - 1] != keys.DENTRY]:
        del entries[key]
    came = {key: entry for key, entry in older.items() if key.startswith(whole)}
    for key, entry in came.items():
        entries.setdefault(key, entry)
    return {ino} if came else set()


def _lose_extents(entries: Entries, ino: int, prefix: str) -> None:
    """Extents that can't be read stand where the lost ones may have been."""
    record = entries.get(keys.inode_key(ino))
    if record is None:
        return
    inode = Inode.decode(ino, record[0])
    digits = prefix[_KIND_NIBBLES:]
    low = int(digits.ljust(16, "0"), 16)
    # The last lost extent may reach beyond where it may begin; what is known to follow ends it.
    high = min(inode.size, int(digits.ljust(16, "f"), 16) + LOST_EXTENT_BYTES)
    for start, end in _gaps(_extents(entries, ino), low, high):
        for offset in range(start, end, LOST_EXTENT_BYTES):
            length = min(LOST_EXTENT_BYTES, end - offset)
            lost = Extent(offset, length, bytes(16), 0, length, 0, 0, WHOLE_BLOCK)
            entries[keys.extent_key(ino, offset)] = encode_extent(lost)


def _extents(entries: Entries, ino: int) -> list[Extent]:
    prefix = keys.prefix(ino, keys.EXTENT)
    return sorted(
        decode_extent(keys.extent_offset(key), *entry) for key, entry in entries.items() if key.startswith(prefix)
    )


def _gaps(extents: list[Extent], low: int, high: int) -> Iterator[tuple[int, int]]:
    at = low
    for extent in extents:
        if extent.end <= at:
            continue
        if extent.offset >= high:
            break
        if extent.offset > at:
            yield at, extent.offset
        at = extent.end
    if at < high:
        yield at, high


@dataclass
class Straight:
    """A tree of files that makes sense. `dropped`: (folder, name) of what nothing is left of; `found`: inodes without
    a name that now have one in lost+found."""

    entries: Entries
    dropped: list[tuple[int, bytes]] = field(default_factory=list)
    found: list[int] = field(default_factory=list)
    files: int = 0
    directories: int = 0
    file_bytes: int = 0


def straighten(entries: Entries, older: set[int], next_ino: Callable[[], int], now_ns: int) -> Straight:
    """Names lead somewhere, inodes have names, and counts agree. `older`: inodes of an older version, which are let
    go where nothing names them: they may have been deleted since. Raises Corrupt when the root is lost."""
    inodes = {
        int.from_bytes(key[:8], "big"): Inode.decode(int.from_bytes(key[:8], "big"), entry[0])
        for key, entry in entries.items()
        if key[keys.PREFIX_BYTES - 1] == keys.INODE and key[:8] != bytes(8)
    }
    if ROOT_INO not in inodes:
        raise Corrupt("the root folder is in no version that can be read")
    straight = Straight(entries)
    names = _Names(straight, inodes)
    lost = [ino for ino in names.tops() if ino not in older]
    if lost:
        names.find_room(lost, next_ino, now_ns)
    reached = names.reached()
    for key in list(entries):
        ino = int.from_bytes(key[:8], "big")
        if ino != keys.NO_INO and ino not in reached:
            del entries[key]
    _count(straight, {ino: inodes[ino] for ino in reached}, names)
    return straight


def agree(entries: Entries) -> None:
    """What is known of policies becomes what the attributes say, which may have come from another version than it. But
    for long ones, whose bytes are not here: of them what is known stays."""
    policies = PolicyFacts(_unread)
    for key, entry in sorted(entries.items()):
        policies.entry(key, *entry)
    for key, value in policies.wrong().items():
        if value is None:
            del entries[key]
        else:
            entries[key] = (value, b"")


def _unread(extent: Extent) -> bytes:
    raise NotResident([])


class _Names:
    """The names of a tree that may make no sense yet."""

    def __init__(self, straight: Straight, inodes: dict[int, Inode]) -> None:
        self._straight = straight
        self._inodes = inodes
        self.children: dict[int, dict[bytes, int]] = {}
        self.links: dict[int, int] = {}
        self.parent: dict[int, int] = {}
        for key, entry in list(straight.entries.items()):
            if key[keys.PREFIX_BYTES - 1] != keys.DENTRY:
                continue
            folder, name = int.from_bytes(key[:8], "big"), key[keys.PREFIX_BYTES :]
            child, kind = decode_dentry(entry[0])
            inode = inodes.get(child)
            sound = inode is not None and stat.S_IFMT(inode.mode) >> 12 == kind and child != ROOT_INO and is_name(name)
            if not sound or folder not in inodes or (kind == _FOLDER and child in self.parent):
                del straight.entries[key]
                straight.dropped.append((folder, name))
                continue
            self._add(folder, name, child)

    def _add(self, folder: int, name: bytes, child: int) -> None:
        self.children.setdefault(folder, {})[name] = child
        self.links[child] = self.links.get(child, 0) + 1
        self.parent.setdefault(child, folder)

    def tops(self) -> list[int]:
        """Inodes that no name leads to."""
        return sorted(ino for ino in self._inodes if ino != ROOT_INO and ino not in self.links)

    def reached(self) -> set[int]:
        seen: set[int] = {ROOT_INO}
        stack: list[int] = [ROOT_INO]
        while stack:
            for child in self.children.get(stack.pop(), {}).values():
                if child not in seen:
                    seen.add(child)
                    stack.append(child)
        return seen

    def find_room(self, lost: list[int], next_ino: Callable[[], int], now_ns: int) -> None:
        """Names them by their numbers in the folder lost+found of the root."""
        folder = self.children.get(ROOT_INO, {}).get(LOST_AND_FOUND)
        if folder is None or not self._inodes[folder].is_directory:
            name = LOST_AND_FOUND if folder is None else b"%s.%d" % (LOST_AND_FOUND, now_ns)
            folder = self._make_folder(name, next_ino(), now_ns)
        for ino in lost:
            inode = self._inodes[ino]
            name = b"#%d" % ino
            self._add(folder, name, ino)
            kind = stat.S_IFMT(inode.mode) >> 12
            self._straight.entries[keys.dentry_key(folder, name)] = encode_dentry((ino, kind))
            self._straight.found.append(ino)

    def _make_folder(self, name: bytes, ino: int, now_ns: int) -> int:
        made = Inode(ino, stat.S_IFDIR | 0o700)
        root = self._inodes[ROOT_INO]
        made.uid, made.gid = root.uid, root.gid
        made.atime_ns = made.mtime_ns = made.ctime_ns = made.btime_ns = now_ns
        made.parent = ROOT_INO
        self._inodes[ino] = made
        self._add(ROOT_INO, name, ino)
        self._straight.entries[keys.dentry_key(ROOT_INO, name)] = encode_dentry((ino, _FOLDER))
        return ino


def _count(straight: Straight, inodes: dict[int, Inode], names: _Names) -> None:
    """Links, parents, stored bytes and totals, by what is there."""
    stored: dict[int, int] = {}
    for key, entry in straight.entries.items():
        if key[keys.PREFIX_BYTES - 1] == keys.EXTENT:
            ino = int.from_bytes(key[:8], "big")
            stored[ino] = stored.get(ino, 0) + decode_extent(keys.extent_offset(key), *entry).length
    for ino, inode in inodes.items():
        if inode.is_directory:
            folders = sum(inodes[child].is_directory for child in names.children.get(ino, {}).values())
            inode.nlink = 2 + folders
            inode.parent = names.parent.get(ino, inode.parent)
            straight.directories += 1
        else:
            inode.nlink = names.links[ino]
            straight.files += 1
        if inode.is_file:
            inode.stored = stored.get(ino, 0) + len(inode.inline or b"")
            straight.file_bytes += inode.size
        straight.entries[keys.inode_key(ino)] = (inode.encode(), b"")
