"""Two sides of a connection and their logs, without a network: what one sends, the other gets when `pump` says so."""

from collections.abc import Callable
from pathlib import Path

from hyperfs.crypto.keys import SigningKeyPair
from hyperfs.errors import HyperfsError
from hyperfs.log.log import Log
from hyperfs.log.manifest import default_v1
from hyperfs.log.replica import Replica
from hyperfs.replication.connection import Connection, Joined, Left, Told
from hyperfs.replication.curve import CurveKeyPair
from hyperfs.replication.exchange import Exchange
from hyperfs.replication.own_log import OwnLog
from hyperfs.replication.replicating import Replicating
from hyperfs.replication.secret_stream import SecretStream
from hyperfs.store.files import Disk

SIGNER = SigningKeyPair(b"\x01" * 32)
MANIFEST = default_v1(SIGNER.public_key)

Change = Callable[[bytes], bytes]


def content(number: int) -> bytes:
    return b"%d:" % number + bytes([number & 255]) * (number * 37 % 400)


def own_log(folder: Path, count: int, signer: SigningKeyPair = SIGNER, make: Callable[[int], bytes] = content) -> Log:
    folder.mkdir(exist_ok=True)
    log = Log.create(Disk(folder), "log", signer)
    if count:
        log.append([make(number) for number in range(count)])
        log.flush()
    return log


def replica(folder: Path, fork: int = 0) -> Replica:
    folder.mkdir(exist_ok=True)
    return Replica(Disk(folder), "log", SIGNER.public_key, fork)


def serves(log: Log) -> Replicating:
    return Replicating(OwnLog(log), default_v1(log.manifest.signers[0].public_key))


def takes(taking: Replica) -> Replicating:
    return Replicating(taking, MANIFEST, taking)


class Side:
    """One end of one connection."""

    def __init__(self, is_initiator: bool, logs: list[Replicating], serial: int = 1) -> None:
        number = 2 * serial + is_initiator
        self.logs = {log.discovery_key: log for log in logs}
        key_pair = CurveKeyPair(bytes([number]) * 32)
        stream = SecretStream(is_initiator, key_pair, bytes([number + 64]) * 32, bytes([number + 128]) * 24)
        self.connection = Connection(stream, self.logs.get)
        self.exchanges: list[tuple[Replicating, Exchange]] = []
        self.error: HyperfsError | None = None
        for log in logs:
            list(self.connection.share(log))

    def receive(self, data: bytes) -> None:
        """An error ends this side, as a session would."""
        try:
            for found in self.connection.receive(data):
                self._act(found)
        except HyperfsError as error:
            self.end(error)

    def end(self, error: HyperfsError | None = None) -> None:
        self.error = self.error or error
        for log, exchange in self.exchanges:
            log.leave(exchange)
        self.exchanges = []

    def work(self) -> bool:
        """One piece of work of each log. Whether there was any."""
        is_busy = False
        for log in self.logs.values():
            if (work := log.work(lambda exchange: True)) is not None:
                is_busy = True
                for exchange, error in log.finish(log.perform(work)):
                    if any(exchange is mine for _, mine in self.exchanges):
                        self.end(error)
        for _, exchange in self.exchanges:
            if exchange.fault and exchange.has_contradicted:
                self.end(exchange.fault)
                break
        return is_busy

    def _act(self, found: object) -> None:
        if isinstance(found, Joined):
            log = self.logs[found.shared.discovery_key]
            self.exchanges.append((log, found.exchange))
            log.join(found.exchange)
        elif isinstance(found, Left):
            log = self.logs[found.shared.discovery_key]
            self.exchanges.remove((log, found.exchange))
            log.leave(found.exchange)
        elif isinstance(found, Told):
            self.logs[found.shared.discovery_key].hear(found.exchange, found.event)


def pump(*pairs: tuple[Side, Side], most_bytes: int = 1 << 40) -> int:
    """Until nobody has anything to say, or so many bytes have gone; how many have."""
    moved = quiet = 0
    while quiet < 2:  # what there was no work for may have left something to say
        is_busy = False
        for pair in pairs:
            for side, other in (pair, pair[::-1]):
                if side.error or other.error:
                    continue
                data = side.connection.data_to_send()[: most_bytes - moved]
                if data:
                    is_busy = True
                    moved += len(data)
                    other.receive(data)
        if moved >= most_bytes:
            return moved
        for pair in pairs:
            for side in pair:
                is_busy |= side.work()
        quiet = 0 if is_busy else quiet + 1
    return moved


def connect(one: list[Replicating], other: list[Replicating], serial: int = 1) -> tuple[Side, Side]:
    return Side(True, one, serial), Side(False, other, serial)
