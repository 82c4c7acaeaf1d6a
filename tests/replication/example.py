"""The conversation of docs/replication.md: two sides whose every secret is known, and what they say."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hyperfs.crypto.keys import SigningKeyPair
from hyperfs.log.log import Log
from hyperfs.log.manifest import default_v1
from hyperfs.log.replica import Replica
from hyperfs.replication.connection import Connection, Joined, Told
from hyperfs.replication.curve import CurveKeyPair
from hyperfs.replication.own_log import OwnLog
from hyperfs.replication.replicating import Replicating
from hyperfs.replication.secret_stream import SecretStream
from hyperfs.store.files import Disk

SIGNER: Final = SigningKeyPair(bytes(range(32)))
PLAIN_FRAMES: Final = (3, 2)
"""Frames of the initiator and of the responder before the first that is sealed."""


class _Heard(SecretStream):
    """Notes what is said before it is sealed."""

    def __init__(self, number: int, spoken: list[tuple[int, bytes]]) -> None:
        static = CurveKeyPair.from_seed(bytes([1 + number]) * 32)
        super().__init__(number == 0, static, bytes([3 + number]) * 32, bytes([5 + number]) * 24)
        self._number, self._spoken = number, spoken

    def send(self, message: bytes) -> None:
        self._spoken.append((self._number, message))
        super().send(message)


def conversation(folder: Path) -> tuple[list[list[bytes]], list[tuple[int, bytes]]]:
    """(of each side the frames that are not sealed, all messages as (side, bytes) before they are sealed).

    The log is that of docs/formats/log.md: the blocks a, bc and an empty one. Side 0 wrote it and is the initiator.
    """
    log = Log.create(Disk(folder), "log", SIGNER)
    log.append([b"a", b"bc", b""])
    log.flush()
    copy = Replica(Disk(folder), "copy", SIGNER.public_key, 0)
    manifest = default_v1(SIGNER.public_key)
    logs = Replicating(OwnLog(log), manifest), Replicating(copy, manifest, copy)
    spoken: list[tuple[int, bytes]] = []
    sides = [Connection(_Heard(n, spoken), {log.discovery_key: logs[n]}.get) for n in (0, 1)]
    list(sides[0].share(logs[0]))
    wires = [b"", b""]
    quiet = 0
    while quiet < 2:
        for number in (0, 1):
            data = sides[number].data_to_send()
            wires[number] += data
            quiet = 0 if data else quiet + 1
            _take(logs[1 - number], sides[1 - number], data)
    assert list(copy.ranges()) == [(0, 3)]
    copy.close()
    log.close()
    return [list(_frames(wire))[:count] for wire, count in zip(wires, PLAIN_FRAMES, strict=True)], spoken


def _take(log: Replicating, side: Connection, data: bytes) -> None:
    for found in side.receive(data):
        if isinstance(found, Joined):
            log.join(found.exchange)
        elif isinstance(found, Told):
            log.hear(found.exchange, found.event)
    while (work := log.work(lambda exchange: True)) is not None:
        log.finish(log.perform(work))


def _frames(wire: bytes) -> Iterator[bytes]:
    while wire:
        end = 3 + int.from_bytes(wire[:3], "little")
        yield wire[:end]
        wire = wire[end:]
