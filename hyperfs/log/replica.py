"""A log that another signs, held here as far as it has come: verified blocks in any order, with gaps between them.

The files are a log's (`blocks`, `tree`, `heads`; a block lies where it would lie in the whole log) and `have`, which
says which blocks are here. No key: every block and node that is kept was proved by the signed tree. The order:

    1. blocks are written where they belong                            (keep)
    2. nodes are written; both are synced                              (sync)
    3. the head, when the tree has grown, is written and synced        (sync)
    4. the blocks' bits in `have` are written and synced               (sync)

and before 4 nothing is had: neither told to anybody nor attested. Opening makes durable what it reads, and reads
from the disk and not from the kernel's cache: after a failed sync that one may hold what the disk does not.
"""

from collections.abc import Iterator
from typing import Final

from hyperfs.errors import BadRequest, Corrupt, NotResident, TreeAbsent
from hyperfs.log import flat_tree, heads
from hyperfs.log.byte_runs import ByteRuns
from hyperfs.log.cleared import Range
from hyperfs.log.have import SECTOR_BLOCKS, Have
from hyperfs.log.heads import Head, HeadFile
from hyperfs.log.log import BLOCKS_FILE, HEADS_FILE, TREE_FILE
from hyperfs.log.manifest import default_v1, discovery_key
from hyperfs.log.merkle import MerkleTree, Node, leaf_hash
from hyperfs.log.proof import Request, TreeProof, missing_nodes, prove
from hyperfs.log.tree_file import TreeFile
from hyperfs.log.verify_proof import Verified, verify_proof
from hyperfs.store.files import Disk, DiskFile
from hyperfs.values import BlockRef

HAVE_FILE: Final = "have"
FILES: Final = (BLOCKS_FILE, TREE_FILE, HAVE_FILE)


