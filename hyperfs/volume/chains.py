"""A newer control chain, as a peer has it: taken in by a drive that is open, or put into a store that is not.

The files of logs that it names and that are new here come first, empty; then the chain. So a crash leaves the old
chain, or the new one with all its logs.
"""

from hyperfs.errors import Contradiction
from hyperfs.log.cleared import Cleared
from hyperfs.log.control import Chain
from hyperfs.log.control_codec import LogEntry
from hyperfs.log.log import BLOCKS_FILE, HEADS_FILE, TREE_FILE
from hyperfs.log.sparse import SparseLog
from hyperfs.store import folder
from hyperfs.store.files import Disk
from hyperfs.volume import writers
from hyperfs.volume.device_logs import log_folder
from hyperfs.volume.volume import Volume


def take_newer(volume: Volume, newer: Chain) -> None:
    """Durable when it returns. Where this device may write no more, the drive is read-only from then on, and says why.

    Raises Contradiction where it doesn't go on from the chain that is here, OSError.
    """
    parts = volume.parts
    if newer.records == parts.chain.records:
        return
    if not newer.continues(parts.chain):
        raise Contradiction("the control chain that a peer has does not go on from the one that is here")
    put_chain(parts.disk, newer)
    for number, entry in newer.logs.items():
        if number not in parts.logs:
            log = SparseLog.open(parts.disk, log_folder(entry), entry.public_key, None, number)
            parts.residence.add(number, log, log_folder(entry))
            parts.logs[number] = log
    parts.chain = newer
    parts.sealer.admit(parts.epochs_of(newer), {cipher for found in newer.epochs.values() for cipher in found.ciphers})
    parts.catalog.cleared = Cleared.of(newer.records)
    why = writers.why_barred(newer, parts.device)
    if parts.why_read_only is not None and parts.link_keys is None:
        now = why or writers.why_not_now(newer, parts.device, parts.newest_at[0] or None, has_versions=False)
        parts.why_read_only = now or parts.why_read_only
    if why is not None and not volume.read_only:
        volume.journaling.read_only_because = why


def put_chain(disk: Disk, chain: Chain) -> None:
    """The files of logs of which there are none, then the chain."""
    for entry in chain.logs.values():
        make_empty(disk, entry)
    disk.replace(folder.CONTROL, chain.encode())


def make_empty(disk: Disk, entry: LogEntry) -> None:
    """The files of another device's log of which nothing has come, unless there are any; durable when it returns."""
    name = log_folder(entry)
    missing = [part for part in (BLOCKS_FILE, TREE_FILE) if not disk.exists(f"{name}/{part}")]
    if disk.exists(f"{name}/{HEADS_FILE}") or not missing:
        return
    disk.makedirs(name)
    for part in missing:
        disk.open(f"{name}/{part}", create=True).close()
    disk.sync_folder(name)
