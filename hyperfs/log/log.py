"""A log: blocks back to back in `blocks`, their Merkle nodes in `tree`, signed heads in `heads`.

The order that makes a crash harmless, kept by flush() and to be kept by whoever takes its steps singly:

    1. blocks and tree nodes are written                         (write, write_tree)
    2. both are synced                                           (sync_blocks, sync_tree)
    3. the head that covers them is signed, written and synced   (write_head)

and nothing is told to a peer before 3 has returned. What lies past the signed length when a log is opened is
no part of it: it may be torn, and is overwritten, unless adopt() takes it back in because a journal names it.

Blocks that a head on the disk may cover never change in place; only truncate, which raises the fork, takes them back.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Final, NamedTuple, Self

from hyperfs.errors import Exists, KeyMissing
from hyperfs.log import flat_tree, heads
from hyperfs.log.heads import Head, Signer, sign_head
from hyperfs.log.manifest import Manifest, default_v1
from hyperfs.log.merkle import MerkleTree, leaf_hash
from hyperfs.log.reader import LogReader
from hyperfs.store.files import Disk, DiskFile

BLOCKS_FILE: Final = "blocks"
TREE_FILE: Final = "tree"
HEADS_FILE: Final = "heads"

PAGE_BYTES: Final = 4096
"""The unit in which a filesystem gives space back, nearly everywhere."""


class Pending(NamedTuple):
    """Room for blocks that prepare() made: `size_bytes` at byte `offset` of the blocks file."""

    first_index: int
    offset: int
    size_bytes: int


class Log(LogReader):
    """A log that can be written. One thread at a time owns it and changes it.

    Other threads may read what was written before (see LogReader), and call write, sync_blocks and sync_tree.
    """

    _signer: Signer | None = None  # set once, by open
    _take_back_first: bool = False  # the owner's: a head whose write failed may cover what is appended next
    _is_writable = True  # set once, by open
    _in_file = 0  # blocks whose nodes are in the file for sure; set by whoever flushes

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
        first = sign_head(default_v1(signer.public_key), signer, MerkleTree(), 0)
        # The heads come last and whole: a folder without them is no log yet, whatever else is in it.
        disk.replace(f"{folder}/{HEADS_FILE}", heads.new_file(first))
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

        Without a signer the log can only be read. Opening writes nothing. Raises Corrupt where no signed head
        can be read or the tree does not fit it; FormatTooNew; OSError for a file that is missing.
        """
        if isinstance(manifest, bytes):
            manifest = default_v1(manifest)
        plain = manifest.quorum == 1 and len(manifest.signers) == 1
        if not plain or manifest.prologue or manifest.allow_patch:
            raise ValueError("only logs with one signer can be opened")
        if signer is not None and signer.public_key != manifest.signers[0].public_key:
            raise ValueError("the signer's key is not the log's")
        files: list[DiskFile] = []
        has_head = not cls.may_lack_nodes or disk.exists(f"{folder}/{HEADS_FILE}")
        try:
            for name in (BLOCKS_FILE, TREE_FILE, *([HEADS_FILE] if has_head else [])):
                files.append(disk.open(f"{folder}/{name}", writable=writable))
            log = cls(files[0], files[1], files[2] if has_head else None, manifest, number)
        except BaseException:
            for file in files:
                file.close()
            raise
        log._signer = signer
        log._is_writable = writable
        return log

    # Appending

    def prepare(self, sizes: Sequence[int], leaf_hashes: Sequence[bytes]) -> Pending:
        """Give blocks their place. They must be written (any thread) before they are read or signed.

        After a failed write_head and a rollback that head may be on the disk, so it is taken back first, or else
        OSError is raised: blocks written over those that it covers would make the log unreadable.
        """
        if self._take_back_first:
            self._heads.take_back()
            self._take_back_first = False
        self._offsets.trim(self._in_file)
        pending = Pending(self._tree.length, self._tree.byte_length, sum(sizes))
        tree = MerkleTree(self._tree.roots)
        self._nodes.add(tree.extend(sizes, leaf_hashes))
        # Only now may readers come down from the new roots: the nodes below them are there.
        self._tree = tree
        ends = accumulate(sizes, initial=pending.offset)
        next(ends)  # the start of the first block is known already, as the end of the one before
        self._offsets.grow(tree, ends)
        return pending

    def write(self, pending: Pending, data: bytes | bytearray | memoryview) -> None:
        """Put the bytes of prepared blocks, joined, in their place. Not durable. Any thread.

        After an OSError the owner must roll back to pending.first_index.
        """
        if len(data) != pending.size_bytes:
            raise ValueError(f"{len(data)} bytes for blocks of {pending.size_bytes}")
        if data:
            self._blocks.pwrite(data, pending.offset)

    def append(self, blocks: Sequence[bytes], leaf_hashes: Sequence[bytes] | None = None) -> int:
        """Write blocks at the end; the index of the first. Nothing is durable or signed before flush."""
        if leaf_hashes is None:
            leaf_hashes = [leaf_hash(block) for block in blocks]
        pending = self.prepare([len(block) for block in blocks], leaf_hashes)
        try:
            self.write(pending, b"".join(blocks))
        except OSError:
            self.rollback(pending.first_index)
            raise
        return pending.first_index

    def adopt(self, first_index: int, sizes: Sequence[int], leaf_hashes: Sequence[bytes]) -> None:
        """At open: take back blocks that lie past the signed length, as the journal names them.

        Corrupt, and nothing taken, unless all are on the disk whole. ValueError if they don't join the end.
        """
        if first_index != self._tree.length:
            raise ValueError(f"blocks from {first_index} on do not join a log of {self._tree.length}")
        offset = self._tree.byte_length
        for index, (size, digest) in enumerate(zip(sizes, leaf_hashes, strict=True), first_index):
            data = self._blocks.pread(size, offset)
            if len(data) != size or leaf_hash(data) != digest:
                raise self._corrupt(index, "the journal names it, and its bytes are not on the disk")
            offset += size
        self.prepare(sizes, leaf_hashes)

    def rollback(self, length: int) -> None:
        """Forget blocks at and past `length` that no head has signed. ValueError for signed ones."""
        if not self.signed_length <= length <= self.length:
            raise ValueError(f"can't go back to {length}: {self.signed_length} of {self.length} are signed")
        self._take_back_first = self._take_back_first or self._heads.in_doubt
        self._cut(length)

    # Making durable

    def write_tree(self) -> MerkleTree:
        """Step 1: the new Merkle nodes go to the file. Gives the tree as it is now, for write_head.

        All prepared blocks must have been written. From here to write_head more blocks may be appended, which
        that head then does not cover; but nothing may be rolled back or truncated.
        """
        tree = self._tree
        self._nodes.write()
        self._in_file = tree.length
        return tree

    def sync_blocks(self) -> None:
        """Step 2. Any thread: covers what was written before the call. SyncFailed is final for the log."""
        self._blocks.fdatasync()

    def sync_tree(self) -> None:
        """Step 2. As sync_blocks."""
        self._nodes.sync()

    def write_head(self, tree: MerkleTree) -> Head:
        """Step 3: sign what write_tree gave. Blocks and tree must be synced; durable when it returns."""
        head = sign_head(self.manifest, self._need_signer(), tree, self.fork)
        self._heads.write(head)
        return head

    def flush(self) -> Head:
        """All steps in their order; nothing to do if all is signed. May run in a worker thread, as write_tree."""
        if self._tree.length == self.signed_length:
            return self.head()
        self._need_signer()
        tree = self.write_tree()
        self.sync_blocks()
        self.sync_tree()
        return self.write_head(tree)

    def truncate(self, length: int) -> Head:
        """Take back all blocks from `length` on, in a new fork; durable when it returns.

        Peers that follow the log drop those blocks too: a drive's own published logs are never truncated.
        """
        if not 0 <= length <= self.length:
            raise ValueError(f"can't truncate a log of {self.length} blocks to {length}")
        signer = self._need_signer()
        if length > self.signed_length:
            self.rollback(length)
            self.flush()
        self._cut(length)
        head = sign_head(self.manifest, signer, self._tree, self.fork + 1)
        self._heads.write(head)
        # The other slot's head named the blocks that go now: should this slot be damaged, it must not come back.
        self._heads.sync()
        self._blocks.truncate(head.byte_length)
        self._nodes.truncate(length)
        return head

    def settle(self) -> None:
        """After a crash or damage left the two head slots different: make both the newest. Else does nothing.

        For the owner to call once after open, so that one flipped byte in a head is harmless again.
        """
        self._heads.settle()

    def punch(self, start: int, end: int, within: tuple[int, int] | None = None) -> None:
        """Give back the bytes of blocks [start, end); get raises NotResident for them. Tree and sizes stay.

        `within`: a run of blocks around them that may all go. A page of the disk is free only when one punch covers
        it all, so the pages that the range shares with other blocks of that run are punched whole.

        Only signed blocks. Whether another copy exists is the caller's question. A crash in the middle may leave
        a block half zeros, which is no block and no hole: the caller keeps a record until this has returned, and
        punches again.
        """
        low, high = within or (start, end)
        if not 0 <= low <= start <= end <= high <= self.signed_length:
            raise ValueError(f"can't punch blocks {start} to {end} of {self.signed_length}")
        if start == end:
            return
        first, last = self.byte_range(start, end)
        least, most = self.bytes_about(low, high)  # what is here has its place for sure, before that run and behind it
        first = max(least, first // PAGE_BYTES * PAGE_BYTES)
        last = min(most, -(-last // PAGE_BYTES) * PAGE_BYTES)
        self._blocks.punch(first, last - first)

    def put_back(self, index: int, data: bytes) -> None:
        """Writes the bytes of a block that was punched into its hole; `fits` has told that they are its own. Any
        thread. Until `sync_blocks` has returned a power cut may leave any part of it: the block stays marked."""
        offset, size = self.block_range(index)
        if len(data) != size or index >= self.signed_length:
            raise ValueError(f"{len(data)} bytes are not block {index}")
        self._blocks.pwrite(data, offset)

    def sync_punched(self) -> None:
        """Returns when all that was punched is on the disk: after a power cut no block of it is back, whole or half."""
        self._blocks.fdatasync()

    def _cut(self, length: int) -> None:
        # The roots of a shorter tree are nodes of the longer one, so they can be had verified.
        self._tree = MerkleTree([self.node(index) for index in flat_tree.full_roots(length)])
        self._offsets.cut(self._tree)  # before nodes go that a reader in another thread may be looking for
        self._nodes.forget(length)
        self._in_file = min(self._in_file, length)

    def _need_signer(self) -> Signer:
        if self._signer is None:
            raise KeyMissing("this log can only be read: its signing key is not here")
        return self._signer
