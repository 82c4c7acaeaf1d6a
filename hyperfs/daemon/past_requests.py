"""Requests about old versions: their lists, what differs between them, their bytes, and bringing them back."""

import base64
import os
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import trio

from hyperfs.daemon import params as given
from hyperfs.daemon.drive import Drive, in_slices
from hyperfs.daemon.times import iso_time
from hyperfs.daemon.wire import Message, Tell
from hyperfs.errors import IsADirectory, NoSuchVersion, NotFound
from hyperfs.volume import compare, finding, history
from hyperfs.volume import restore as restoring
from hyperfs.volume.changes import DIRECTORY, TRASHED
from hyperfs.volume.history_steps import FileVersion
from hyperfs.volume.last_state import last_state
from hyperfs.volume.paths import find, locate
from hyperfs.volume.restore_preview import preview
from hyperfs.volume.status import device_name

KINDS: Final = {4: "folder", 8: "file", 10: "symlink"}
"""By d_type."""
TOLD_MOST: Final = 1000
"""Differences that the trial of a restore tells. The rest is counted."""
PIECE_BYTES: Final = 1 << 20
"""The most that one `read` answers."""


async def versions(drive: Drive, params: Message, tell: Tell) -> Message:
    """Of a file or folder, newest first; with `limit` no more than so many. In pages."""

    async def begin() -> Iterator[Message]:
        await catch_up(drive, tell)
        limit = given.number(params, "limit") if params.get("limit") is not None else None
        found = islice(history.versions_of(drive.volume, given.path(params)), limit)
        return (_version(drive, version) | {"size": version.size} for version in found)

    return await drive.pages.page(params, "versions", begin)


async def find_deleted(drive: Drive, params: Message, tell: Tell) -> Message:
    """What was deleted at or below `path`, newest first; with `pattern` what matches that; with `limit` no more. In
    pages; the first says the `count` of all."""
    count: Message = {}

    async def begin() -> Iterator[Message]:
        await catch_up(drive, tell)
        pattern = given.path(params, "pattern") if params.get("pattern") is not None else None
        found = await in_slices(finding.find_deleted(drive.volume, given.path(params), pattern))
        things = sorted((thing for thing in found if thing is not None), key=lambda thing: -thing.deleted_ns)
        count["count"] = len(things)
        limit = given.number(params, "limit") if params.get("limit") is not None else None
        return map(_deleted, islice(things, limit))

    return await drive.pages.page(params, "deleted", begin) | count


def _deleted(thing: finding.Found) -> Message:
    return {
        "path": os.fsdecode(thing.path),
        "kind": KINDS.get(thing.kind, "other"),
        "size": thing.size if thing.kind != DIRECTORY else None,
        "deleted": iso_time(thing.deleted_ns),
        "how": "trashed" if thing.how == TRASHED else "deleted",
        "version": thing.version,
        "entry": os.fsdecode(thing.entry) if thing.entry is not None else None,
    }


async def log(drive: Drive, params: Message, tell: Tell) -> Message:
    """The newest `limit` versions that changed something at or below a path. In pages."""

    async def begin() -> Iterator[Message]:
        await catch_up(drive, tell)
        limit = given.number(params, "limit")
        return (_commit(drive, commit) for commit in islice(history.commits(drive.volume, given.path(params)), limit))

    return await drive.pages.page(params, "commits", begin)


def _commit(drive: Drive, commit: history.CommitSummary) -> Message:
    return _version(drive, commit) | {
        "added": commit.added,
        "removed": commit.removed,
        "moved": commit.moved,
        "changed": commit.changed,
        "attributes": commit.attributes,
        "change": commit.change,
    }


def _version(drive: Drive, found: FileVersion | history.CommitSummary) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "version": found.version,
        "time": iso_time(found.time_ns),
        "device": device_name(drive.volume, found.device),
        "name": os.fsdecode(found.name) if found.name is not None else None,
    }
    if isinstance(found, FileVersion):
        facts["change"] = found.change
        facts["let_go"] = found.let_go
    return facts


