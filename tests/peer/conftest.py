"""A drive with its devices' keys and logs, and a cloud peer that holds it, without a wire between them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hyperfs.crypto.keys import LOG_CONTENT, LOG_METADATA, BoxKeyPair, SigningKeyPair
from hyperfs.log.control import Chain
from hyperfs.log.control_codec import (
    REVOKED,
    ROOT,
    Body,
    Clear,
    ClearDeed,
    ClearIntent,
    Device,
    LogEntry,
    Roster,
)
from hyperfs.log.log import Log
from hyperfs.log.manifest import default_v1, discovery_key
from hyperfs.log.merkle import hash32
from hyperfs.peer.blockstore import BlockStore
from hyperfs.peer.drive import HeldDrive
from hyperfs.peer.folder_store import FolderStore
from hyperfs.peer.memory_store import MemoryStore
from hyperfs.peer.peer import Peer
from hyperfs.store.files import Disk
from tests.log.replicating import bring, grow

NOW = 1_795_300_000_000_000_000
HOUR = 3600 * 10**9
DAY = 24 * HOUR
METADATA, CONTENT = 1, 2
PEER_KEY = SigningKeyPair(hash32(b"peer"))


def key(name: str) -> SigningKeyPair:
    return SigningKeyPair(hash32(name.encode()))


def box(name: str) -> bytes:
    return BoxKeyPair(hash32(b"box " + name.encode())).public_key


def device(number: int, name: str) -> Device:
    return Device(number, name.encode(), key(name).public_key, box(name), box(f"transport {name}"))


def content(log: int, block: int) -> bytes:
    return b"%d.%d " % (log, block) + bytes([block & 255]) * (block * 37 % 300)


class Owner:
    """Has all keys of a drive with one device, and the device's logs."""

    def __init__(self, folder: Path, name: str = "drive") -> None:
        self.name = name
        folder.mkdir(parents=True, exist_ok=True)
        self.disk = Disk(folder)
        self.root = key(f"{name} root")
        self.laptop = device(1, f"{name} laptop")
        entries = tuple(
            LogEntry(number, 1, kind, self.signer(number).public_key)
            for number, kind in ((METADATA, LOG_METADATA), (CONTENT, LOG_CONTENT))
        )
        self.roster = Roster(self.root.public_key, box(f"{name} recovery"), (self.laptop,), entries)
        self.chain = Chain.start(self.roster, self.root)
        self.logs = {number: Log.create(self.disk, f"log{number}", self.signer(number), number) for number in (1, 2)}

    @property
    def id(self) -> bytes:
        return self.chain.drive_id

    def signer(self, number: int) -> SigningKeyPair:
        return key(f"{self.name} log {number}")

    def discovery_key(self, number: int) -> bytes:
        return discovery_key(default_v1(self.signer(number).public_key).key())

    def append(self, number: int, count: int) -> None:
        log = self.logs[number]
        log.append([content(number, block) for block in range(log.length, log.length + count)])
        log.flush()

    def record(self, *bodies: Body, by_root: bool = False) -> Chain:
        for body in bodies:
            signer, number = (self.root, ROOT) if by_root else (key(f"{self.name} laptop"), 1)
            self.chain = self.chain.append(self.chain.make(body, signer, number))
        return self.chain

    def clear(self, number: int, *ranges: tuple[int, int], by_root: bool = False) -> int:
        """Announced and done; the sequence of the deed."""
        head = self.logs[number].head()
        named = Clear(number, head.fork, head.length, head.tree_hash, ranges)
        intent = len(self.chain.records)
        self.record(ClearIntent(named), ClearDeed(intent, named._replace(ranges=())), by_root=by_root)
        return intent + 1

    def revoke(self) -> Chain:
        """The root takes the laptop out."""
        devices = tuple(found._replace(state=REVOKED) for found in self.chain.devices.values())
        logs = tuple(self.chain.logs.values())
        return self.record(self.roster._replace(devices=devices, logs=logs), by_root=True)

    def close(self) -> None:
        for log in self.logs.values():
            log.close()


def upload(owner: Owner, drive: HeldDrive, number: int, *blocks: int) -> None:
    """These blocks of a log, synced; without blocks all that is not there."""
    lent = drive.lend(owner.discovery_key(number))
    log = owner.logs[number]
    if lent.length < log.signed_length:
        grow(log, lent)
    bring(log, lent, *(blocks or [block for block in range(log.signed_length) if not lent.has(block)]))
    lent.sync()


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Owner]:
    owner = Owner(tmp_path / "owner")
    owner.append(METADATA, 20)
    owner.append(CONTENT, 50)
    yield owner
    owner.close()


@pytest.fixture(params=["folder", "memory"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], BlockStore]:
    """Opens one and the same store again and again."""
    if request.param == "memory":
        store = MemoryStore()
        return lambda: store
    return lambda: FolderStore(tmp_path / "peer")


@pytest.fixture
def store(reopen: Callable[[], BlockStore]) -> Iterator[BlockStore]:
    store = reopen()
    yield store
    store.close()


@pytest.fixture
def peer(store: BlockStore) -> Peer:
    return Peer(store, PEER_KEY, floor_bytes=0)


@pytest.fixture
def drive(peer: Peer, owner: Owner) -> HeldDrive:
    """Admitted, with the owner's control chain and no blocks."""
    drive = peer.admit(owner.id)
    drive.offer_chain(owner.chain.encode())
    drive.sweep(NOW)
    return drive
