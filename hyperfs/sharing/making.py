"""Making a link to a drive that is open here."""

from collections.abc import Iterable

from hyperfs.errors import NoSuchVersion, Refused
from hyperfs.replication.address import Address
from hyperfs.sharing.link import Link, Opening, Seen
from hyperfs.volume.link_name import signed_tree
from hyperfs.volume.volume import Volume


def link_to(volume: Volume, addresses: Iterable[Address]) -> Link:
    """To the drive as it is and will be. Raises Refused."""
    newest = volume.versions.newest.version
    if not newest:
        raise Refused("there is no version of this drive yet: write something to it first")
    return Link(volume.drive_id, _opening(volume, addresses, *_signed(volume, newest)))


def link_to_version(volume: Volume, addresses: Iterable[Address], version: int) -> Link:
    """To one version. Raises NoSuchVersion, Refused."""
    volume.versions.commit(version)
    log, length, tree = _signed(volume, version)
    return Link(volume.drive_id, _opening(volume, addresses, log, length, tree), version, tree)


def _signed(volume: Volume, version: int) -> tuple[int, int, bytes]:
    found = signed_tree(volume, version)
    if found is None:
        raise NoSuchVersion(f"version {version} is not in the index")
    return found


def _opening(volume: Volume, addresses: Iterable[Address], log: int, length: int, tree: bytes) -> Opening:
    parts = volume.parts
    if parts.link_keys is not None:
        raise Refused("this drive is another's: pass on the link by which it came to you")
    keys = parts.sealer.epoch_keys
    epochs = {number: found.epoch_key for number, found in keys.items()}
    drive_key = keys[max(keys)].drive_key
    return Opening(tuple(addresses), parts.chain.logs[log].public_key, Seen(length, tree), epochs, drive_key)