async def diff(drive: Drive, params: Message, tell: Tell) -> Message:
    """Without `new`: against the present. In pages; the first says which versions they are."""
    which: Message = {}

    async def begin() -> Iterator[Message]:
        await catch_up(drive, tell)
        path, newest = given.path(params), drive.volume.versions.newest.version
        which["old"] = drive.resolve(given.text(params, "old"), path)
        which["new"] = drive.resolve(given.text(params, "new"), path) if params.get("new") else newest
        found = await compare.compare(drive.volume, which["old"], which["new"], path)
        return map(difference_facts, found)

    return await drive.pages.page(params, "differences", begin) | which


async def find_file(drive: Drive, params: Message, tell: Tell) -> Message:
    """What a path meant at a WHEN, or exactly, in a version, by its number: for `read_file`. Raises IsADirectory for
    what has no bytes."""
    path = given.path(params)
    if params.get("version") is not None:
        version = given.number(params, "version")
        tree = drive.volume.versions.tree(version)
        ino = find(tree, path)
        inode = tree.inode(ino) if ino is not None else None
        if inode is None:
            raise NotFound(f"version {version} has no {params['path']!r}")
    else:
        version = drive.resolve(given.text(params, "when"), path)
        inode = locate(drive.volume.overlay.live, drive.volume.versions.tree(version), path)
    if inode.is_directory:
        raise IsADirectory(f"{params['path']!r} was a folder in version {version}: name a file in it")
    return {"version": version, "ino": inode.ino, "size": inode.size}


async def read_file(drive: Drive, params: Message, tell: Tell) -> Message:
    """Up to PIECE_BYTES of a file of a version, as base64."""
    version, ino, offset = (given.number(params, name) for name in ("version", "ino", "offset"))
    tree = drive.volume.versions.tree(version)
    inode = tree.inode(ino)
    if inode is None:
        raise NoSuchVersion(f"version {version} has no inode {ino}")
    size = max(0, min(PIECE_BYTES, inode.size - offset))
    if inode.inline is not None:
        data = inode.inline[offset : offset + size]
        data += bytes(size - len(data))
    else:
        extents = tree.extents(inode.ino, offset, offset + size)
        data = await trio.to_thread.run_sync(drive.volume.content.read, extents, offset, size)
    return {"data": base64.b64encode(data).decode()}


async def restore(drive: Drive, params: Message, tell: Tell) -> Message:
    """Without `when`: the last state of what is gone. `dry_run`: tells what would come, and change."""
    path = given.path(params)
    to = given.path(params, "to") if params.get("to") is not None else None
    await tell("restoring", 0, 0)
    if params.get("when") is None:
        await catch_up(drive, tell)
        version = last_state(drive.volume, path)
    else:
        version = drive.resolve(given.text(params, "when"), path)
    if params.get("dry_run"):
        await catch_up(drive, tell)
        found = await preview(drive.volume, path, version, to)
        told = [difference_facts(difference) for difference in found.differences[:TOLD_MOST]]
        return {
            "version": version,
            "files": found.files,
            "folders": found.folders,
            "bytes": found.bytes,
            "count": len(found.differences),
            "differences": told,
        }
    done = await restoring.restore(drive.volume, path, version, to)
    if drive.mount is not None:
        await drive.mount.forget(done.replaced, (), done.gone)
    return {
        "version": version,
        "files": done.files,
        "folders": done.folders,
        "bytes": done.bytes,
        "made": done.made,
    }


def difference_facts(difference: compare.Difference) -> dict[str, Any]:
    return difference._asdict() | {
        "path": os.fsdecode(difference.path),
        "old_path": os.fsdecode(difference.old_path) if difference.old_path is not None else None,
    }


async def catch_up(drive: Drive, tell: Tell) -> None:
    """The present counts as a version too: what is not one yet becomes one."""
    if not drive.volume.read_only and drive.volume.committer.pending:
        await drive.volume.commit(write_back=False)
    await drive.volume.changes.caught_up(tell)
