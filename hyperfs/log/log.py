"""A log: blocks back to back in `blocks`, their Merkle nodes in `tree`, signed heads in `heads`.

The order that makes a crash harmless, kept by flush() and to be kept by whoever takes its steps singly:

    1. blocks and tree nodes are written        (write, write_tree)
    2. both are synced                          (sync_blocks, sync_tree)
    3. the head that covers them is signed, written and synced   (write_head)

and nothing is told to a peer before 3 has returned. What lies past the signed length when a log is opened is
no part of it: it may be torn, and is overwritten, unless adopt() takes it back in because a journal names it.

Blocks of the signed length never change in place; only truncate, which raises the fork, takes them back.
"""

from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final, NamedTuple, Self

from hyperfs.errors import Corrupt, Exists, KeyMissing, NotResident
from hyperfs.log import check, flat_tree, heads
from hyperfs.log.check import Damage
from hyperfs.log.heads import Head, HeadFile
from hyperfs.log.manifest import Manifest, default_v1, discovery_key, signable
from hyperfs.log.merkle import MerkleTree, Node, leaf_hash
from hyperfs.log.signing import Signer, verify_signature
from hyperfs.log.tree_file import GROUP_SHIFT, TreeFile
from hyperfs.store.files import Disk, DiskFile
from hyperfs.values import BlockRef

BLOCKS_FILE: Final = "blocks"
TREE_FILE: Final = "tree"
HEADS_FILE: Final = "heads"
_TAIL_MAX: Final = 4096  # offsets of that many flushed blocks may stay in memory (8 bytes each)


class Pending(NamedTuple):
    """Room for blocks that prepare() made: `size_bytes` at byte `offset` of the blocks file."""

    first_index: int
    offset: int
    size_bytes: int


