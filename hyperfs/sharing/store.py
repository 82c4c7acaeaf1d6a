"""The store in which a reader keeps what has come of a drive that he has by a link: in his cache folder, one a link.

    keys    of nobody: by them peers don't know one reader from another
    link    the link, which opens all of it
    ...     as in any store: the control chain, the logs as far as they have come, an index

It can be deleted at any time while it is not mounted. Made in this order: folder, keys, link, logs, format file.
"""

from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Final

import platformdirs

from hyperfs.cloning import asking
from hyperfs.cloning.bringing import Progress, bring
from hyperfs.crypto.keys import LOG_METADATA, DeviceKeys, EpochKeys
from hyperfs.errors import (
    Contradiction,
    Corrupt,
    HyperfsError,
    KeyMissing,
    Misbehaved,
    Refused,
    Unreachable,
    innermost,
)
from hyperfs.log.control import Chain
from hyperfs.log.sparse import SparseLog
from hyperfs.replication.address import Address
from hyperfs.replication.curve import CurveKeyPair
from hyperfs.replication.session import Exchanger, open_exchanger
from hyperfs.sharing import link as links
from hyperfs.sharing.knocking import knock
from hyperfs.sharing.link import Link, Opening, Seen
from hyperfs.store import folder
from hyperfs.store.files import Disk
from hyperfs.volume import by_link, cloning
from hyperfs.volume.device_logs import log_folder

RECORD: Final = "link"
REWRITTEN: Final = (
    "the drive's history was rewritten: what its owner has signed now is not what the link saw of it{}. Its owner, or "
    "a thief of a device, has signed two histories. Nothing is shown"
)


def store_of(link: Link) -> Path:
    """Where what comes by this link is kept."""
    name = blake2b(str(link).encode(), digest_size=8).hexdigest()
    return stores_of_links() / f"{link.drive.hex()[:16]}-{name}"


def stores_of_links() -> Path:
    return Path(platformdirs.user_cache_dir("hyperfs")) / "links"


def link_in(store: Path) -> Link | None:
    """None where the store is none of a link. Raises BadRequest."""
    disk = Disk(store)
    return links.parse(disk.read_all(RECORD).decode(errors="replace")) if disk.exists(RECORD) else None


def opening_of(link: Link) -> Opening:
    """Raises KeyMissing for a link that opens nothing."""
    if link.opening is None:
        raise KeyMissing(
            f"{link.public} names a version and has no key to open it: ask whoever gave it to you for the whole link, "
            "with what stands behind the #"
        )
    return link.opening


def keys_in(link: Link) -> dict[int, EpochKeys]:
    opening = opening_of(link)
    return {number: EpochKeys(number, key, opening.drive_key) for number, key in opening.epochs.items()}


async def bring_store(
    link: Link, store: Path, new_keys: Callable[[], tuple[DeviceKeys, bytes]], progress: Progress
) -> None:
    """Makes the store, of the first of the link's peers that has the drive. What was begun before is begun anew.

    Raises Unreachable with what each peer said, Corrupt where one lies or the history was rewritten, KeyMissing.
    """
    opening = opening_of(link)
    said: list[Exception] = []
    for address in opening.addresses:
        keys, key_file = new_keys()
        _begin(store, link, key_file)
        try:
            async with open_exchanger(CurveKeyPair(keys.transport().secret())) as exchanger:
                await _bring_from(exchanger, address, link, store, progress)
                return
        except* HyperfsError as group:
            said.append(innermost(group))
    serious = next((error for error in said if isinstance(error, Corrupt | Contradiction)), said[0])
    if isinstance(serious, Misbehaved):
        raise Refused(f"the link's peer at {opening.addresses[0].endpoint} is not who it should be: {serious}")
    raise serious


def _begin(store: Path, link: Link, key_file: bytes) -> None:
    disk = Disk(store)
    if store.is_dir() and disk.exists(RECORD) and not disk.exists(folder.FORMAT_FILE):
        _clear(store)  # an attempt that ended early: all of it comes again
    folder.lay_out(store)
    disk.replace(RECORD, f"{link}\n".encode())
    disk.replace(folder.KEYS, key_file)


def _clear(store: Path) -> None:
    import shutil

    shutil.rmtree(store)


async def _bring_from(exchanger: Exchanger, address: Address, link: Link, store: Path, progress: Progress) -> None:
    opening = opening_of(link)
    client = await asking.dial(exchanger, address)
    log = await knock(exchanger, client, opening.log)
    chain = await asking.verified_chain(client, link.drive)
    by_link.checked_keys(chain, keys_in(link))
    heads = await asking.heads_of(client, chain)
    exchanger.remove(log)
    if not heads:
        raise Unreachable("the peer has nothing of this drive yet: try again when its owner has synced")
    whole = [number for number, entry in chain.logs.items() if entry.kind == LOG_METADATA]
    disk = Disk(store)
    await bring(exchanger, client, disk, chain, heads, whole, progress)
    check_seen(disk, chain, opening)
    cloning.put_logs(disk, chain, whole, keys_in(link)[max(opening.epochs)].node_id_key())
    cloning.seal(store, chain, 0)


def check_seen(disk: Disk, chain: Chain, opening: Opening) -> None:
    """That the history here goes on from what the link saw. Raises Corrupt where it was rewritten, Unreachable where
    less of it is here."""
    entry = next((found for found in chain.logs.values() if found.public_key == opening.log), None)
    if entry is None:
        raise Corrupt("the link's log is none of the drive's: the link is forged, or of another drive")
    log = SparseLog.open(disk, log_folder(entry), entry.public_key, None, entry.number, writable=False)
    try:
        compare(log, opening.seen)
    finally:
        log.close()


def compare(log: SparseLog, seen: Seen, about: str = "") -> None:
    """As check_seen, of a log that is open."""
    if log.signed_length < seen.length:
        raise Unreachable(
            f"the peer shows an older state of the drive than the link was made of ({log.signed_length} blocks of its "
            f"history, and it had {seen.length}): it hides what came since, or has not got it yet. Nothing is shown"
        )
    if seen.length and log.prefix_hash(seen.length) != seen.tree_hash:
        raise Corrupt(REWRITTEN.format(about))
