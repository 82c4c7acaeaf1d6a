"""Repair, first part: the files of a store, before it is opened.

Nothing here is guessed: what is written is what a signature, a hash or a constant proves. Each file is written under
another name and then renamed, so a kill leaves the old one or the new one.
"""

import struct
from collections.abc import Iterator
from typing import Final

from hyperfs.crypto import seal
from hyperfs.crypto.keys import LOG_METADATA
from hyperfs.errors import Corrupt, FormatTooNew, HyperfsError
from hyperfs.log import heads
from hyperfs.log.control import Chain
from hyperfs.log.control_codec import LogEntry
from hyperfs.log.heads import Head
from hyperfs.log.log import BLOCKS_FILE, HEADS_FILE, TREE_FILE, Log
from hyperfs.log.manifest import default_v1
from hyperfs.log.merkle import MerkleTree, Node, leaf_hash
from hyperfs.log.tree_file import NODE_BYTES
from hyperfs.store import folder
from hyperfs.store.files import Disk, DiskFile
from hyperfs.volume.device_logs import log_folder
from hyperfs.volume.repair_report import Repaired

_NODE: Final = struct.Struct("<32sQ")
_SEALED_PLACE: Final = struct.Struct("<IIQ")
_PLACE_AT: Final = 16
"""Where log, fork and index stand in the header of a sealed block."""
_MOST_BLOCK_BYTES: Final = seal.MAX_DECODED_BYTES + (1 << 16)


def mend_files(disk: Disk) -> Iterator[Repaired]:
    """Format file, tag, and the files of the logs. The store's lock must be held. Raises OSError."""
    try:
        chain = Chain.parse(disk.read_all(folder.CONTROL))
    except (HyperfsError, FileNotFoundError):
        return  # nothing can be proven without it
    yield from _format_file(disk, chain)
    yield from _tag(disk)
    for entry in chain.logs.values():
        yield from _log_files(disk, entry)


def _format_file(disk: Disk, chain: Chain) -> Iterator[Repaired]:
    whole = folder.encode_format(chain.drive_id)
    try:
        found = disk.read_all(folder.FORMAT_FILE)
        if found == whole:
            return
        folder.decode_format(found, disk.root)
    except FormatTooNew:
        return  # whatever else is in it: a later program's, for all that we know
    except (Corrupt, FileNotFoundError):
        pass
    disk.replace(folder.FORMAT_FILE, whole)
    yield Repaired("written anew, with the drive's id of the control chain", f"file {folder.FORMAT_FILE}")


def _tag(disk: Disk) -> Iterator[Repaired]:
    first = folder.CACHEDIR_TEXT.splitlines(keepends=True)[0]
    try:
        if disk.read_all(folder.CACHEDIR_TAG).startswith(first):
            return
    except FileNotFoundError:
        pass
    disk.replace(folder.CACHEDIR_TAG, folder.CACHEDIR_TEXT)
    yield Repaired("written anew", f"file {folder.CACHEDIR_TAG}")


def _log_files(disk: Disk, entry: LogEntry) -> Iterator[Repaired]:
    name = log_folder(entry)
    head = _signed_head(disk, entry)
    if head is None:
        return
    if not disk.exists(f"{name}/{BLOCKS_FILE}"):
        if head.length and entry.kind == LOG_METADATA:
            return  # nothing could be read without it: opening says what to put back
        disk.replace(f"{name}/{BLOCKS_FILE}", b"")
        what = "missing: an empty file stands for it. If it turns up, put it back before anything is written"
        yield Repaired(what, f"{name}/{BLOCKS_FILE}")
    blocks = disk.open(f"{name}/{BLOCKS_FILE}", writable=False)
    try:
        if _tree_serves(disk, entry):
            return
        nodes = rebuild_tree(entry.number, head, blocks, stored_nodes(disk, f"{name}/{TREE_FILE}", head.length))
    finally:
        blocks.close()
    if nodes is None:
        return
    data = bytearray((2 * head.length - 1) * NODE_BYTES if head.length else 0)
    for node in nodes:
        _NODE.pack_into(data, node.index * NODE_BYTES, node.hash, node.size)
    disk.replace(f"{name}/{TREE_FILE}", bytes(data))
    yield Repaired("the Merkle tree was computed anew of the blocks; the signed head proves it", f"{name}/{TREE_FILE}")


