"""How one version of something is named for others: its drive, its number, its path, and the hash that its writer
signed of the log that ends with it. It opens nothing; who reads the drive can compare.

    hyper://DRIVE+VERSION/PATH?tree=HASH
"""

from typing import Final
from urllib.parse import quote

from hyperfs.volume.paths import near_path
from hyperfs.volume.tree import Tree
from hyperfs.volume.volume import Volume

SCHEME: Final = "hyper://"
NAMES_MOST: Final = 10_000
"""Of each folder on the way up, in search of the name of what is asked about."""


def link_name(drive: bytes, version: int | None, tree: bytes | None, path: bytes) -> str:
    """Without a version: of the drive as it is."""
    which = f"+{version}" if version is not None else ""
    shown = f"?tree={tree.hex()}" if tree is not None else ""
    return f"{SCHEME}{drive.hex()}{which}/{quote(path, safe='/')}{shown}"


def signed_tree(volume: Volume, version: int) -> tuple[int, int, bytes] | None:
    """(log, its length, its tree hash) with which a version ends; None for one that is not kept. Raises NotResident."""
    facts = volume.parts.catalog.version(version)
    if facts is None:
        return None
    return facts.log, facts.index + 1, volume.parts.logs[facts.log].prefix_hash(facts.index + 1)


def name_of(volume: Volume, version: int, tree: Tree, ino: int) -> str | None:
    """Of what has this inode number in a version. None where its path is not found quickly, or it was not there."""
    found, inode = signed_tree(volume, version), tree.inode(ino)
    path = near_path(tree, inode, NAMES_MOST) if inode is not None else None
    if found is None or path is None:
        return None
    return link_name(volume.drive_id, version, found[2], path)
