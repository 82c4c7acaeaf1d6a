"""Moving blocks from a whole log to one that comes in parts, as a session would, without a wire."""

from hyperfs.log.held import Held, Taking
from hyperfs.log.log import Log
from hyperfs.log.proof import BlockRequest, Request, TreeProof, UpgradeRequest


def upgrade_of(source: Log | Held, target: Taking, end: int | None = None) -> TreeProof:
    """The proof that brings the target to the source's length, or to `end` and what is signed beyond it."""
    head = source.head()
    assert head is not None
    end = head.length if end is None else end
    return source.proof(Request(upgrade=UpgradeRequest(target.length, end - target.length)))


def block_of(source: Log | Held, target: Taking, block: int) -> TreeProof:
    """The proof of a block, and of what the target lacks of the tree."""
    head = source.head()
    assert head is not None
    grow = UpgradeRequest(target.length, head.length - target.length) if head.length > target.length else None
    return source.proof(Request(block=BlockRequest(block, target.missing(2 * block)), upgrade=grow))


def bring(source: Log | Held, target: Taking, *blocks: int) -> None:
    """These blocks, kept and not synced."""
    for block in blocks:
        target.keep(target.check_proof(block_of(source, target, block)))


def grow(source: Log | Held, target: Taking, end: int | None = None) -> None:
    target.keep(target.check_proof(upgrade_of(source, target, end)))