def _signed_head(disk: Disk, entry: LogEntry) -> Head | None:
    """The newest head with a good signature."""
    name = f"{log_folder(entry)}/{HEADS_FILE}"
    if not disk.exists(name):
        return None
    file = disk.open(name, writable=False)
    try:
        return heads.HeadFile(file, default_v1(entry.public_key)).head
    except HyperfsError:
        return None
    finally:
        file.close()


def _tree_serves(disk: Disk, entry: LogEntry) -> bool:
    """Whether every leaf can be found: a node here and there that is mended on the way is put right by a flush."""
    name = log_folder(entry)
    if not disk.exists(f"{name}/{TREE_FILE}"):
        return False
    try:
        log = Log.open(disk, name, entry.public_key, None, entry.number, writable=False)
    except HyperfsError:
        return False
    try:
        # Each whole subtree of 64 leaves in turn: enough to come by every node above a leaf.
        for index in range(log.length):
            log.node(2 * index)
        return not log.mended_nodes
    except HyperfsError:
        return False
    finally:
        log.close()


def stored_nodes(disk: Disk, name: str, length: int) -> dict[int, tuple[int, bytes]]:
    """(size, hash) of each leaf as the file has it, true or not."""
    if not disk.exists(name):
        return {}
    data = disk.read_all(name)
    found = {}
    for block in range(length):
        at = 2 * block * NODE_BYTES
        if at + NODE_BYTES <= len(data):
            digest, size = _NODE.unpack_from(data, at)
            found[block] = (size, digest)
    return found


def rebuild_tree(
    number: int, head: Head, blocks: DiskFile, stored: dict[int, tuple[int, bytes]]
) -> list[Node] | None:
    """All nodes of the tree that the head signs, of the blocks and what is left of the old tree; None where the two
    together do not prove it.

    Where a block ends is told by the next one's header, in which its own place stands.
    """
    tree = MerkleTree()
    nodes: list[Node] = []
    offset = 0
    for index in range(head.length):
        leaf = _leaf(number, head, blocks, index, offset, stored.get(index))
        if leaf is None:
            return None
        nodes += tree.extend([leaf[0]], [leaf[1]])
        offset += leaf[0]
    return nodes if tree.hash() == head.tree_hash and offset == head.byte_length else None


def _leaf(
    number: int, head: Head, blocks: DiskFile, index: int, offset: int, stored: tuple[int, bytes] | None
) -> tuple[int, bytes] | None:
    if stored is not None and stored[0] <= _MOST_BLOCK_BYTES:
        data = blocks.pread(stored[0], offset)
        if len(data) == stored[0] and leaf_hash(data) == stored[1]:
            return stored
        if _begins(number, head, blocks, index + 1, offset + stored[0]):
            return stored  # the block is damaged or let go, and its leaf is not
    end = _find_block(number, head, blocks, index + 1, offset)
    if end is None:
        return None
    data = blocks.pread(end - offset, offset)
    return len(data), leaf_hash(data)


def _begins(number: int, head: Head, blocks: DiskFile, index: int, offset: int) -> bool:
    """Whether that block begins at that byte, or the log ends there with the block before it."""
    if index == head.length:
        return offset == head.byte_length
    header = blocks.pread(_PLACE_AT + _SEALED_PLACE.size, offset)
    if len(header) < _PLACE_AT + _SEALED_PLACE.size or header[0] != seal.FORMAT:
        return False
    log, fork, place = _SEALED_PLACE.unpack_from(header, _PLACE_AT)
    return bool(log == number and place == index and fork <= head.fork)


def _find_block(number: int, head: Head, blocks: DiskFile, index: int, after: int) -> int | None:
    """Where that block begins, behind `after`; the log's end for the one past the last."""
    if index == head.length:
        return head.byte_length
    wanted = [_SEALED_PLACE.pack(number, fork, index) for fork in range(min(head.fork, 64) + 1)]
    data = blocks.pread(min(_MOST_BLOCK_BYTES, head.byte_length - after), after)
    for pattern in wanted:
        at = data.find(pattern, seal.OVERHEAD_BYTES)
        while at >= 0:
            if _begins(number, head, blocks, index, after + at - _PLACE_AT):
                return after + at - _PLACE_AT
            at = data.find(pattern, at + 1)
    return None
