"""What a device has in a drive, by the control chain: its number, its epoch keys, its logs."""

from typing import Final

from hyperfs.crypto.keys import DeviceKeys, EpochKeys
from hyperfs.errors import Corrupt, KeyMissing, NotAStore
from hyperfs.log import control_codec
from hyperfs.log.control import Chain
from hyperfs.log.control_codec import LogEntry
from hyperfs.log.heads import Signer
from hyperfs.log.log import BLOCKS_FILE, HEADS_FILE, TREE_FILE, Log
from hyperfs.log.manifest import default_v1, discovery_key
from hyperfs.log.sparse import SparseLog
from hyperfs.store import folder
from hyperfs.store.files import Disk
from hyperfs.volume.options import Options

LOG_FILES: Final = (BLOCKS_FILE, TREE_FILE, HEADS_FILE)


def device_number(chain: Chain, device_keys: DeviceKeys) -> int:
    public = device_keys.signing().public_key
    for device in chain.devices.values():
        if device.signing_key == public:
            return device.number
    raise KeyMissing("the key file in this store belongs to no device of this drive: put the right one back")


def epoch_keys_of(chain: Chain, device_keys: DeviceKeys) -> dict[int, EpochKeys]:
    """Every epoch's keys that are sealed to the device. Raises KeyMissing, Corrupt."""
    box = device_keys.box()
    found = {}
    for number, sealed in chain.sealed_copies(box.public_key).items():
        keys = EpochKeys.from_payload(number, box.open(sealed))
        if keys.key_id != chain.epochs[number].key_id:
            raise Corrupt("an epoch's sealed key is not the one that its record names", f"epoch {number}")
        found[number] = keys
    if not found:
        raise KeyMissing("no epoch of this drive is sealed to this device's key")
    return found


def log_folder(entry: LogEntry) -> str:
    """The folder of a log in the store, named by its discovery key."""
    return f"{folder.LOGS}/{discovery_key(default_v1(entry.public_key).key()).hex()}"


def open_logs(disk: Disk, chain: Chain, device: int, keys: DeviceKeys, options: Options) -> dict[int, Log]:
    """Every log of the drive by its number; the device's own open ones can be written. Those of others may be here in
    parts. Raises NotAStore, Corrupt."""
    logs: dict[int, Log] = {}
    for entry in chain.logs.values():
        signer = None
        if entry.device == device and entry.state == control_codec.OPEN and not options.read_only:
            signer = keys.log_signer(entry.kind, serial_of(chain, entry))
        logs[entry.number] = open_log(disk, entry, signer, options, entry.device == device)
        if signer is not None:
            logs[entry.number].settle()
    return logs


def open_log(disk: Disk, entry: LogEntry, signer: Signer | None, options: Options, is_own: bool) -> Log:
    """Raises NotAStore where its files are missing, Corrupt."""
    name = log_folder(entry)
    gone = [part for part in LOG_FILES if not disk.exists(f"{name}/{part}")]
    if gone and (is_own or not _is_of_nothing(disk, entry)):
        raise NotAStore(f"half a store: {', '.join(gone)} of log {entry.number} ({name}) missing; put them back")
    kind = Log if is_own else SparseLog
    return kind.open(disk, name, entry.public_key, signer, entry.number, writable=not options.read_only)


def _is_of_nothing(disk: Disk, entry: LogEntry) -> bool:
    """Whether the files are those of a log of which nothing has come."""
    name = log_folder(entry)
    parts = [f"{name}/{part}" for part in (BLOCKS_FILE, TREE_FILE)]
    return not entry.length and all(disk.exists(part) and not disk.size(part) for part in parts)


def serial_of(chain: Chain, entry: LogEntry) -> int:
    """How many logs of its kind its device had before it."""
    return sum(
        e.device == entry.device and e.kind == entry.kind and e.number < entry.number
        for e in chain.logs.values()
    )


def current_log(chain: Chain, device: int, kind: int) -> LogEntry:
    """The device's open log of a kind; where all were closed, the last one. Raises Corrupt when the roster has none."""
    own = [entry for entry in chain.logs.values() if entry.device == device and entry.kind == kind]
    if not own:
        raise Corrupt(f"the roster has no log of kind {kind} for device {device}", folder.CONTROL)
    return max(own, key=lambda entry: (entry.state == control_codec.OPEN, entry.number))
