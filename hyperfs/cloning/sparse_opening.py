"""Opening a clone of which names and versions have not all come: what it needs is fetched, and it begins anew.

What comes goes into the logs' files and stays there. It stays marked as absent as well, which is harmless: whoever
reads a marked block looks whether it is there.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final, Self

import trio

from hyperfs.cloning import asking
from hyperfs.crypto.keys import LOG_METADATA, DeviceKeys
from hyperfs.errors import NotResident, Unreachable
from hyperfs.log.control import Chain
from hyperfs.log.log import Log
from hyperfs.log.proof import TreeProof
from hyperfs.replication.address import parse
from hyperfs.replication.client import PeerClient
from hyperfs.replication.curve import CurveKeyPair
from hyperfs.replication.session import Exchanger, open_exchanger
from hyperfs.store import folder
from hyperfs.store.files import Disk
from hyperfs.syncing.shown_log import ShownLog
from hyperfs.values import ROOT_INO, BlockRef
from hyperfs.volume import keys
from hyperfs.volume.cloning import marker_of
from hyperfs.volume.device_logs import open_log
from hyperfs.volume.opening import open_volume
from hyperfs.volume.options import Options
from hyperfs.volume.volume import Volume

ROUNDS_MOST: Final = 60
BLOCK_SECONDS: Final = 30.0

log = logging.getLogger("hyperfs.elsewhere")


def open_clone(store: Path, device_keys: DeviceKeys, options: Options) -> Volume:
    """As open_volume. What lacks comes from the peer of which the clone was made: Unreachable where that is not to be
    had."""
    for _ in range(ROUNDS_MOST):
        try:
            return _opened(store, device_keys, options)
        except NotResident as absent:
            marker = marker_of(Disk(store))
            if marker is None or options.read_only or options.older_will_do:
                raise
            log.info("fetching %s", absent)
            try:
                trio.run(_fetch_from, store, device_keys, marker.address, (*absent.blocks, *absent.ahead))
            except Unreachable as error:
                return _opened_older(store, device_keys, options, error)
    raise Unreachable("what is needed to open the drive does not come to an end")


def _opened_older(store: Path, device_keys: DeviceKeys, options: Options, why: Unreachable) -> Volume:
    """A clone that follows may have heard of a version that did not come any more: the one before it is here."""
    try:
        return _opened(store, device_keys, replace(options, older_will_do=True))
    except NotResident:
        raise why from None


class Fetching:
    """Blocks of the logs of others, from a peer into the files of a store that is not open. Use it in a `with` block.

    A log's channel is opened once and stays open: then blocks come with a single wait.
    """

    def __init__(self, exchanger: Exchanger, client: PeerClient, disk: Disk, chain: Chain) -> None:
        self._exchanger = exchanger
        self._client = client
        self._disk = disk
        self._chain = chain
        self._logs: dict[int, ShownLog] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._logs:
            shown = self._logs.popitem()[1]
            if self._exchanger.has(shown):
                self._exchanger.remove(shown)
            shown.log.close()

    def open(self, numbers: Iterable[int]) -> None:
        """Blocks of these will be asked for."""
        for number in numbers:
            if number not in self._logs:
                entry = self._chain.logs[number]
                found = open_log(self._disk, entry, None, Options(), is_own=False)
                self._logs[number] = ShownLog(found, entry.kind == LOG_METADATA, self._exchanger.touch)
                self._exchanger.add(self._logs[number])
        self._exchanger.offer(self._client.session)

    async def fetch(self, blocks: Iterable[BlockRef]) -> None:
        """They are in the store's files when it returns. Raises Unreachable, Corrupt, OSError."""
        wanted: dict[int, set[int]] = {}
        for ref in blocks:
            wanted.setdefault(ref.log, set()).add(ref.index)
        self.open(wanted)
        for number, indexes in wanted.items():
            shown = self._logs[number]
            lacking = [index for index in sorted(indexes) if not shown.log.holds(index)]
            try:
                with trio.fail_after(BLOCK_SECONDS):
                    proofs = await _proofs(shown, lacking)
            except trio.TooSlowError:
                raise Unreachable(f"the peer gives no blocks of log {number}") from None
            await trio.to_thread.run_sync(_put, shown.log, proofs)


async def prepare(fetching: Fetching, store: Path, device_keys: DeviceKeys, options: Options) -> int:
    """Fetches what the next opening will need, over a connection that there is; in how many rounds."""
    for rounds in range(ROUNDS_MOST):
        try:
            _opened(store, device_keys, options).parts.close()
        except NotResident as absent:
            await fetching.fetch((*absent.blocks, *absent.ahead))
        else:
            return rounds
    raise Unreachable("what is needed to open the drive does not come to an end")


async def _proofs(shown: ShownLog, indexes: list[int]) -> dict[int, TreeProof]:
    found: dict[int, TreeProof] = {}
    failed: list[Unreachable] = []

    async def one(index: int) -> None:
        try:
            found[index] = await shown.bring(index)
        except Unreachable as error:
            failed.append(error)

    async with trio.open_nursery() as nursery:
        for index in indexes:
            nursery.start_soon(one, index)
    if not found and failed:
        raise failed[0]
    return found


def _put(target: Log, proofs: dict[int, TreeProof]) -> None:
    """In a worker thread."""
    for index, proof in proofs.items():
        target.put_back(index, target.take(proof))
    target.sync_blocks()


async def _fetch_from(store: Path, device_keys: DeviceKeys, address: str, blocks: tuple[BlockRef, ...]) -> None:
    failure: Exception | None = None
    async with open_exchanger(CurveKeyPair(device_keys.transport().secret())) as exchanger:
        try:
            client = await asking.dial(exchanger, parse(address))
            disk = Disk(store)
            with Fetching(exchanger, client, disk, Chain.parse(disk.read_all(folder.CONTROL))) as fetching:
                await fetching.fetch(blocks)
        except Exception as error:  # noqa: BLE001  # raised again below, and not in the group that a nursery makes of it
            failure = error
    if failure is not None:
        raise failure


def _opened(store: Path, device_keys: DeviceKeys, options: Options) -> Volume:
    """With all that is asked for before there is anybody who could fetch: the drive's settings, its first folder."""
    volume = open_volume(store, device_keys, options)
    try:
        _look(volume.overlay.live.facts, volume)
    except BaseException:
        volume.parts.close()
        raise
    return volume


def _look(facts: Callable[[bytes], object], volume: Volume) -> None:
    facts(keys.setting_key(b""))
    volume.overlay.inode(ROOT_INO)
    next(volume.overlay.live.dentries(ROOT_INO), None)
