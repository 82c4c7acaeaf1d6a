"""Waiting until peers have attested all that is committed."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import trio

from hyperfs.errors import HyperfsError, Unreachable
from hyperfs.syncing.backoff import GOOD_BYTES
from hyperfs.syncing.home import Home
from hyperfs.syncing.runs import Runs
from hyperfs.syncing.synced_peer import SyncedPeer
from hyperfs.syncing.trouble import Kind

REACH_SECONDS: Final = 8.0
"""Who waits for a peer that can't be connected to gives up after so long, and two attempts."""
STALL_SECONDS: Final = 120.0
"""Or when a peer has taken nothing for so long."""
TELL_SECONDS: Final = 0.2

Tell = Callable[[str, int, int], Awaitable[None]]


async def until_synced(home: Home, peers: Mapping[str, SyncedPeer], tell: Tell) -> None:
    """Raises the error of the first one that can't, when the others are done."""
    troubles: dict[str, HyperfsError] = {}
    waiting = dict(peers)
    begun = {name: peer.lag()[1] for name, peer in waiting.items()}

    async def wait_for(name: str, peer: SyncedPeer) -> None:
        try:
            async with peer.wanted(urgent=True):
                await _until_attested(home, peer)
        except HyperfsError as error:
            troubles[name] = error
        del waiting[name]

    async def keep_telling() -> None:
        while True:
            left = {name: min(begun[name], peer.lag()[1]) for name, peer in waiting.items()}
            total = sum(begun.values())
            await tell("syncing", total - sum(left.values()), total)
            await trio.sleep(TELL_SECONDS)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_telling)
        async with trio.open_nursery() as waits:
            for name, peer in list(waiting.items()):
                waits.start_soon(wait_for, name, peer)
        nursery.cancel_scope.cancel()
    if troubles:
        raise _joined(list(troubles.values()))


async def _until_attested(home: Home, peer: SyncedPeer) -> None:
    await peer.refresh()
    portion = peer.portion
    away = {number: portion.elsewhere(number) for number, _ in home.logs()}
    wanted = {n: (portion.offered(n), away[n], found.signed_length) for n, found in home.logs()}
    began = progressed = trio.current_time()
    attempts, least, sent = peer.attempts, peer.lag()[0], peer.sent_bytes
    while not all(_is_attested(home, peer, number, *found) for number, found in wanted.items()):
        now, lag = trio.current_time(), peer.lag()[0]
        if lag < least or peer.sent_bytes >= sent + GOOD_BYTES:
            # However often the line is cut: as long as it gets on, it is waited for.
            least, began, progressed, attempts, sent = min(lag, least), now, now, peer.attempts, peer.sent_bytes
        if not peer.is_connected:
            progressed = now
        trouble = peer.trouble
        if not peer.is_connected and trouble is not None and peer.attempts > attempts:
            patient = trouble.kind is Kind.UNREACHABLE and (peer.attempts < attempts + 2 or now - began < REACH_SECONDS)
            if not patient:
                raise trouble.raised(peer.name)
        if not peer.is_connected and now - began > 2 * REACH_SECONDS and trouble is None:
            raise Unreachable(f"the peer {peer.name} can't be reached at {peer.known.address.endpoint}")
        if (why := why_not_brought(home, peer, away, began)) is not None:
            raise Unreachable(f"what is not on this device can't be brought to the peer {peer.name}: {why}")
        if now - progressed > STALL_SECONDS:
            raise Unreachable(f"the peer {peer.name} is connected and has taken nothing for {STALL_SECONDS:.0f} s")
        with trio.move_on_after(1.0):
            await peer.moved()


def why_not_brought(home: Home, peer: SyncedPeer, away: Mapping[int, Runs], began: float) -> str | None:
    """What is not on this device. Where nothing else lacks, after two attempts, the last one while somebody waits."""
    for number, runs in away.items():
        if runs and runs - home.cleared(number) - peer.proven(number) - peer.portion.elsewhere(number):
            return "no place is proved to have it any more"
    link = peer.link
    if link is None or link.through.failures < 2 or link.through.failed_at < began:
        return None
    lags = link.feeding.lags.values()
    return link.through.why if all(lag.blocks == lag.away_blocks for lag in lags) else None


def _is_attested(home: Home, peer: SyncedPeer, number: int, here: Runs, away: Runs, length: int) -> bool:
    """What retention has let go of meanwhile, or what has left since, need not be there."""
    still = (here & peer.portion.offered(number)) | (away - home.cleared(number))
    if not still:
        return True
    word = peer.attested.word(home.volume.parts.logs[number].discovery_key)
    is_long_enough = word is not None and (word.newest.length >= length or not home.is_ours(number))
    return is_long_enough and not still - peer.proven(number)


def _joined(errors: Sequence[HyperfsError]) -> HyperfsError:
    first = errors[0]
    if len(errors) > 1:
        return type(first)("; ".join(map(str, errors)))
    return first
