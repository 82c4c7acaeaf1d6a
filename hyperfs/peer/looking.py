"""The facts of a cloud peer, gathered: from what it has in memory, so that looking costs no read."""

from hyperfs.log.control_codec import ACTIVE
from hyperfs.peer.drive import HeldDrive
from hyperfs.peer.evidence import in_words
from hyperfs.peer.facts import DriveFacts, LogFacts, PeerFacts
from hyperfs.peer.peer import Peer


def look(peer: Peer) -> PeerFacts:
    """Asks the disk for nothing but its free space."""
    drives = tuple(_drive(drive) for _, drive in sorted(peer.drives.items()))
    return PeerFacts(drives, dict(peer.broken), peer.store.free_bytes(), peer.floor_bytes)


def _drive(drive: HeldDrive) -> DriveFacts:
    chain = drive.chain
    devices = chain.devices.values() if chain is not None else ()
    return DriveFacts(
        drive=drive.id,
        records=len(chain.records) if chain is not None else 0,
        devices=sum(device.state == ACTIVE for device in devices),
        logs=_logs(drive),
        used_bytes=drive.used_bytes,
        quota_bytes=drive.settings.quota_bytes,
        clears_waiting=len(drive.holds.waiting(drive.clears)),
        clears_taken_back=len(drive.holds.cancelled),
        forks_held=len(drive.holds.forks),
        evidence=tuple(in_words(found) for found in drive.dossier.found),
        damaged=len(drive.damaged),
    )


def _logs(drive: HeldDrive) -> tuple[LogFacts, ...]:
    found = []
    for place, head in sorted(drive.heads.items()):
        number = drive.entry(place.log).number
        found.append(LogFacts(number, place.fork, head.length, head.byte_length, drive.is_current(place)))
    return tuple(found)
