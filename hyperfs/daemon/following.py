"""A drive that another device writes to, or that is open by a link: whom it follows here, and how far."""

from typing import Any

from hyperfs.daemon.drive import Drive
from hyperfs.daemon.times import iso_time
from hyperfs.fuse.mount import Mount
from hyperfs.syncing.following import Following
from hyperfs.syncing.leading import Leads
from hyperfs.volume import writers
from hyperfs.volume.completing import is_incomplete
from hyperfs.volume.volume import Volume


def is_follower(volume: Volume) -> bool:
    """Whether it is a device's own copy of a drive that another device writes to, and may grow."""
    parts = volume.parts
    may_grow = parts.link_keys is None and parts.keeps and parts.why_read_only is not None
    is_in = may_grow and writers.why_barred(parts.chain, parts.device) is None
    return is_in and not parts.metadata_log.signed_length


def follow(drive: Drive, mount: Mount) -> Following:
    """From now on the drive's peers are followed."""
    volume = drive.volume
    following = Following(volume, mount.show_newer, from_start=False)
    following.shows = not is_incomplete(volume.parts.chain, volume.parts.logs)
    drive.peers.home.leads = Leads(following)
    return following


def facts(drive: Drive) -> dict[str, Any] | None:
    """For `status`; None of a drive that nobody is followed in."""
    leads, reader = drive.peers.home.leads, drive.reader
    if leads is not None:
        at = next((peer for peer in drive.peers.all() if peer.link and peer.link.client.session is leads.leader), None)
        where = at.name if at is not None else None
        found = _standing(drive, leads.following)
        return found | {"at": where, "trouble": None if where else _trouble(drive)}
    if reader is not None and reader.following.shows:
        where = str(reader.connected_to.endpoint) if reader.connected_to is not None else None
        return _standing(drive, reader.following) | {"at": where, "trouble": None if where else reader.trouble}
    return None


def _standing(drive: Drive, following: Following) -> dict[str, Any]:
    volume = drive.volume
    newest = volume.versions.newest
    writer = writers.writer(volume.parts.chain)
    return {
        "writer": writers.name_of(volume.parts.chain, writer) if writer is not None else None,
        "version": newest.version,
        "time": iso_time(newest.time_ns),
        "behind_blocks": following.behind_blocks(),
    }


def _trouble(drive: Drive) -> str | None:
    found = [peer.trouble.words(peer.name) for peer in drive.peers.all() if peer.trouble is not None]
    return "; ".join(found) or None
