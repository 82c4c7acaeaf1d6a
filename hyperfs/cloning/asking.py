"""What a peer says of a drive, believed as far as it is signed: its control chain, and the heads of its logs.

A peer can hide what is newest, and nobody who has only that peer can tell. It can't invent anything: the chain is that
of the root whose key is at hand, and each head is signed by a log that the chain names.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final, TypeVar

import trio

from hyperfs.crypto.keys import RootSeed
from hyperfs.errors import BadRequest, Corrupt, NotHeld, Unreachable
from hyperfs.log.control import Chain
from hyperfs.log.control_codec import Record, decode_records
from hyperfs.log.heads import Head, check_signature
from hyperfs.log.manifest import default_v1, discovery_key
from hyperfs.replication.address import Address
from hyperfs.replication.client import PeerClient
from hyperfs.replication.dialogue_bodies import ChainPart, Drives, LogHead, Outcome
from hyperfs.replication.session import Exchanger
from hyperfs.volume.enrolling import check_root

DIAL_SECONDS: Final = 20.0
"""For a connection and its handshake."""
MOST_CHAIN_RECORDS: Final = 1 << 20
MOST_CHAIN_BYTES: Final = 128 << 20
"""As much as a peer of ours keeps of a chain."""

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")


async def dial(exchanger: Exchanger, address: Address) -> PeerClient:
    """Raises Unreachable, with the address and why; Misbehaved where somebody else answers there."""
    where = str(address.endpoint)
    try:
        with trio.fail_after(DIAL_SECONDS):
            stream = await trio.open_tcp_stream(*address.endpoint)
            return PeerClient(await exchanger.connect(stream, address.key))
    except trio.TooSlowError:
        raise Unreachable(f"the peer at {where} has not answered within {DIAL_SECONDS:.0f} s") from None
    except OSError as error:
        raise Unreachable(f"the peer at {where} can't be reached: {error}") from None


async def found_at(client: PeerClient, root: RootSeed, wanted: bytes | None) -> tuple[Chain, dict[int, Head]]:
    """Of the drive that the peer holds for the owner of this root, the chain and heads as `state_of`: in one answer,
    where the peer knows how. Raises NotHeld, BadRequest where `wanted` must say which drive."""
    try:
        drives, told = await client.state(root.signing(), wanted)
    except BadRequest:
        drives, told = Drives(await client.drives(root.signing())), None
    drive = _the_one(drives.drives, wanted)
    if told is None or told.drive != drive:
        return await state_of(client, drive, root)
    chain = await chain_of(client, drive, root, told.chain)
    return chain, checked_heads(chain, told.heads.heads)


def _the_one(drives: tuple[bytes, ...], wanted: bytes | None) -> bytes:
    if wanted is not None:
        if wanted not in drives:
            raise NotHeld(f"the peer holds no drive {wanted.hex()} of this recovery key")
        return wanted
    if not drives:
        raise NotHeld("the peer holds no drive of this recovery key: is it the right peer, and the right card?")
    if len(drives) > 1:
        shown = ", ".join(sorted(drive.hex() for drive in drives))
        raise BadRequest(f"the peer holds several drives of this recovery key: choose one with --drive ({shown})")
    return drives[0]


async def chain_of(client: PeerClient, drive: bytes, root: RootSeed, first: ChainPart | None = None) -> Chain:
    """Verified from its first record on. Raises Corrupt for what is no chain of this drive, BadRecoveryKey."""
    chain = await verified_chain(client, drive, first)
    check_root(chain, root)
    return chain


async def state_of(client: PeerClient, drive: bytes, root: RootSeed) -> tuple[Chain, dict[int, Head]]:
    """The chain, as chain_of, and the heads, as heads_of: asked for at once."""
    chain, told = await both(partial(chain_of, client, drive, root), partial(client.heads, drive))
    return chain, checked_heads(chain, told)


async def both(first: Callable[[], Awaitable[A]], second: Callable[[], Awaitable[B]]) -> tuple[A, B]:
    """Two questions at the same time. Raises what one of them raises, the first before the second."""
    firsts: list[A] = []
    seconds: list[B] = []
    failed: dict[int, Exception] = {}

    async def ask(place: int, question: Callable[[], Awaitable[T]], answers: list[T]) -> None:
        try:
            answers.append(await question())
        except Exception as error:  # noqa: BLE001  # raised again below, and not in the group that a nursery makes of it
            failed[place] = error

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, 0, first, firsts)
        nursery.start_soon(ask, 1, second, seconds)
    if failed:
        raise failed[min(failed)]
    return firsts[0], seconds[0]


async def verified_chain(client: PeerClient, drive: bytes, first: ChainPart | None = None) -> Chain:
    """The drive's id is the hash of its first roster, so the chain is the drive's, whoever gives it. `first`: how it
    begins, if the peer has told already. Raises Corrupt."""
    records: list[Record] = []
    size = 0
    while True:
        (total, part), first = first or await client.chain(drive, len(records)), None
        new = decode_records(part)
        size += len(part)
        if total > MOST_CHAIN_RECORDS or size > MOST_CHAIN_BYTES or (not new and len(records) < total):
            raise Corrupt("the peer gives a control chain without an end")
        records += new
        if len(records) >= total:
            break
    chain = Chain.parse_records(records)
    if chain.drive_id != drive:
        raise Corrupt("the control chain is that of another drive", f"drive {chain.drive_id.hex()}")
    return chain


async def heads_of(client: PeerClient, chain: Chain) -> dict[int, Head]:
    """By the logs' numbers; of logs of which the peer has nothing there is none. Raises Corrupt for a forged one."""
    return checked_heads(chain, await client.heads(chain.drive_id))


def checked_heads(chain: Chain, told: tuple[LogHead, ...]) -> dict[int, Head]:
    """Raises Corrupt for a head that its log's owner did not sign, or of a log that is none of the drive's."""
    numbers: Mapping[bytes, int] = {
        discovery_key(default_v1(entry.public_key).key()): number for number, entry in chain.logs.items()
    }
    found: dict[int, Head] = {}
    for log, fork, length, byte_length, tree_hash, signature in told:
        number = numbers.get(log)
        if number is None:
            raise Corrupt("the peer names a log that the drive doesn't have", log.hex())
        if not length:
            continue
        manifest = default_v1(chain.logs[number].public_key)
        if number in found or not check_signature(manifest, tree_hash, length, fork, signature):
            raise Corrupt(f"the peer gives a head of log {number} that its owner did not sign")
        found[number] = Head(fork, length, byte_length, tree_hash, signature)
    return found


async def offer(client: PeerClient, chain: Chain, held: int) -> bool:
    """Whether the peer has taken the chain, and keeps it; False where it has another one that goes on from the same.
    `held`: of how many records its chain was, asked a moment ago."""
    if held >= len(chain.records):
        start = len(chain.records) - 1
        return decode_records((await client.chain(chain.drive_id, start))[1])[:1] == [chain.records[start]]
    outcome, _ = await client.offer(chain.drive_id, chain.records, held)
    return outcome in (Outcome.NEWER, Outcome.SAME)


async def length_of_chain(client: PeerClient, chain: Chain) -> int:
    """How many records the peer has."""
    return (await client.chain(chain.drive_id, len(chain.records)))[0]
