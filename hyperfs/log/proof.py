"""Proofs, as Hypercore exchanges them: what is asked, what is answered, and how the answer is made.

A block, a node (hash) or the place of a byte (seek) is proved by the siblings on its way up to a node that
the asker holds; an upgrade by the nodes that grow the asker's tree to a newer one, with the newer head's
signature. Where a block and an upgrade are asked for together, the block's way up takes the place of one of
the upgrade's nodes. Pure: `get_node` reads the prover's tree. The other side is verify_proof.py.
"""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from hyperfs.errors import BadRequest
from hyperfs.log import flat_tree
from hyperfs.log.merkle import GetNode, Node

MAX_LENGTH: Final = 1 << 52
"""Blocks in a log. Hypercore counts in doubles, flat indexes are twice as many."""


class BlockRequest(NamedTuple):
    """`nodes`: how many levels above the block the asker knows the next node (see missing_nodes)."""

    block: int
    nodes: int = 0


class HashRequest(NamedTuple):
    """A node of the tree by flat index."""

    node: int
    nodes: int = 0


class SeekRequest(NamedTuple):
    """Where byte `bytes` of the log lies; `padding` bytes at the head of each block are not counted."""

    bytes: int
    padding: int = 0


class UpgradeRequest(NamedTuple):
    """From a tree of `start` blocks to at least `start + length`."""

    start: int
    length: int


class Request(NamedTuple):
    """What one message asks for; block and hash exclude each other."""

    block: BlockRequest | None = None
    hash: HashRequest | None = None
    seek: SeekRequest | None = None
    upgrade: UpgradeRequest | None = None


class BlockProof(NamedTuple):
    block: int
    value: bytes
    nodes: tuple[Node, ...]


class HashProof(NamedTuple):
    """The first of `nodes` is the node asked for."""

    node: int
    nodes: tuple[Node, ...]


class SeekProof(NamedTuple):
    """The first of `nodes` is the one below (or at the right edge of) which the byte lies."""

    bytes: int
    nodes: tuple[Node, ...]
    padding: int = 0


class UpgradeProof(NamedTuple):
    """`additional` nodes lead on from start + length to the length that is signed."""

    start: int
    length: int
    nodes: tuple[Node, ...]
    additional: tuple[Node, ...]
    signature: bytes


class TreeProof(NamedTuple):
    fork: int
    block: BlockProof | None = None
    hash: HashProof | None = None
    seek: SeekProof | None = None
    upgrade: UpgradeProof | None = None


class _Parts:
    """The nodes of an answer while they are put together; None: that part is not (yet) there."""

    def __init__(self) -> None:
        self.node: list[Node] | None = None
        self.seek: list[Node] | None = None


def prove(
    get_node: GetNode,
    get_block: Callable[[int], bytes],
    length: int,
    fork: int,
    signature: bytes,
    request: Request,
) -> TreeProof:
    """Answer a request out of a signed tree of `length` blocks. BadRequest where it makes no sense for it."""
    block, hash_, seek, upgrade = request
    if length == 0:
        return TreeProof(fork)
    known, end = (upgrade.start, upgrade.start + upgrade.length) if upgrade else (0, length)
    target = _target(request)
    _check(request, target, known, end, length)
    parts = _Parts()
    subtree = 2 * length
    if target is not None and (upgrade is None or flat_tree.right_span(target) < 2 * known):
        subtree = _climb(target, block.nodes if block else hash_.nodes if hash_ else 0, end)
        place = _seek_below(get_node, length, subtree, seek) if seek else 2 * length
        _prove_below(get_node, parts, request, target, place, subtree)
    elif upgrade and (target is not None or seek):
        subtree = _seek_from_start(get_node, end, seek) if seek else target if target is not None else subtree
    nodes: list[Node] = []
    additional: list[Node] = []
    if upgrade:
        for index in upgrade_indexes(known, end):
            if parts.node is None and parts.seek is None and flat_tree.contains(index, subtree):
                _prove_below(get_node, parts, request, target, subtree, index)
            else:
                nodes.append(get_node(index))
        additional = [get_node(index) for index in upgrade_indexes(end, length)]
    way = tuple(parts.node or ())
    return TreeProof(
        fork,
        BlockProof(block.block, get_block(block.block), way) if block else None,
        HashProof(hash_.node, way) if hash_ else None,
        SeekProof(seek.bytes, tuple(parts.seek), seek.padding) if seek and parts.seek is not None else None,
        UpgradeProof(known, end - known, tuple(nodes), tuple(additional), signature) if upgrade else None,
    )


def upgrade_indexes(start: int, end: int) -> Iterator[int]:
    """Flat indexes, left to right, of the fewest nodes that grow a tree of `start` blocks to `end`."""
    while start < end:
        # The largest complete subtree that begins here and ends in time.
        size = (start & -start) or (1 << (end.bit_length() - 1))
        while start + size > end:
            size >>= 1
        yield 2 * start + size - 1
        start += size


