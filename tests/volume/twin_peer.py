"""A drive's logs in another folder, as a peer has them, and what a clone gets of them without a wire."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import trio

from hyperfs.crypto.keys import LOG_METADATA, DeviceKeys, RootSeed
from hyperfs.errors import Unreachable
from hyperfs.log.control import Chain
from hyperfs.log.heads import Head
from hyperfs.log.log import Log
from hyperfs.log.proof import BlockRequest, Request
from hyperfs.log.replica import Replica
from hyperfs.store import folder
from hyperfs.store.files import Disk
from hyperfs.values import BlockRef
from hyperfs.volume import cloning
from hyperfs.volume.device_logs import log_folder
from hyperfs.volume.elsewhere import Nowhere
from hyperfs.volume.enrolling import enrol
from tests.log.replicating import bring, grow

ADDRESS = "hyperfs://" + "ab" * 32 + "@localhost:7"


class TwinPeer:
    """What stands in a store's folder now, read anew each time."""

    def __init__(self, path: Path) -> None:
        self.disk = Disk(path)
        self.chain = Chain.parse(self.disk.read_all(folder.CONTROL))

    def open(self, number: int) -> Log:
        entry = self.chain.logs[number]
        return Log.open(self.disk, log_folder(entry), entry.public_key, None, number)

    def heads(self) -> dict[int, Head]:
        found = {}
        for number in self.chain.logs:
            log = self.open(number)
            found[number] = log.head()
            log.close()
        return found

    def bring(self, number: int, there: Disk, whole: bool) -> None:
        """The log's head comes into its folder there; with `whole` all blocks too."""
        log, entry = self.open(number), self.chain.logs[number]
        replica = Replica(there, log_folder(entry), entry.public_key, 0, number)
        if log.signed_length:
            grow(log, replica)
            if whole:
                bring(log, replica, *range(log.signed_length))
            replica.sync()
        replica.close()
        log.close()


def clone(
    peer: TwinPeer, path: Path, root: RootSeed, keys: DeviceKeys, lost: bool, whole_metadata: bool = True
) -> Chain:
    """A store of a new device, of what the peer has; the chain that the peer then gets."""
    cloning.begin(path, cloning.Marker(peer.chain.drive_id, ADDRESS, lost), b"no key file is read here")
    disk = Disk(path)
    whole = [number for number, entry in peer.chain.logs.items() if entry.kind == LOG_METADATA and whole_metadata]
    for number in peer.chain.logs:
        peer.bring(number, disk, number in whole)
    gone = {n: head for n, head in peer.heads().items() if peer.chain.logs[n].state == 1} if lost else None
    chain = enrol(peer.chain, root, keys, "clone", gone)
    cloning.finish(path, chain, keys, whole, 1 << 20)
    return chain


class FromPeer(Nowhere):
    """Fetches blocks, with proofs, from a twin. Counts the times that it was asked."""

    places = frozenset({"peer"})

    def __init__(self, peer: TwinPeer, logs: Mapping[int, Log]) -> None:
        self._sources = {number: peer.open(number) for number in peer.chain.logs}
        self._logs = logs
        self.rounds = self.blocks = 0

    async def fetch(self, blocks: Sequence[BlockRef]) -> Mapping[BlockRef, bytes]:
        self.rounds += 1
        self.blocks += len(blocks)
        await trio.lowlevel.checkpoint()
        return {ref: self._one(ref) for ref in blocks}

    def _one(self, ref: BlockRef) -> bytes:
        source = self._sources.get(ref.log)
        if source is None or ref.index >= source.signed_length:
            raise Unreachable(f"the peer has no block {ref.index} of log {ref.log}")
        target = self._logs[ref.log]
        return target.take(source.proof(Request(block=BlockRequest(ref.index, target.missing(2 * ref.index)))))

    def close(self) -> None:
        for log in self._sources.values():
            log.close()


def new_keys() -> DeviceKeys:
    return DeviceKeys(*(os.urandom(32) for _ in range(4)))
