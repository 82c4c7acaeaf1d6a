"""Requests about links: making one to this drive, and naming a version of something."""

import os

from hyperfs.daemon import params as given
from hyperfs.daemon.drive import Drive
from hyperfs.daemon.wire import Message, Tell
from hyperfs.errors import Refused
from hyperfs.sharing import making
from hyperfs.syncing import settings

ONLY_WHOLE = (
    "a link opens the whole drive, with all its versions, and not only {}: a key for a part of a drive there is not "
    "yet. Make a drive of its own for what you want to share ('hyperfs mount STORE DIR', then 'hyperfs peer add'), "
    "copy it there or have 'hyperfs follow' keep it equal, and share that one"
)


async def share(drive: Drive, params: Message, tell: Tell) -> Message:
    """A link to the whole drive, or with `at` to one version of it. `behind`: peers that have not got all of it yet."""
    volume = drive.volume
    path = given.path(params)
    if path:
        drive.live_ino(path)
        raise Refused(ONLY_WHOLE.format(repr(os.fsdecode(path))))
    peers = settings.known(volume) if volume.parts.link_keys is None else {}
    if not peers and volume.parts.link_keys is None:
        raise Refused(
            "whoever gets a link reads from a cloud peer, and this drive has none: 'hyperfs peer add CODE' pairs with "
            "one"
        )
    addresses = [peer.address for peer in peers.values()]
    if params.get("at") is None:
        link = making.link_to(volume, addresses)
    else:
        link = making.link_to_version(volume, addresses, drive.resolve(given.text(params, "at"), path))
    for peer in drive.peers.all():
        await peer.refresh()
    behind = [peer.name for peer in drive.peers.all() if peer.lag()[0]]
    return {
        "link": str(link),
        "public": link.public,
        "version": link.version,
        "tree_hash": link.tree.hex() if link.tree is not None else None,
        "drive": link.drive.hex(),
        "peers": [str(address) for address in addresses],
        "behind": behind,
    }