def missing_nodes(has_node: Callable[[int], bool], index: int, length: int) -> int:
    """The `nodes` to ask with: how many levels above flat `index` the first node stands that the asker has.

    `length` is the asker's; 0 for what lies past it, where only an upgrade leads.
    """
    if flat_tree.right_span(index) >= 2 * length:
        return 0
    count = 0
    while flat_tree.right_span(index) < 2 * length and not has_node(index):
        count += 1
        index = flat_tree.parent(index)
    return count


def byte_offset(get_node: GetNode, length: int, index: int) -> int:
    """Bytes of all blocks before those below node `index`, in a tree of `length` blocks."""
    offset = 0
    for root in flat_tree.full_roots(length):
        if not flat_tree.contains(root, index):
            offset += get_node(root).size
            continue
        at = root
        while at != index:
            left, right = flat_tree.children(at)
            if index < at:
                at = left
            else:
                offset += get_node(left).size
                at = right
        return offset
    raise BadRequest(f"node {index} is not in a tree of {length} blocks")


def _target(request: Request) -> int | None:
    if request.block:
        return 2 * request.block.block
    return request.hash.node if request.hash else None


def _check(request: Request, target: int | None, known: int, end: int, length: int) -> None:
    if request.block and request.hash:
        raise BadRequest("a proof is asked for of a block and of a node at once")
    if not 0 <= known < end <= length:
        raise BadRequest(f"an upgrade from {known} to {end} of a log of {length} blocks")
    if target is not None and not (target >= 0 and flat_tree.right_span(target) < 2 * end):
        raise BadRequest(f"node {target} is not in a tree of {end} blocks")
    if target is not None and request.upgrade and _straddles(target, known):
        raise BadRequest(f"node {target} is in part below the asker's tree and in part past it")
    if request.seek and request.upgrade and target is not None and target >= 2 * known:
        raise BadRequest("a seek and a block of the upgrade are asked for at once")
    if request.seek and (request.seek.bytes < 0 or request.seek.padding < 0):
        raise BadRequest("a seek before the beginning")


def _straddles(index: int, length: int) -> bool:
    return flat_tree.left_span(index) < 2 * length <= flat_tree.right_span(index)


def _climb(index: int, levels: int, length: int) -> int:
    if not 0 <= levels <= length.bit_length():
        raise BadRequest(f"{levels} levels up in a tree of {length} blocks")
    for _ in range(levels):
        index = flat_tree.parent(index)
        if flat_tree.right_span(index) >= 2 * length:
            raise BadRequest(f"node {index} is not in a tree of {length} blocks")
    return index


def _siblings(index: int, root: int) -> Iterator[int]:
    while index != root:
        yield flat_tree.sibling(index)
        index = flat_tree.parent(index)


def _prove_below(get_node: GetNode, parts: _Parts, request: Request, target: int | None, place: int, root: int) -> None:
    """The ways from the block or node asked for and from the place sought up to `root`."""
    if target is None:
        parts.seek = [get_node(place), *(get_node(index) for index in _siblings(place, root))]
        return
    parts.node = [] if request.block else [get_node(target)]
    for index in _siblings(target, root):
        if request.seek and flat_tree.contains(index, place) and index != place:
            # The way from the place gives this node, so it is not sent.
            parts.seek = [get_node(place), *(get_node(other) for other in _siblings(place, index))]
        else:
            parts.node.append(get_node(index))


def _unpadded(node: Node, padding: int) -> int:
    return node.size - padding * flat_tree.leaf_count(node.index)


def _seek_below(get_node: GetNode, length: int, root: int, seek: SeekRequest) -> int:
    before = byte_offset(get_node, length, root) - seek.padding * (flat_tree.left_span(root) >> 1)
    if not before <= seek.bytes < before + max(_unpadded(get_node(root), seek.padding), 1):
        raise BadRequest(f"byte {seek.bytes} does not lie below node {root}")
    return _seek_in(get_node, root, seek.bytes - before, seek.padding)


def _seek_from_start(get_node: GetNode, length: int, seek: SeekRequest) -> int:
    rest = seek.bytes
    for root in flat_tree.full_roots(length):
        size = _unpadded(get_node(root), seek.padding)
        if rest == size:
            return root
        if rest < size:
            return _seek_in(get_node, root, rest, seek.padding)
        rest -= size
    return 2 * length


def _seek_in(get_node: GetNode, root: int, rest: int, padding: int) -> int:
    if rest == 0:
        return root
    while root & 1:
        left, right = flat_tree.children(root)
        size = _unpadded(get_node(left), padding)
        if rest == size:
            return left
        root = left if rest < size else right
        rest -= 0 if rest < size else size
    return root
