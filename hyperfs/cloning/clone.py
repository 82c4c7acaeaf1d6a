"""`hyperfs clone`: from a peer's address and the recovery key to a store.

    1. the peer is asked which drive this root has there, with its chain and the heads of its logs
    2. the folder is begun: this device's keys, and what it is to be
    3. the logs' heads come, and names and versions whole
    4. the root enrols this device; the peer takes the chain. Who was there before is given up now, or stays
    5. the folder becomes a store

Until 4 nothing has changed for anybody. Killed anywhere, the same command goes on: by then the device may stand in the
peer's chain already, and it is known by its keys.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hyperfs.cloning import asking, sparse_opening
from hyperfs.cloning.bringing import Progress, bring, newest_logs
from hyperfs.cloning.sparse_opening import Fetching
from hyperfs.crypto.keys import LOG_METADATA, DeviceKeys, RootSeed
from hyperfs.errors import HyperfsError, Refused
from hyperfs.log.control import Chain
from hyperfs.log.control_codec import CLOSED
from hyperfs.log.heads import Head
from hyperfs.replication.address import Address
from hyperfs.replication.client import PeerClient
from hyperfs.replication.curve import CurveKeyPair
from hyperfs.replication.session import Exchanger, open_exchanger
from hyperfs.store.files import Disk
from hyperfs.volume import cloning, writers
from hyperfs.volume.cloning import Marker
from hyperfs.volume.enrolling import enrol
from hyperfs.volume.options import Options

ATTEMPTS = 3
"""To enrol, while others change the chain."""


@dataclass(frozen=True)
class Wanted:
    """`drive`: needed where the peer holds several of this root. `name`: what the new device is called."""

    address: Address
    store: Path
    root: RootSeed
    name: str
    former_lost: bool = False
    drive: bytes | None = None
    reserve_bytes: int | None = None
    whole: bool = False
    """Names and versions come before it is a store, and not in the background when it is mounted."""


@dataclass(frozen=True)
class Made:
    """`why_read_only`: None where this device writes to the drive from now on. `given_up`: names of devices."""

    drive_id: bytes
    device: int
    why_read_only: str | None
    given_up: tuple[str, ...]
    metadata_blocks: int


KeysFor = Callable[[], tuple[DeviceKeys, bytes]]
"""New keys of a device, and the file that keeps them; or those that are in the folder."""


async def clone(wanted: Wanted, keys_for: KeysFor, keys_of: Callable[[], DeviceKeys], progress: Progress) -> Made:
    """`keys_for` gives a device's new keys and their file; `keys_of` those of the folder of a clone that was begun.

    Raises Unreachable, NotHeld, BadRecoveryKey, Refused, Corrupt, OSError.
    """
    was_begun = cloning.was_begun(wanted.store)
    keys, key_file = (keys_of(), b"") if was_begun else keys_for()
    failure: Exception | None = None
    async with open_exchanger(CurveKeyPair(keys.transport().secret())) as exchanger:
        try:
            client = await asking.dial(exchanger, wanted.address)
            chain, heads = await asking.found_at(client, wanted.root, wanted.drive)
            marker = Marker(chain.drive_id, str(wanted.address), wanted.former_lost)
            if was_begun:
                cloning.go_on(wanted.store, marker)
            else:
                cloning.begin(wanted.store, marker, key_file)
            return await _Cloning(wanted, keys, exchanger, client, progress).run(chain, heads)
        except Exception as error:  # noqa: BLE001  # raised again below, and not in the group that a nursery makes of it
            failure = error
    raise failure


class _Cloning:
    def __init__(
        self, wanted: Wanted, keys: DeviceKeys, exchanger: Exchanger, client: PeerClient, progress: Progress
    ) -> None:
        self._wanted = wanted
        self._keys = keys
        self._exchanger = exchanger
        self._client = client
        self._progress = progress
        self._disk = Disk(wanted.store)

    async def run(self, chain: Chain, heads: dict[int, Head]) -> Made:
        if (finishing := cloning.taken_chain(self._disk)) is not None:
            # The peer has it, and all that is to come has come: what was killed was the last step.
            whole = self._whole(chain)
            with self._fetching(finishing) as fetching:
                return await self._finish(chain, finishing, whole, heads, fetching)
        for _ in range(ATTEMPTS):
            whole = self._whole(chain)
            heads, held = await self._bring(chain, heads, whole)
            enrolled = self._enrolled(chain, heads)
            with self._fetching(chain) as fetching:
                if not whole:
                    fetching.open(newest_logs(chain, heads))
                if await asking.offer(self._client, enrolled, held):
                    return await self._finish(chain, enrolled, whole, heads, fetching)
            chain, heads = await asking.state_of(self._client, chain.drive_id, self._wanted.root)
        raise Refused("the drive's control chain keeps changing on the peer: another device joins it. Try again")

    async def _bring(self, chain: Chain, heads: dict[int, Head], whole: list[int]) -> tuple[dict[int, Head], int]:
        """The heads as they are here then, and how many records of the chain the peer has by now."""
        for number, entry in chain.logs.items():
            if entry.state == CLOSED and entry.length > (heads[number].length if number in heads else 0):
                have = heads[number].length if number in heads else 0
                raise HyperfsError(
                    f"the peer has {have} of the {entry.length} blocks that log {number} was closed with: "
                    "what lacks is on the former device or on another peer"
                )
        coming = partial(bring, self._exchanger, self._client, self._disk, chain, heads, whole, self._progress)
        length = partial(asking.length_of_chain, self._client, chain)
        if whole:  # which takes long: others may have come meanwhile
            return await coming(), await length()
        return await asking.both(coming, length)

    def _enrolled(self, chain: Chain, heads: dict[int, Head]) -> Chain:
        """The chain with this device, which may stand in it already."""
        if self._number_in(chain) is not None:
            return chain
        last = _last_heads(chain, heads) if self._wanted.former_lost else {}
        return enrol(chain, self._wanted.root, self._keys, self._wanted.name, last)

    def _fetching(self, chain: Chain) -> Fetching:
        return Fetching(self._exchanger, self._client, self._disk, chain)

    def _whole(self, chain: Chain) -> list[int]:
        if not self._wanted.whole:
            return []
        return [number for number, entry in chain.logs.items() if entry.kind == LOG_METADATA]

    def _number_in(self, chain: Chain) -> int | None:
        own = self._keys.signing().public_key
        return next((found.number for found in chain.devices.values() if found.signing_key == own), None)

    async def _finish(
        self, before: Chain, chain: Chain, whole: list[int], heads: dict[int, Head], fetching: Fetching
    ) -> Made:
        cloning.finish(self._wanted.store, chain, self._keys, whole, self._wanted.reserve_bytes)
        device = self._number_in(chain)
        assert device is not None
        if not whole:
            options = Options(read_only=True, memory_index=True)
            await sparse_opening.prepare(fetching, self._wanted.store, self._keys, options)
        lengths = {n: head.length for n, head in heads.items() if chain.logs[n].kind == LOG_METADATA}
        gone = [number for number in before.devices if writers.open_logs_of(before, [number])]
        return Made(
            chain.drive_id,
            device,
            writers.why_barred(chain, device) or _why_not(chain, device, lengths),
            tuple(writers.name_of(chain, number) for number in gone if not writers.open_logs_of(chain, [number])),
            sum(lengths.values()),
        )


def _why_not(chain: Chain, device: int, lengths: dict[int, int]) -> str | None:
    """As the next opening will find, of a device that has written nothing yet."""
    any_other = next((n for n, length in lengths.items() if length and chain.logs[n].device != device), None)
    return writers.why_not_now(chain, device, any_other, has_versions=False)


def _last_heads(chain: Chain, heads: dict[int, Head]) -> dict[int, Head]:
    """Of the logs of all that may write, where they end from now on. One of which nothing has come ends at nothing."""
    lengths = {n: head.length for n, head in heads.items() if chain.logs[n].kind == LOG_METADATA}
    closing = writers.open_logs_of(chain, writers.may_write(chain, lengths))
    return {entry.number: heads.get(entry.number, cloning.NOTHING) for entry in closing}
