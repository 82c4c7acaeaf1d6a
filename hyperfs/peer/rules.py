"""What a cloud peer takes and lets others have: decided from a drive's control chain and from what is here. Pure.

Refused, with the rule, for what is not taken. Signatures and proofs are checked elsewhere: a block that comes as far as
this is what the log's key signed. What is decided here is whether that key may still say so.
"""

from collections.abc import Callable
from typing import Final

from hyperfs.errors import Corrupt, NoSpace, OverQuota, Refused
from hyperfs.log import flat_tree
from hyperfs.log.cleared import Cleared
from hyperfs.log.control import Chain
from hyperfs.log.control_codec import ACTIVE, CLOSED, REVOKED, ROOT, LogClosed, LogEntry, Roster
from hyperfs.log.proof import MAX_LENGTH, TreeProof
from hyperfs.log.verify_proof import Verified

MOST_BLOCKS: Final = 1 << 32
"""In a log: `tree` and `have` of that many fit into a file of 16 TiB, ext4's largest."""
MOST_LOG_BYTES: Final = 1 << 43
MOST_BLOCK_BYTES: Final = 1 << 24
"""What one frame of the wire can carry."""


Holds = Callable[[bytes], bool]
"""Whether the other side of a session has proved that it holds the secret of a transport key of the roster."""


def permitted_forks(chain: Chain, number: int) -> frozenset[int]:
    """The forks of a log that may be stored: the first, and those at which the root itself has closed it.

    The log's own key signs a higher fork of any length, so a thief who has a device could replace the log by nothing.
    """
    forks = {0}
    for record in chain.records:
        if record.signer != ROOT:
            continue
        if isinstance(record.body, Roster):
            forks |= {log.fork for log in record.body.logs if log.number == number and log.state == CLOSED}
        elif isinstance(record.body, LogClosed) and record.body.number == number:
            forks.add(record.body.fork)
    return frozenset(forks)


def check_fork(entry: LogEntry, permitted: frozenset[int], fork: int) -> None:
    """Whether anything of this fork may be stored at all."""
    if fork not in permitted:
        raise Refused(
            f"log {entry.number} of device {entry.device} offers fork {fork}, which the drive's root has not "
            "permitted: what is here stays. If you did not expect this, that device's key may be stolen: revoke it"
        )
    if fork < max(permitted):
        raise Refused(f"log {entry.number}: fork {fork} was replaced by fork {max(permitted)}, signed by the root")


def claimed_length(proof: TreeProof) -> int | None:
    """How long the log is by an upgrade that was not verified yet; None without one."""
    upgrade = proof.upgrade
    if upgrade is None:
        return None
    if not (0 <= upgrade.start <= MAX_LENGTH and 0 <= upgrade.length <= MAX_LENGTH):
        raise Corrupt("an upgrade of an impossible length")
    return upgrade.start + upgrade.length + sum(flat_tree.leaf_count(node.index) for node in upgrade.additional)


def check_growth(chain: Chain, entry: LogEntry, here: int, length: int) -> None:
    """Whether the log may grow from `here` to `length` blocks."""
    if length > MOST_BLOCKS:
        raise Refused(f"log {entry.number} would have {length} blocks: a log has at most {MOST_BLOCKS}")
    if entry.state == CLOSED:
        if length != entry.length:
            raise Refused(
                f"log {entry.number} was closed at {entry.length} blocks: "
                f"what its device signed for {length} is not taken"
            )
    elif length > here and chain.devices[entry.device].state == REVOKED:
        raise Refused(f"device {entry.device} is revoked: its log {entry.number} takes nothing past {here} blocks")


def check_tree(entry: LogEntry, verified: Verified) -> None:
    """What is only known when the proof is verified."""
    if verified.tree.byte_length > MOST_LOG_BYTES:
        raise Refused(f"log {entry.number} would have {verified.tree.byte_length} bytes: at most {MOST_LOG_BYTES}")
    if verified.block is not None and len(verified.block[1]) > MOST_BLOCK_BYTES:
        raise Refused(f"a block of {len(verified.block[1])} bytes: at most {MOST_BLOCK_BYTES}")
    is_end = entry.state == CLOSED and verified.tree.length == entry.length
    if verified.signature is not None and is_end and verified.tree.hash() != entry.tree_hash:
        raise Refused(f"log {entry.number} was closed with another tree of {entry.length} blocks than is offered")


def check_wanted(entry: LogEntry, cleared: Cleared | None, block: int) -> None:
    if cleared is not None and cleared.has(entry.number, block):
        raise Refused(f"block {block} of log {entry.number} was cleared by its owner: it is not taken back")


def check_room(drive: bytes, used: int, more: int, quota: int | None, free: int, floor: int) -> None:
    """Whether `more` bytes may come. `floor` bytes of the disk are kept for what must always work."""
    if quota is not None and used + more > quota:
        raise OverQuota(
            f"drive {drive.hex()[:16]} may have {quota} bytes on this peer and has {used}: {more} more are not taken. "
            "Raise its quota here, or let go of old versions there"
        )
    if free - more < floor:
        raise NoSpace(f"this peer's disk has {free} bytes left, of which {floor} are kept free: nothing more is taken")


def may_replicate(holds: Holds, knows_log_key: bool, only_listed: bool, chain: Chain | None) -> bool:
    """Whether a session may have a log. Who knows the log's key may read its ciphertext, as everywhere with Hypercore;
    `only_listed`: and holds the transport key of an active device of the drive."""
    if not knows_log_key or chain is None:
        return False
    return not only_listed or is_listed(holds, chain)


def taken_out_by(holds: Holds, chain: Chain | None) -> int | None:
    """The number of the record that took the session's device out of the roster; None where none did, or it is in."""
    if chain is None or is_listed(holds, chain):
        return None
    for number, record in enumerate(chain.records):
        devices = record.body.devices if isinstance(record.body, Roster) else ()
        if any(device.state == REVOKED and holds(device.transport_key) for device in devices):
            return number
    return None


def is_listed(holds: Holds, chain: Chain | None) -> bool:
    """Whether a session holds the transport key of an active device of the drive."""
    return device_of(holds, chain) is not None


def device_of(holds: Holds, chain: Chain | None) -> int | None:
    """The number of the active device of the drive whose transport key a session holds."""
    devices = chain.devices.values() if chain is not None else ()
    active = (device for device in devices if device.state == ACTIVE)
    return next((device.number for device in active if holds(device.transport_key)), None)
