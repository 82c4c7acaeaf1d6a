"""The newest version that the logs of others have come to hold, in the place of the one that is shown.

For a volume that is only read, while it is open. Whoever has the logs grow calls `advance` when what a version needs
is there: its tree, and the head of its content.
"""

from typing import NamedTuple

from hyperfs.crypto.keys import LOG_METADATA
from hyperfs.errors import Corrupt, FormatTooNew, IndexDamaged
from hyperfs.log.cleared import Cleared
from hyperfs.trie.diff import diff
from hyperfs.trie.node import Ref
from hyperfs.values import ROOT_INO
from hyperfs.volume import by_link, keys, writers
from hyperfs.volume.catch_up import catch_up
from hyperfs.volume.entries import kind_of_key
from hyperfs.volume.newest import newest_commit
from hyperfs.volume.options import no_progress
from hyperfs.volume.volume import Volume

_ABOUT_INODES = (keys.INODE, keys.EXTENT, keys.XATTR)


class Advanced(NamedTuple):
    """What the kernel knows and is so no more."""

    version: int
    names: list[tuple[int, bytes]]
    inodes: list[int]


def advance(volume: Volume) -> Advanced | None:
    """None where nothing is newer, or the content that it rests on has not come so far. Trio thread.

    Raises NotResident for what has to come first, and has changed nothing then; Corrupt, IndexDamaged.
    """
    parts = volume.parts
    lengths = _lengths(volume)
    found = newest_commit(parts.nodes, lengths)
    now = volume.versions.newest
    if found is None or found[0].version <= now.version:
        return None
    commit = found[0]
    content = parts.logs.get(commit.content.log)
    if content is None or content.signed_length < commit.content.length:
        return None
    names, inodes = _changes(volume, now.root, commit.root)
    try:
        catch_up(parts.catalog, parts.nodes, parts.logs, found, no_progress)
    except IndexDamaged:  # the version that is shown was let go meanwhile, and with it the place to go on from
        parts.catalog.begin_anew()
        catch_up(parts.catalog, parts.nodes, parts.logs, found, no_progress)
    parts.catalog.cleared = Cleared.of(parts.chain.records)
    before = volume.overlay.live.root
    overlay = volume.overlay
    overlay.live.root = commit.root
    overlay.files, overlay.directories, overlay.file_bytes = commit.files, commit.directories, commit.file_bytes
    volume.committer.newest, parts.newest_at = commit, (found[1], found[2])
    for ino in inodes:
        _renew(volume, ino, before)
    return Advanced(commit.version, names, inodes)


def _lengths(volume: Volume) -> dict[int, int]:
    parts = volume.parts
    found = {}
    for number, entry in parts.chain.logs.items():
        if entry.kind == LOG_METADATA and number in parts.logs:
            length = writers.readable_length(entry, parts.device, parts.logs[number].signed_length)
            found[number] = by_link.readable_length(parts.logs[number], length, parts.sealer.epoch_keys)
    return found


def _changes(volume: Volume, old: Ref | None, new: Ref | None) -> tuple[list[tuple[int, bytes]], list[int]]:
    names: list[tuple[int, bytes]] = []
    inodes: dict[int, None] = {}
    for key, _, _ in diff(volume.parts.nodes.load, old, new):
        ino, kind = int.from_bytes(key[:8], "big"), kind_of_key(key)
        if kind == keys.DENTRY:
            names.append((ino, key[keys.PREFIX_BYTES :]))
            inodes[ino] = None
        elif kind in _ABOUT_INODES:
            inodes[ino] = None
    return names, list(inodes)


def _renew(volume: Volume, ino: int, before: Ref | None) -> None:
    """The object that stands for an inode becomes what it is now; one that is no more keeps what it was, if in use."""
    overlay = volume.overlay
    try:
        known = overlay.known(ino)
        now = overlay.live.inode(ino)
    except (Corrupt, FormatTooNew):
        return
    if known is None:
        return
    if now is not None:
        known.become(now)
    elif known.users and ino != ROOT_INO:
        overlay.keep_orphan(known, before)
    else:
        overlay.table.pop(ino, None)
