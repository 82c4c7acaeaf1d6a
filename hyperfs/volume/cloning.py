"""The store folder of a clone: a new device's, with the logs of all others as far as they have come.

    begin     the folder, this device's keys, and the record `clone` that says what it is to be
    (others)  the logs of other devices come into their folders; the control chain with this device is offered to a peer
    finish    own logs, what of other logs is not here, journal, reserve, control chain; the format file comes last

Killed in between, the folder is no store, and the same command goes on with it. Page: docs/formats/store-folder.md.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hyperfs.crypto.keys import LOG_CONTENT, DeviceKeys
from hyperfs.errors import Corrupt, Refused
from hyperfs.log import evicted
from hyperfs.log.cleared import Cleared
from hyperfs.log.control import Chain
from hyperfs.log.control_codec import LogEntry
from hyperfs.log.evicted import Evicted
from hyperfs.log.heads import NoHead
from hyperfs.log.log import HEADS_FILE, Log
from hyperfs.log.manifest import default_v1
from hyperfs.log.replica import HAVE_FILE
from hyperfs.store import folder
from hyperfs.store.files import Disk
from hyperfs.store.journal import Journal
from hyperfs.volume.chains import make_empty
from hyperfs.volume.device_logs import device_number, epoch_keys_of, log_folder
from hyperfs.volume.reserve import Reserve
from hyperfs.volume.residence import RECORD, record_tag

MARKER: Final = "clone"
NOTHING: Final = NoHead().head
"""Where a log ends of which nothing is known."""
_MARKER: Final = re.compile(
    r"hyperfs clone\nformat 1\ndrive ([0-9a-f]{64})\npeer ([!-~]{1,400})\nformer (lost|stays)\n"
)


@dataclass(frozen=True)
class Marker:
    """What the folder is to be, or is: a clone of which drive, of which peer, and whether the former device is lost."""

    drive_id: bytes
    address: str
    former_lost: bool

    def encode(self) -> bytes:
        former = "lost" if self.former_lost else "stays"
        text = f"hyperfs clone\nformat 1\ndrive {self.drive_id.hex()}\npeer {self.address}\nformer {former}\n"
        if _MARKER.fullmatch(text) is None:
            raise ValueError(f"{self.address!r} is no address")
        return text.encode()


def decode_marker(data: bytes) -> Marker:
    """Raises Corrupt."""
    found = _MARKER.fullmatch(data.decode("ascii", errors="replace"))
    if found is None:
        raise Corrupt("the record of a clone is damaged", MARKER)
    return Marker(bytes.fromhex(found[1]), found[2], found[3] == "lost")


def marker_of(disk: Disk) -> Marker | None:
    """None where the store is no clone. Raises Corrupt."""
    return decode_marker(disk.read_all(MARKER)) if disk.exists(MARKER) else None


def was_begun(path: Path) -> bool:
    """Whether a clone was begun there and not finished. Raises Refused where a store is there."""
    disk = Disk(path)
    if path.is_dir() and disk.exists(folder.FORMAT_FILE) and disk.exists(MARKER):
        raise Refused(f"{path} is a clone already, and whole: 'hyperfs mount {path} DIR' mounts it")
    if path.is_dir() and disk.exists(folder.FORMAT_FILE):
        raise Refused(f"{path} is a store already: a clone needs a new folder")
    return path.is_dir() and disk.exists(MARKER)


def begin(path: Path, marker: Marker, key_file: bytes) -> None:
    """Raises Refused where the folder holds anything."""
    folder.lay_out(path)
    disk = Disk(path)
    disk.replace(folder.KEYS, key_file)
    disk.replace(MARKER, marker.encode())


def go_on(path: Path, marker: Marker) -> None:
    """Raises Refused where something else was begun there, Corrupt."""
    begun = marker_of(Disk(path))
    if begun is not None and (begun.drive_id, begun.former_lost) != (marker.drive_id, marker.former_lost):
        raise Refused(
            f"another clone was begun in {path}: give the same key and options to go on with it, or choose a new folder"
        )


def taken_chain(disk: Disk) -> Chain | None:
    """The control chain that `finish` has put down; None before. Raises Corrupt."""
    return Chain.parse(disk.read_all(folder.CONTROL)) if disk.exists(folder.CONTROL) else None


def finish(
    path: Path,
    chain: Chain,
    keys: DeviceKeys,
    whole: Iterable[int] = (),
    reserve_bytes: int | None = None,
) -> None:
    """Makes the folder a store; durable when it returns. `whole`: logs of others of which every block is here."""
    disk = Disk(path)
    number = device_number(chain, keys)
    node_ids = epoch_keys_of(chain, keys)[max(chain.epochs)].node_id_key()
    for entry in chain.logs.values():
        name = log_folder(entry)
        if entry.device == number and not disk.exists(f"{name}/{HEADS_FILE}"):
            Log.create(disk, name, keys.log_signer(entry.kind, 0), entry.number).close()
    put_logs(disk, chain, whole, node_ids, number)
    seal(path, chain, reserve_bytes)


def put_logs(disk: Disk, chain: Chain, whole: Iterable[int], node_ids: bytes, own: int | None = None) -> None:
    """What came of the logs of others becomes logs of a store, and what did not come is noted."""
    cleared = Cleared.of(chain.records)
    complete = frozenset(whole)
    for entry in chain.logs.values():
        name = log_folder(entry)
        if entry.device == own:
            continue
        if not disk.exists(f"{name}/{HEADS_FILE}"):
            if entry.length:
                raise Corrupt(f"nothing has come of log {entry.number}, which has {entry.length} blocks", name)
            make_empty(disk, entry)
            continue
        if disk.exists(f"{name}/{HAVE_FILE}"):
            disk.remove(f"{name}/{HAVE_FILE}")
        if entry.number not in complete:
            _record_absent(disk, entry, cleared, node_ids)


def seal(path: Path, chain: Chain, reserve_bytes: int | None) -> None:
    """All else is there: the folder becomes a store."""
    disk = Disk(path)
    disk.replace(folder.CONTROL, chain.encode())
    Journal.create(disk)
    Reserve(path / folder.RESERVE).fill(reserve_bytes)
    folder.write_format(path, chain.drive_id)


def _record_absent(disk: Disk, entry: LogEntry, cleared: Cleared, node_ids: bytes) -> None:
    """Every block is elsewhere that was not cleared."""
    length = _signed_length(disk, entry)
    absent = Evicted()
    absent.add(0, length)
    for start, end in cleared.ranges(entry.number):
        absent.remove(start, end)
    key = default_v1(entry.public_key).key()
    record = evicted.encode(absent, lambda data: record_tag(node_ids, key, data))
    disk.replace(f"{log_folder(entry)}/{RECORD}", record)


def _signed_length(disk: Disk, entry: LogEntry) -> int:
    log = Log.open(disk, log_folder(entry), entry.public_key, None, entry.number)
    try:
        return log.signed_length
    finally:
        log.close()


def wanted_of(chain: Chain, number: int) -> list[tuple[int, int]]:
    """The blocks of a log that a whole copy has: all that were not cleared."""
    ranges, start = [], 0
    for low, high in Cleared.of(chain.records).ranges(number):
        if start < low:
            ranges.append((start, low))
        start = high
    return [*ranges, (start, 1 << 52)]


def content_logs(chain: Chain) -> Mapping[int, LogEntry]:
    return {number: entry for number, entry in chain.logs.items() if entry.kind == LOG_CONTENT}