class Replica:
    """One fork of a log. One thread at a time owns it and changes it; see Taking in held.py.

    After an OSError of keep, sync, clear or forget it is spent: close it and open it again.
    """

    def __init__(self, disk: Disk, folder: str, public_key: bytes, fork: int, number: int = 0) -> None:
        """Opens what the folder holds, or stands for a log of which nothing has come: then nothing is made yet.

        `number` is the log's in the roster, for naming its blocks in errors. Corrupt where no signed head can be
        read or the tree does not fit it; OSError.
        """
        self.manifest = default_v1(public_key)
        self.key = self.manifest.key()
        self.discovery_key = discovery_key(self.key)
        self.fork = fork
        self.number = number
        self._disk, self._folder = disk, folder
        self._open: list[DiskFile] = []
        self._heads: HeadFile | None = None
        self._have = Have()
        self._tree = MerkleTree()
        self._signature: bytes | None = None  # of _tree, while its head is not written
        self._kept: set[int] = set()  # blocks that were kept and not yet synced
        self._is_changed = False
        if disk.exists(f"{folder}/{HEADS_FILE}"):
            try:
                self._read()
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """What was not synced is forgotten. Closing twice is harmless."""
        for file in self._open:
            file.close()
        if self._heads is not None:
            self._heads.close()

    # What is here

    @property
    def length(self) -> int:
        """Blocks of the tree as it was kept, synced or not."""
        return self._tree.length

    def head(self) -> Head | None:
        return self._heads.head if self._heads is not None else None

    def has(self, block: int) -> bool:
        head = self.head()
        return head is not None and block < head.length and self._have.has(block)

    def ranges(self, start: int = 0, end: int | None = None) -> Iterator[Range]:
        head = self.head()
        length = head.length if head is not None else 0
        return self._have.ranges(start, length if end is None else min(end, length))

    def node(self, index: int) -> Node:
        """A node of the tree, verified up to the roots. NotResident where it has not come, Corrupt where damaged."""
        return self._find(index)[0]

    def missing(self, node: int) -> int:
        return missing_nodes(self._has_node, node, self.length)

    def get_verified(self, block: int) -> bytes:
        """The block's bytes, which fit the signed tree. NotResident unless `has`; Corrupt where they do not fit."""
        if not self.has(block):
            raise NotResident([BlockRef(self.number, block)])
        node, offset = self._find(2 * block)
        data = self._file(BLOCKS_FILE).pread(node.size, offset)
        if len(data) != node.size or leaf_hash(data) != node.hash:
            where = self._file(BLOCKS_FILE).path
            raise Corrupt(f"block {block} of log {self.number}: its bytes do not fit the signed tree", where)
        return data

    def proof(self, request: Request) -> TreeProof:
        head = self.head()
        if head is None:
            raise BadRequest("a proof is asked for of a log of which nothing is here")
        return prove(self.node, self.get_verified, head.length, head.fork, head.signature, request)

    def prefix_hash(self, length: int) -> bytes:
        """The tree hash that this log had at an earlier length. NotResident where a node for it has not come."""
        return MerkleTree([self.node(index) for index in flat_tree.full_roots(length)]).hash()

    def size_on_disk(self) -> int:
        """Bytes of disk that the log takes, holes not counted."""
        return sum(file.allocated() for file in self._open) + (heads.FILE_BYTES if self._heads is not None else 0)

    def damaged(self, start: int, end: int) -> list[int]:
        """Blocks in [start, end) that should be here and are not as signed: found by reading them."""
        found = []
        for low, high in list(self.ranges(start, end)):
            for block in range(low, high):
                try:
                    self.get_verified(block)
                except (Corrupt, NotResident):
                    found.append(block)
        return found

    # What comes

    def check_proof(self, proof: TreeProof) -> Verified:
        """What the proof proves on top of what is here; keeps nothing. Corrupt if it does not hold."""
        if proof.hash is not None or proof.seek is not None:
            # Of a node that is proved without its bytes only the sum of sizes is: kept, it might bar the true one.
            raise BadRequest("only blocks and upgrades are kept")
        if proof.fork != self.fork:
            raise Corrupt(f"a proof is of fork {proof.fork}, the log is at {self.fork}")
        return verify_proof(proof, self._tree.roots, self.fork, self._known, self.check_signature)

    def check_signature(self, tree_hash: bytes, length: int, fork: int, signature: bytes) -> bool:
        """Whether the log's owner signed this."""
        return heads.check_signature(self.manifest, tree_hash, length, fork, signature)

    def keep(self, verified: Verified) -> None:
        """Put down what check_proof has given, which must have been the last that this log was asked."""
        if not self._open:
            self._make_files()
        self._is_changed = True
        if verified.signature is not None:
            self._signature = verified.signature
        self._nodes.add(verified.nodes)
        self._tree = verified.tree
        if verified.block is not None:
            self._put(*verified.block)

    def sync(self) -> Head | None:
        if self._is_changed:
            self._nodes.write()
            self._file(BLOCKS_FILE).fdatasync()
            self._nodes.sync()
            if self._signature is not None:
                self._write_head(self._signature)
                self._signature = None
            self._have.add(self._kept)
            self._kept = set()
            self._sync_have()
            self._is_changed = False
        return self.head()

    # What goes

    def clear(self, start: int, end: int) -> None:
        """Give back the bytes of blocks [start, end); durable when it returns. Tree and sizes stay.

        The bits go first. Killed before the bytes have gone, they lie there and are not had: the caller keeps a
        record until this has returned, and clears again.
        """
        head = self.head()
        end = min(end, head.length if head is not None else 0)
        if start >= end:
            return
        self.forget(start, end)
        for low, high in ByteRuns(self._place, self._is_wanted).of(start, end):
            self._file(BLOCKS_FILE).punch(low, high - low)
        self._file(BLOCKS_FILE).fdatasync()

    def forget(self, start: int, end: int) -> None:
        """Blocks [start, end) are not had any more, whatever lies there: for damaged ones. Durable.

        Those too that were kept and not synced: what was put down for them may be about to go.
        """
        self._kept = {block for block in self._kept if not start <= block < end}
        self._have.remove(start, end)
        self._sync_have()

    def _read(self) -> None:
        files = [self._disk.open(f"{self._folder}/{name}") for name in FILES]
        self._open = files
        head_file = self._disk.open(f"{self._folder}/{HEADS_FILE}")
        try:
            for file in (*files, head_file):
                file.refresh()
            self._heads = HeadFile(head_file, self.manifest)
        except BaseException:
            head_file.close()
            raise
        head = self._heads.head
        if head.fork != self.fork:
            raise Corrupt(f"a log of fork {head.fork} lies where fork {self.fork} should", head_file.path)
        self._heads.settle()
        self._nodes = TreeFile(files[1], self._hash_range)
        self._tree = MerkleTree(self._nodes.roots(head.length, head.byte_length, head.tree_hash))
        self._have = Have.read(files[2])
        for sector in self._have.doubtful:
            self._have.add(self._found_in(sector, head.length))
        self._sync_have()

    def _found_in(self, sector: int, length: int) -> list[int]:
        """Which blocks of a sector of `have` lie here, by reading them."""
        first = sector * SECTOR_BLOCKS
        found = []
        for block in range(first, min(first + SECTOR_BLOCKS, length)):
            try:
                node, offset = self._find(2 * block)
            except (Corrupt, NotResident):
                continue
            data = self._file(BLOCKS_FILE).pread(node.size, offset)
            if len(data) == node.size and leaf_hash(data) == node.hash:
                found.append(block)
        return found

    def _make_files(self) -> None:
        """The heads come with the first sync: a folder without them is no log yet, whatever else is in it."""
        self._disk.makedirs(self._folder)
        for name in FILES:
            file = self._disk.open(f"{self._folder}/{name}", create=True)
            self._open.append(file)
            file.truncate(0)
        self._nodes = TreeFile(self._open[1], self._hash_range)

    def _write_head(self, signature: bytes) -> None:
        tree = self._tree
        head = Head(self.fork, tree.length, tree.byte_length, tree.hash(), signature)
        if self._heads is not None:
            self._heads.write(head)
            return
        self._disk.sync_folder(self._folder)
        self._disk.replace(f"{self._folder}/{HEADS_FILE}", heads.new_file(head))
        self._heads = HeadFile(self._disk.open(f"{self._folder}/{HEADS_FILE}"), self.manifest)

    def _put(self, block: int, data: bytes) -> None:
        """One that is had is only written where its bytes are damaged. Any other is, even where the same bytes seem
        to lie there: they may be only in the kernel's cache, left by a sync that failed."""
        offset = self._find(2 * block)[1]
        file = self._file(BLOCKS_FILE)
        if self._have.has(block) and file.pread(len(data), offset) == data:
            return
        if data:
            file.pwrite(data, offset)
        self._kept.add(block)

    def _sync_have(self) -> None:
        if self._have.write(self._file(HAVE_FILE)):
            self._file(HAVE_FILE).fdatasync()

    def _is_wanted(self, block: int) -> bool:
        return self._have.has(block) or block in self._kept

    def _place(self, block: int) -> tuple[int, int]:
        node, offset = self._find(2 * block)
        return offset, node.size

    def _find(self, index: int) -> tuple[Node, int]:
        try:
            return self._nodes.find(self._tree.roots, index)
        except (TreeAbsent, IndexError):
            raise NotResident([BlockRef(self.number, flat_tree.left_span(index) >> 1)]) from None

    def _known(self, index: int) -> Node:
        """For verify_proof: a proof that leads to what is not here proves nothing."""
        try:
            return self.node(index)
        except NotResident:
            raise Corrupt(f"a proof leads to node {index}, which is not known here") from None

    def _has_node(self, index: int) -> bool:
        try:
            self.node(index)
        except (Corrupt, NotResident):
            return False
        return True

    def _file(self, name: str) -> DiskFile:
        return self._open[FILES.index(name)]

    def _hash_range(self, offset: int, size: int) -> bytes:
        return leaf_hash(self._file(BLOCKS_FILE).pread(size, offset))
