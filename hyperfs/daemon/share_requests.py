"""Requests about links: making one to this drive or to a folder of it, and which folders have one."""

import os
from collections.abc import Iterable
from typing import Any, Final

from hyperfs.daemon import params as given
from hyperfs.daemon.drive import Drive
from hyperfs.daemon.shared_folder import SharedFolder
from hyperfs.daemon.shared_folders import SharedFolders
from hyperfs.daemon.times import iso_time
from hyperfs.daemon.wire import Message, Tell
from hyperfs.errors import NotADirectory, NotFound, Refused
from hyperfs.replication.address import Address
from hyperfs.sharing import making
from hyperfs.sharing.folder_store import ShareRecord, stores_in
from hyperfs.sharing.link import Link
from hyperfs.sharing.mirror_scope import Shared, place_rules
from hyperfs.syncing import settings
from hyperfs.values import ROOT_INO
from hyperfs.volume.inode import Inode
from hyperfs.volume.paths import find, near_path

NAMES_LOOKED_AT: Final = 100_000


async def share(drive: Drive, params: Message, tell: Tell) -> Message:
    """A link to the whole drive or to a folder, or with `at` to one version of it. `behind`: peers that have not got
    all of it yet; `bytes`: what a folder takes a second time."""
    volume = drive.volume
    path = given.path(params)
    ino = drive.live_ino(path)
    peers = settings.known(volume) if volume.parts.link_keys is None else {}
    if not peers and volume.parts.link_keys is None:
        raise Refused(
            "whoever gets a link reads from a cloud peer, and this drive has none: 'hyperfs peer add CODE' pairs with "
            "one"
        )
    addresses = [peer.address for peer in peers.values()]
    shown, nbytes = drive, None
    if ino != ROOT_INO:
        shown = await _drive_of(await _shared(drive, ino, path), tell)
        nbytes = shown.volume.overlay.file_bytes
    if params.get("at") is None:
        link = making.link_to(shown.volume, addresses)
    else:
        when = shown.resolve(given.text(params, "at"), b"" if shown is not drive else path)
        link = making.link_to_version(shown.volume, addresses, when)
    return _told(link, addresses) | {"behind": await _behind(shown, peers), "bytes": nbytes}


def _told(link: Link, addresses: Iterable[Address]) -> Message:
    return {
        "link": str(link),
        "public": link.public,
        "version": link.version,
        "tree_hash": link.tree.hex() if link.tree is not None else None,
        "drive": link.drive.hex(),
        "peers": [str(address) for address in addresses],
    }


async def _behind(shown: Drive, names: Iterable[str]) -> list[str]:
    found = {peer.name: peer for peer in shown.peers.all()}
    for peer in found.values():
        await peer.refresh()
    return [name for name in names if name not in found or found[name].lag()[0]]


# Folders


async def _shared(drive: Drive, ino: int, path: bytes) -> SharedFolder:
    """The folder, shared from now on. Raises NotADirectory, Refused."""
    folder = drive.volume.overlay.inode(ino)
    if not folder.is_directory:
        raise NotADirectory(f"{os.fsdecode(path)!r} is a file: a drive or a folder is shared")
    shared = _all(drive)
    await drive.volume.commit()
    _check_places(drive, folder, path)
    return await shared.share(folder, path)


def _all(drive: Drive) -> SharedFolders:
    if drive.volume.parts.link_keys is not None:
        raise Refused("this drive is another's: pass on the link by which it came to you")
    if drive.mount is None and drive.shared is None:
        raise Refused("folders are shared while their drive is mounted: 'hyperfs mount' mounts it")
    drive.volume.check_writable()
    if drive.shared is None:
        raise Refused("the drive was mounted read-only: mount it again")
    return drive.shared


def _check_places(drive: Drive, folder: Inode, path: bytes) -> None:
    """Raises Refused where a policy keeps the folder from a peer."""
    versions = drive.volume.versions
    tree = versions.whole_tree(versions.newest.version)
    places = frozenset(settings.known(drive.volume))
    if not Shared(tree, folder.ino, places, place_rules(tree)).may_go:
        raise Refused(
            f"by its policy 'places', {os.fsdecode(path)!r} may not go to all of the drive's peers "
            f"({', '.join(sorted(places))}), from which a reader gets it: 'hyperfs policy show' says where that comes "
            "from"
        )


async def _drive_of(folder: SharedFolder, tell: Tell) -> Drive:
    """Its own drive, once that has been equal to it. Raises Refused where it can't be now."""
    while folder.done is None and folder.trouble is None:
        drive = folder.drive
        await tell("copying the folder", drive.volume.overlay.files if drive is not None else 0, 0)
        await folder.moved()
    if folder.drive is None or folder.done is None:
        raise Refused(f"the folder can't be shared at the moment: {folder.words()}. It is tried again")
    return folder.drive


async def list_shared(drive: Drive, params: Message, tell: Tell) -> Message:
    """The folders that are shared, oldest first."""
    if drive.shared is not None:
        return {"folders": [await _folder_facts(drive, folder) for folder in drive.shared.all()]}
    records = [store.record() for store in stores_in(drive.store) if store.is_made and not store.is_ended]
    return {"folders": [_standing(record) for record in sorted(records, key=lambda record: record.made_ns)]}


def _standing(record: ShareRecord) -> dict[str, Any]:
    """Of a drive that is not mounted, or read-only."""
    unknown = dict.fromkeys(("bytes", "files", "version", "link"))
    trouble = "it stands still while the drive is not mounted to be written to"
    return unknown | {
        "path": os.fsdecode(record.path),
        "is_there": True,
        "since": iso_time(record.made_ns),
        "behind_bytes": {},
        "trouble": trouble,
    }


async def _folder_facts(drive: Drive, folder: SharedFolder) -> dict[str, Any]:
    live, record = drive.volume.overlay.live, folder.record
    inode = live.inode(record.folder)
    path = None if inode is None else near_path(live, inode, NAMES_LOOKED_AT)
    shown = folder.drive
    link = None
    if shown is not None and folder.done is not None:
        addresses = [peer.address for peer in settings.known(drive.volume).values()]
        link = str(making.link_to(shown.volume, addresses)) if addresses else None
    facts = await folder.facts()
    where = {"path": os.fsdecode(record.path if path is None else path), "is_there": inode is not None}
    return facts | where | {"since": iso_time(record.made_ns), "link": link}


async def stop_sharing(drive: Drive, params: Message, tell: Tell) -> Message:
    """Ends it; `not_told`: peers that have what was there until they can be reached."""
    shared, path = _all(drive), given.path(params)
    ino = find(drive.volume.overlay.live, path)
    folder = shared.of(ino) if ino is not None else shared.that_lay_at(path)
    if folder is None:
        raise NotFound(f"{os.fsdecode(path)!r} is not shared: 'hyperfs share --list' tells what is")
    await tell("taking it away", 0, 0)
    return {"path": os.fsdecode(path), "not_told": await shared.stop(folder)}