class Log:
    """One thread at a time owns a log and changes it. get, get_verified and block_range may run in other threads
    for blocks that were written before, and write, sync_blocks and sync_tree too; all else is the owner's."""

    def __init__(
        self,
        blocks: DiskFile,
        tree: DiskFile,
        head_file: DiskFile,
        manifest: Manifest,
        signer: Signer | None,
        number: int,
    ) -> None:
        """Takes the open files and owns them. For create() and open(); Corrupt if they make no log."""
        self.manifest = manifest
        self.key = manifest.key()
        self.discovery_key = discovery_key(self.key)
        self.number = number
        """The log's number in the roster: only for naming its blocks in errors."""
        self._signer = signer
        self._blocks = blocks
        self._heads = HeadFile(head_file, self._verify_head)
        self._nodes = TreeFile(tree, self._hash_range)
        head = self._heads.head
        self._tree = MerkleTree(self._nodes.roots(head.length, head.byte_length, head.tree_hash))
        # Offsets of the newest blocks, from a multiple of 64 on, and of their end. Replaced as a whole when its
        # start moves, so that a reader in another thread sees start and offsets that belong together.
        self._tail: tuple[int, array[int]] = self._load_tail()
        self._closed = False

    @classmethod
    def create(cls, disk: Disk, folder: str, signer: Signer, number: int = 0) -> Self:
        """A new, empty log, durable when this returns. Exists if the folder holds one."""
        if disk.exists(f"{folder}/{HEADS_FILE}"):
            raise Exists(f"{folder} holds a log already")
        disk.makedirs(folder)
        for name in (BLOCKS_FILE, TREE_FILE):
            file = disk.open(f"{folder}/{name}", create=True)
            file.truncate(0)
            file.close()
        empty = MerkleTree().hash()
        signature = signer.sign(signable(default_v1(signer.public_key).key(), empty, 0, 0))
        # The heads come last and whole: a folder without them is no log yet, whatever else is in it.
        disk.replace(f"{folder}/{HEADS_FILE}", heads.new_file(Head(0, 0, 0, empty, signature)))
        return cls.open(disk, folder, signer.public_key, signer, number)

    @classmethod
    def open(
        cls,
        disk: Disk,
        folder: str,
        manifest: Manifest | bytes,
        signer: Signer | None = None,
        number: int = 0,
        writable: bool = True,
    ) -> Self:
        """`manifest` may be the public key of a log with the default manifest.

        Without a signer the log can be read, and its signed past served; nothing is written then.
        Raises Corrupt where no signed head can be read or the tree does not fit it; OSError for a file that is
        missing; FormatTooNew.
        """
        if isinstance(manifest, bytes):
            manifest = default_v1(manifest)
        if manifest.quorum != 1 or len(manifest.signers) != 1 or manifest.prologue or manifest.allow_patch:
            raise ValueError("only logs with one signer can be opened")
        if signer is not None and signer.public_key != manifest.signers[0].public_key:
            raise ValueError("the signer's key is not the log's")
        files: list[DiskFile] = []
        try:
            for name in (BLOCKS_FILE, TREE_FILE, HEADS_FILE):
                files.append(disk.open(f"{folder}/{name}", writable=writable))
            return cls(files[0], files[1], files[2], manifest, signer, number)
        except BaseException:
            for file in files:
                file.close()
            raise

    def close(self) -> None:
        """What was not flushed is forgotten. Closing twice is harmless."""
        self._closed = True
        self._blocks.close()
        self._nodes.close()
        self._heads.close()

    @property
    def fork(self) -> int:
        return self._heads.head.fork

    @property
    def length(self) -> int:
        """Blocks, those included that no head has signed yet."""
        return self._tree.length

    @property
    def byte_length(self) -> int:
        return self._tree.byte_length

    @property
    def signed_length(self) -> int:
        return self._heads.head.length

    @property
    def damaged_head_slot(self) -> int | None:
        """The head slot (0 or 1) that was unreadable at open; its twin served. None if both were fine."""
        return self._heads.damaged_slot

    @property
    def mended_nodes(self) -> Sequence[Node]:
        """Merkle nodes met so far whose bytes on disk are damaged; the next flush puts them right."""
        return tuple(self._nodes.mended.values())

    def head(self) -> Head:
        """The newest signed head; durable."""
        return self._heads.head

    def roots(self) -> tuple[Node, ...]:
        return tuple(self._tree.roots)

    def node(self, index: int) -> Node:
        """A node of the tree by flat index, verified up to the roots. IndexError for one that is not complete."""
        return self._nodes.find(self._tree.roots, index)[0]

    # Reading

    def block_range(self, index: int) -> tuple[int, int]:
        """(offset, size) of a block in the blocks file."""
        start, tail = self._tail
        if index >= start:
            position = index - start
            if position + 1 >= len(tail):
                raise IndexError(f"block {index} is past the log's end")
            offset = tail[position]
            return offset, tail[position + 1] - offset
        if index < 0:
            raise IndexError(f"block {index}")
        offsets = self._nodes.offsets(self._tree.roots, self._tree.length, index >> GROUP_SHIFT)
        position = index & ((1 << GROUP_SHIFT) - 1)
        offset = offsets[position]
        return offset, offsets[position + 1] - offset

    def get(self, index: int) -> bytes:
        """The block as it lies on the disk: NotResident if it was punched, Corrupt if the file is too short.

        It is not compared with its leaf hash: our blocks are sealed, which tells as much; see get_verified.
        """
        offset, size = self.block_range(index)
        data = self._blocks.pread(size, offset)
        if len(data) == size and (size == 0 or data[0]):
            return data
        if len(data) < size:
            raise self._corrupt(index, f"ends after {len(data)} of {size} bytes")
        # A hole reads as zeros, and a block of another program's log may be all zeros: the tree knows which.
        if data.count(0) == size and leaf_hash(data) != self.node(2 * index).hash:
            raise NotResident([BlockRef(self.number, index)])
        return data

    def get_verified(self, index: int) -> bytes:
        """As get, and Corrupt unless the bytes fit the signed tree. For blocks that go to somebody else."""
        data = self.get(index)
        if leaf_hash(data) != self.node(2 * index).hash:
            raise self._corrupt(index, "its bytes do not fit the signed tree")
        return data

    def verify(self, start: int = 0) -> Iterator[Damage]:
        """Everything damaged from block `start` on, found by reading it all. Punched blocks are no damage."""
        return check.verify_log(self._nodes, self._blocks, self._tree.roots, self._heads.damaged_slot, start)

    # Appending

    def prepare(self, sizes: Sequence[int], leaf_hashes: Sequence[bytes]) -> Pending:
        """Give blocks their place. They must be written (any thread) before they are read, flushed or signed."""
        pending = Pending(self._tree.length, self._tree.byte_length, sum(sizes))
        self._nodes.add(self._tree.extend(sizes, leaf_hashes))
        tail = self._tail[1]
        tail.pop()  # The end of the last block is the start of the next.
        tail.extend(accumulate(sizes, initial=pending.offset))
        return pending

    def write(self, pending: Pending, data: bytes | bytearray | memoryview) -> None:
        """Put the bytes of prepared blocks, joined, in their place. Not durable. Any thread.

        After an OSError the owner must roll back to pending.first_index.
        """
        if len(data) != pending.size_bytes:
            raise ValueError(f"{len(data)} bytes for blocks of {pending.size_bytes}")
        self._blocks.pwrite(data, pending.offset)

    def append(self, blocks: Sequence[bytes], leaf_hashes: Sequence[bytes] | None = None) -> int:
        """Write blocks at the end; the index of the first. Nothing is durable or signed before flush."""
        pending = self.prepare(
            [len(block) for block in blocks],
            [leaf_hash(block) for block in blocks] if leaf_hashes is None else leaf_hashes,
        )
        try:
            self.write(pending, b"".join(blocks))
        except OSError:
            self.rollback(pending.first_index)
            raise
        return pending.first_index

    def adopt(self, first_index: int, sizes: Sequence[int], leaf_hashes: Sequence[bytes]) -> None:
        """At open: take back blocks that lie past the signed length, as the journal names them.

        Corrupt, and nothing taken, unless every one is on the disk whole. ValueError if they don't join the end.
        """
        if first_index != self._tree.length:
            raise ValueError(f"blocks from {first_index} on do not join a log of {self._tree.length}")
        offset = self._tree.byte_length
        for index, (size, digest) in enumerate(zip(sizes, leaf_hashes, strict=True), first_index):
            if leaf_hash(self._blocks.pread(size, offset)) != digest:
                raise self._corrupt(index, "the journal names it, and its bytes are not on the disk")
            offset += size
        self.prepare(sizes, leaf_hashes)

    def rollback(self, length: int) -> None:
        """Forget blocks at and past `length` that no head has signed. ValueError for signed ones."""
        if not self.signed_length <= length <= self.length:
            raise ValueError(
                f"can't roll back to {length}: signed {self.signed_length}, length {self.length}"
            )
        self._cut(length)

    # Making durable

    def write_tree(self) -> None:
        """Step 1: the new Merkle nodes go to the file."""
        self._nodes.write()
        start, tail = self._tail
        keep = self._tree.length >> GROUP_SHIFT << GROUP_SHIFT
        if keep - start > _TAIL_MAX:
            self._tail = keep, tail[keep - start :]

    def sync_blocks(self) -> None:
        """Step 2. Any thread: covers what was written before the call."""
        self._blocks.fdatasync()

    def sync_tree(self) -> None:
        """Step 2."""
        self._nodes.sync()

    def write_head(self) -> Head:
        """Step 3: sign all that is in the log. Blocks and tree must have been synced; durable when it returns."""
        return self._sign(self.fork)

    def flush(self) -> Head:
        """All steps in their order. May run in a worker thread while nobody appends."""
        if self._tree.length == self.signed_length:
            return self.head()
        if self._signer is None:
            raise KeyMissing("this log can only be read: its signing key is not here")
        self.write_tree()
        self.sync_blocks()
        self.sync_tree()
        return self.write_head()

    def truncate(self, length: int) -> Head:
        """Take back all blocks from `length` on, in a new fork; durable when it returns. ValueError if shorter.

        Peers that follow the log drop those blocks too, so a drive's own published logs are never truncated.
        """
        if not 0 <= length <= self.length:
            raise ValueError(f"can't truncate a log of {self.length} blocks to {length}")
        if length > self.signed_length:
            self.rollback(length)
            self.flush()
        self._cut(length)
        head = self._sign(self.fork + 1)
        # The other slot still names the blocks that go now: it must not come back after a power cut.
        self._heads.sync()
        self._blocks.truncate(head.byte_length)
        self._nodes.truncate(length)
        return head

    def settle(self) -> None:
        """Right after open, where the log is to be written: both head slots agree again after a crash."""
        self._heads.settle()

    # Space

    def punch(self, start: int, end: int) -> None:
        """Give back the bytes of blocks [start, end); get raises NotResident for them. Tree and sizes stay.

        Only for signed blocks: whoever holds the last copy decides that, not the log.
        """
        if not 0 <= start <= end <= self.signed_length:
            raise ValueError(f"can't punch blocks {start} to {end} of {self.signed_length}")
        if start < end:
            offset = self.block_range(start)[0]
            last, size = self.block_range(end - 1)
            self._blocks.punch(offset, last + size - offset)

    def size_on_disk(self) -> int:
        """Bytes of disk that the log takes, holes not counted."""
        return self._blocks.allocated() + self._nodes.allocated() + heads.FILE_BYTES

    def _cut(self, length: int) -> None:
        # The roots of a shorter tree are nodes of the longer one, so they can be had verified.
        self._tree = MerkleTree([self.node(index) for index in flat_tree.full_roots(length)])
        self._nodes.forget(length)
        self._tail = self._load_tail()

    def _load_tail(self) -> tuple[int, "array[int]"]:
        start = self._tree.length >> GROUP_SHIFT << GROUP_SHIFT
        if start == self._tree.length:
            return start, array("Q", [self._tree.byte_length])
        return start, array(
            "Q", self._nodes.offsets(self._tree.roots, self._tree.length, start >> GROUP_SHIFT)
        )

    def _sign(self, fork: int) -> Head:
        if self._signer is None:
            raise KeyMissing("this log can only be read: its signing key is not here")
        tree, length = self._tree.hash(), self._tree.length
        signature = self._signer.sign(self._signable(tree, length, fork))
        head = Head(fork, length, self._tree.byte_length, tree, signature)
        self._heads.write(head)
        return head

    def _signable(self, tree: bytes, length: int, fork: int) -> bytes:
        context = self.key if self.manifest.version else self.manifest.signers[0].namespace
        return signable(context, tree, length, fork)

    def _verify_head(self, head: Head) -> bool:
        message = self._signable(head.tree_hash, head.length, head.fork)
        return verify_signature(self.manifest.signers[0].public_key, message, head.signature)

    def _hash_range(self, index: int, offset: int, size: int) -> bytes:
        return leaf_hash(self._blocks.pread(size, offset))

    def _corrupt(self, index: int, detail: str) -> Corrupt:
        return Corrupt(f"block {index} of log {self.number}: {detail}", self._blocks.path)
