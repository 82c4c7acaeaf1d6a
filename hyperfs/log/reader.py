"""Reading a log: blocks by index, verified nodes, proofs, verification. All that is open without a signer."""

from collections.abc import Iterator, Sequence

from hyperfs.crypto.seal import FORMAT
from hyperfs.errors import Corrupt, NotResident
from hyperfs.log import check, flat_tree, heads
from hyperfs.log.check import Damage
from hyperfs.log.evicted import Evicted
from hyperfs.log.heads import Head, HeadFile
from hyperfs.log.manifest import Manifest, discovery_key
from hyperfs.log.merkle import MerkleTree, Node, leaf_hash
from hyperfs.log.offsets import Offsets
from hyperfs.log.proof import Request, TreeProof, prove
from hyperfs.log.tree_file import TreeFile
from hyperfs.log.verify_proof import Verified, verify_proof
from hyperfs.store.files import DiskFile
from hyperfs.values import BlockRef


class LogReader:
    """The open files of a log and its state in memory; Log adds what changes them.

    block_range, get and get_verified may run in any thread, for blocks that were written before the call.
    """

    may_lack_nodes = False
    """Whether nodes of the tree may be absent, which is then no damage."""

    def __init__(
        self, blocks: DiskFile, tree: DiskFile, head_file: DiskFile | None, manifest: Manifest, number: int
    ) -> None:
        """Takes the open files and owns them. Corrupt if they make no log. Without a head: of a log of another's of
        which nothing has come."""
        self.manifest = manifest
        self.key = manifest.key()
        self.discovery_key = discovery_key(self.key)
        self.number = number
        """The log's number in the roster: only for naming its blocks in errors."""
        self.evicted: Evicted | None = None
        """What is not here though it was not cleared; None where nothing ever leaves. Set once, after opening."""
        self._blocks = blocks
        self._heads = HeadFile(head_file, manifest) if head_file is not None else heads.NoHead()
        self._nodes = TreeFile(tree, self._hash_range)
        head = self._heads.head
        # Replaced as a whole, never changed in place: a reader in another thread takes one reference.
        self._tree = MerkleTree(self._nodes.roots(head.length, head.byte_length, head.tree_hash))
        self._offsets = Offsets(self._nodes, self._tree)

    def close(self) -> None:
        """What was not flushed is forgotten. Closing twice is harmless."""
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
        """Bytes of all blocks, punched ones included."""
        return self._tree.byte_length

    @property
    def signed_length(self) -> int:
        return self._heads.head.length

    @property
    def has_head(self) -> bool:
        """False of another's log of which nothing has come."""
        return not isinstance(self._heads, heads.NoHead)

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
        """Of the tree as long as the log is, signed or not."""
        return tuple(self._tree.roots)

    def node(self, index: int) -> Node:
        """A node of the tree by flat index, verified up to the roots. IndexError for an incomplete one."""
        while True:
            tree = self._tree
            try:
                return self._nodes.find(tree.roots, index)[0]
            except Corrupt:
                # A rollback may have taken away the nodes that we were looking for: then look from the roots of now.
                if self._tree is tree:
                    raise

    def prefix_hash(self, length: int) -> bytes:
        """The tree hash that the log had at an earlier length, which its owner signed if it ended there."""
        return MerkleTree([self.node(index) for index in flat_tree.full_roots(length)]).hash()

    def block_range(self, index: int) -> tuple[int, int]:
        """(offset, size) of a block in the blocks file. IndexError past the length."""
        return self._offsets.range(index)

    def byte_range(self, start: int, end: int) -> tuple[int, int]:
        """(first byte, end) of blocks [start, end), at least one, in the blocks file."""
        offset, size = self.block_range(end - 1)
        return self.block_range(start)[0], offset + size

    def size_about(self, index: int) -> int:
        """Bytes of a block; in a log that comes in parts perhaps a guess, so that what is not here can be summed up."""
        return self.block_range(index)[1]

    def bytes_about(self, start: int, end: int) -> tuple[int, int]:
        """As byte_range; in a log that comes in parts perhaps a guess."""
        return self.byte_range(start, end)

    def missing(self, node: int) -> int:
        """The `nodes` to ask a peer with, for a block (its flat index is 2 x block): see proof.missing_nodes."""
        return 0

    def take(self, proof: TreeProof) -> bytes:
        """The bytes of a block that a peer has sent, with its proof. Raises Corrupt where it does not hold."""
        verified = self.check_proof(proof)
        if verified.block is None or proof.upgrade is not None or proof.seek is not None:
            raise Corrupt("a block was asked for, and something else came", self._blocks.path)
        self._keep_nodes(verified.nodes)
        return verified.block[1]

    def _keep_nodes(self, nodes: Sequence[Node]) -> None:
        """All of them are here."""

    def get(self, index: int) -> bytes:
        """The block as it lies on the disk: NotResident if it was punched, Corrupt if the file is too short.

        It is not compared with its leaf hash: our blocks are sealed, which tells as much; see get_verified. But one
        that says that it is of another format is: its reader would take a damaged byte for a later hyperfs.
        """
        offset, size = self.block_range(index)
        evicted = self.evicted
        # Asked before the read, since it may be on its way back, and behind it, since it may be leaving.
        marked = evicted is not None and evicted.has(index)
        data = self._blocks.pread(size, offset)
        if evicted is not None and (marked or evicted.has(index)):
            return self._get_evicted(evicted, index, data)
        if len(data) == size and (size == 0 or data[0] == FORMAT):
            return data
        if len(data) < size:
            raise self._corrupt(index, f"the file ends after {len(data)} of its {size} bytes")
        # A hole reads as zeros, and a block of another program's log may be all zeros: the tree knows which.
        if leaf_hash(data) != self.node(2 * index).hash:
            if data.count(0) == size:
                raise NotResident([BlockRef(self.number, index)])
            raise self._corrupt(index, "its bytes do not fit the signed tree")
        return data

    def _get_evicted(self, evicted: Evicted, index: int, data: bytes) -> bytes:
        lent = evicted.lent.get(index)
        if lent is not None:
            return lent
        if self.fits(index, data):
            return data
        raise NotResident([BlockRef(self.number, index)])

    def get_verified(self, index: int) -> bytes:
        """As get, and Corrupt unless the bytes fit the signed tree. For blocks that go to somebody else."""
        data = self.get(index)
        if leaf_hash(data) != self.node(2 * index).hash:
            raise self._corrupt(index, "its bytes do not fit the signed tree")
        return data

    def fits(self, index: int, data: bytes) -> bool:
        """Whether these are the bytes of a block, by the signed tree: for what comes from elsewhere. Any thread."""
        return leaf_hash(data) == self.node(2 * index).hash

    def proof(self, request: Request) -> TreeProof:
        """Answer a peer out of the newest signed head; NotResident, Corrupt as get, BadRequest as prove."""
        head = self.head()
        return prove(self.node, self.get_verified, head.length, head.fork, head.signature, request)

    def check_proof(self, proof: TreeProof) -> Verified:
        """What a peer's proof proves on top of what is here. Corrupt if it does not hold; keeps nothing."""
        return verify_proof(proof, self.roots(), self.fork, self._known, self.check_signature)

    def _known(self, index: int) -> Node:
        try:
            return self.node(index)
        except IndexError:
            raise Corrupt(f"a proof leads to node {index}, which is not known here") from None

    def check_signature(self, tree_hash: bytes, length: int, fork: int, signature: bytes) -> bool:
        """Whether the log's owner signed this: for verify_proof."""
        return heads.check_signature(self.manifest, tree_hash, length, fork, signature)

    def verify(self, start: int = 0, end: int | None = None) -> Iterator[Damage]:
        """Everything damaged in blocks [start, end), found by reading it all. Punched blocks are no damage.

        Looks at signed blocks only, since others may be on their way to the disk: any thread may call it.
        """
        return check.verify_log(
            self._nodes, self._blocks, self._signed_roots(), self._heads.damaged_slot, start, end, self.may_lack_nodes
        )

    def _signed_roots(self) -> Sequence[Node]:
        tree, head = self._tree, self.head()
        if head.length >= tree.length:
            return tree.roots
        return [self.node(index) for index in flat_tree.full_roots(head.length)]

    def has_left(self, index: int) -> bool:
        """Whether a block is marked as being elsewhere, or about to go."""
        return self.evicted is not None and self.evicted.has(index)

    def holds(self, index: int) -> bool:
        """Whether the bytes of a block are on the disk, all of them; whatever is said of it."""
        offset, size = self.block_range(index)
        return self.fits(index, self._blocks.pread(size, offset))

    def is_gone(self, index: int) -> bool:
        """Whether nothing of a block is on the disk. Reads nothing where the filesystem knows its holes."""
        offset, size = self.block_range(index)
        return self._blocks.is_hole(offset, size)

    def not_gone(self, start: int, end: int) -> Iterator[int]:
        """The blocks in [start, end) of which something may be on the disk. Quick where most is not."""
        stack = [(start, end)]
        while stack:
            low, high = stack.pop()
            if high - low == 1:
                if not self.is_gone(low):
                    yield low
                continue
            first, last = self.bytes_about(low, high)
            if first < last and self._blocks.is_all_hole(first, last - first):
                continue
            middle = (low + high) // 2
            stack += [(middle, high), (low, middle)]

    def size_on_disk(self) -> int:
        """Bytes of disk that the log takes, holes not counted."""
        return self._blocks.allocated() + self._nodes.allocated() + heads.FILE_BYTES

    def _hash_range(self, offset: int, size: int) -> bytes:
        return leaf_hash(self._blocks.pread(size, offset))

    def _corrupt(self, index: int, detail: str) -> Corrupt:
        return Corrupt(f"block {index} of log {self.number}: {detail}", self._blocks.path)
