"""How a peer fares: for `status` and `peer list`."""

from typing import Any, Final

import trio

from hyperfs.syncing.attested import DAY_NS
from hyperfs.syncing.home import Home
from hyperfs.syncing.synced_peer import SyncedPeer

STALE_NS: Final = DAY_NS
"""A peer that has been behind for so long is named in `status`."""
_NS: Final = 10**9


def facts(peer: SyncedPeer, home: Home) -> dict[str, Any]:
    """Times in ns, 0 for never."""
    lag = peer.lag()
    now_ns = home.now_ns()
    receipt_ns, audit_ns = peer.attested.newest_ns, peer.attested.audited_ns
    if not lag.blocks:
        seconds = 0.0
    elif peer.since is not None:
        seconds = trio.current_time() - peer.since
    else:
        seconds = max(0, now_ns - (receipt_ns or peer.known.added_ns)) / _NS
    link = peer.link
    session = link.client.session if link is not None else None
    space = peer.space
    return {
        "name": peer.name,
        "address": str(peer.known.address),
        "key": peer.known.address.key.hex(),
        "added_ns": peer.known.added_ns,
        "connected": peer.is_connected,
        "lag_blocks": lag.blocks,
        "lag_bytes": lag.nbytes,
        "elsewhere_bytes": lag.away_bytes,
        "lag_seconds": round(seconds, 1),
        "withheld_bytes": 0 if peer.portion.permits.is_stale else peer.portion.withheld_bytes(),
        "attested_blocks": sum(peer.proven(number).blocks for number, _ in home.logs()),
        "last_receipt_ns": receipt_ns,
        "last_audit_ns": audit_ns,
        "waits_for_survey": peer.portion.permits.is_stale,
        "metered": link is not None and link.feeding.is_metered,
        "sent_bytes": peer.sent_bytes + (session.sent_bytes if session else 0),
        "received_bytes": peer.received_bytes + (session.received_bytes if session else 0),
        "used_bytes": space.used_bytes if space else None,
        "quota_bytes": space.quota_bytes if space else None,
        "free_bytes": space.free_bytes if space else None,
        "trouble": peer.trouble.words(peer.name) if peer.trouble is not None else None,
    }


def stale(peer: SyncedPeer, home: Home) -> str | None:
    """A warning, where it has been behind for long."""
    lag = peer.lag()
    since_ns = home.now_ns() - max(peer.attested.newest_ns, peer.known.added_ns)
    if not lag.blocks or since_ns < STALE_NS:
        return None
    return (
        f"the peer {peer.name} has had nothing new for {since_ns / DAY_NS:.1f} days: {lag.nbytes} bytes are not "
        "there that are to be; 'hyperfs peer list' says why"
    )
