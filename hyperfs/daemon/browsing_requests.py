"""Requests of whoever looks around in the past: when there were versions, what a folder held, what takes how much.

Everything is made in slices: the mount is served meanwhile. Answers are bounded, whatever the drive holds.
"""

import os
import struct
from base64 import b64encode
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from hyperfs.daemon import params as given
from hyperfs.daemon.drive import Drive, in_slices
from hyperfs.daemon.past_requests import KINDS, catch_up
from hyperfs.daemon.times import iso_time
from hyperfs.daemon.wire import Message, Tell
from hyperfs.errors import BadRequest, NotFound
from hyperfs.volume.inode import Inode
from hyperfs.volume.moments import Moment, moments_of
from hyperfs.volume.paths import find, locate
from hyperfs.volume.sizes import children_sizes
from hyperfs.volume.tree import Tree

MOMENTS_MOST: Final = 150_000
"""In one answer: 16 bytes each, as base64."""
ENTRIES_MOST: Final = 1000
VERSIONS_MOST: Final = 1000
CHILDREN_MOST: Final = 1000


async def moments(drive: Drive, params: Message, tell: Tell) -> Message:
    """The versions behind `after` in which something at or below a path changed, oldest first, with their times.

    Both as base64 of 64-bit little-endian numbers. At most MOMENTS_MOST, the newest ones; `more` says if there were
    others. `let_go` is another number whenever versions were let go meanwhile.
    """
    await catch_up(drive, tell)
    path, after = given.path(params), given.number(params, "after")
    found = await in_slices(moments_of(drive.volume, path, after))
    kept = sorted(found)[-MOMENTS_MOST:]
    return {
        "versions": _packed(kept, 0),
        "times": _packed(kept, 1),
        "more": len(found) > MOMENTS_MOST,
        "let_go": drive.volume.versions.let_go,
    }


def _packed(found: list[Moment], field: int) -> str:
    return b64encode(struct.pack(f"<{len(found)}q", *(moment[field] for moment in found))).decode()


async def snapshots(drive: Drive, params: Message, tell: Tell) -> Message:
    """The snapshots that can be named at a path: those of its folder and of all above."""
    visible = drive.volume.versions.visible_snapshots(drive.folder_of(given.path(params))).values()
    return {
        "snapshots": [
            {"name": os.fsdecode(found.name), "version": found.version, "made": iso_time(found.made_ns)}
            for found in sorted(visible, key=lambda found: -found.made_ns)
        ]
    }


async def folder(drive: Drive, params: Message, tell: Tell) -> Message:
    """What a path was in a version, and of a folder what was in it: `limit` entries by name behind `after` (a name).

    Without `when`: now. Of each entry `now` tells whether the present has the same, other bytes, or no such name.
    """
    path, limit = given.path(params), min(given.number(params, "limit"), ENTRIES_MOST)
    after = given.path(params, "after") if params.get("after") is not None else b""
    version = await _version(drive, params, path, tell)
    live, past = drive.volume.overlay.live, drive.volume.versions.tree(version)
    with drive.volume.reads(version):
        inode = locate(live, past, path)
        facts: dict[str, Any] = _facts(inode)
        if inode.is_directory:
            here = find(live, path)
            found = await in_slices(islice(_entries(past, inode, live, here, after), limit + 1))
            facts["entries"], facts["more"] = found[:limit], len(found) > limit
    commit = drive.volume.versions.commit(version)
    newest = drive.volume.versions.newest.version
    return facts | {"version": version, "time": iso_time(commit.time_ns), "newest": newest}


async def _version(drive: Drive, params: Message, path: bytes, tell: Tell) -> int:
    if params.get("when") is not None:
        return drive.resolve(given.text(params, "when"), path)
    await catch_up(drive, tell)
    return drive.volume.versions.newest.version


def _entries(past: Tree, inode: Inode, live: Tree, here: int | None, after: bytes) -> Iterator[dict[str, Any]]:
    for name, (ino, _) in past.dentries(inode.ino, after):
        entry = past.inode(ino)
        if entry is not None:
            yield _facts(entry) | {"name": os.fsdecode(name), "now": _now(live, here, name, entry)}


def _facts(inode: Inode) -> dict[str, Any]:
    return {
        "kind": KINDS.get(inode.mode >> 12, "other"),
        "size": inode.size,
        "mode": inode.mode,
        "mtime_ns": inode.mtime_ns,
        "target": os.fsdecode(inode.inline or b"") if inode.is_symlink else None,
    }


def _now(live: Tree, here: int | None, name: bytes, past: Inode) -> str:
    """Of a folder only whether there is one: what is in it is not looked at."""
    dentry = live.dentry(here, name) if here is not None else None
    now = live.inode(dentry[0]) if dentry is not None else None
    if now is None:
        return "gone"
    if now.is_directory or past.is_directory:
        return "same" if now.is_directory and past.is_directory else "changed"
    return "same" if _state(now) == _state(past) else "changed"


def _state(inode: Inode) -> tuple[object, ...]:
    return inode.mode, inode.size, inode.mtime_ns, inode.uid, inode.gid, inode.inline or b""


async def written(drive: Drive, params: Message, tell: Tell) -> Message:
    """Of some versions, how long the logs were and how much the drive held. One that is not kept is left out."""
    asked = params.get("versions")
    if not isinstance(asked, list) or len(asked) > VERSIONS_MOST:
        raise BadRequest(f"the request lacks 'versions', a list of at most {VERSIONS_MOST}")
    numbers = [given.number({"version": version}, "version") for version in asked]
    found = await in_slices(_written(drive, version) for version in numbers)
    return {"versions": [facts for facts in found if facts is not None]}


def _written(drive: Drive, version: int) -> dict[str, Any] | None:
    """`wrote`: since the kept version before it. `logs`: the lengths of the device's logs in bytes, by log."""
    volume = drive.volume
    if not volume.versions.is_kept(version):
        return None
    before = volume.versions.before(version)
    now, then = _lengths(drive, version), _lengths(drive, before) if before else {}
    commit = volume.versions.commit(version)
    return {
        "version": version,
        "time": iso_time(commit.time_ns),
        "files": commit.files,
        "bytes": commit.file_bytes,
        "wrote": sum(length - then.get(log, 0) for log, length in now.items()),
        "logs": {str(log): length for log, length in now.items()},
    }


def _lengths(drive: Drive, version: int) -> dict[int, int]:
    """Bytes of the device's two logs at a version."""
    facts = drive.volume.parts.catalog.version(version)
    if facts is None:
        return {}
    content = drive.volume.versions.commit(version).content
    offset, size = drive.volume.parts.logs[facts.log].block_range(facts.index)
    return {content.log: content.byte_length, facts.log: offset + size}


async def space(drive: Drive, params: Message, tell: Tell) -> Message:
    """What the things in a folder of a version hold, largest first, as far as `files` inodes tell."""
    path, most = given.path(params), given.number(params, "files")
    version = await _version(drive, params, path, tell)
    past = drive.volume.versions.tree(version)
    with drive.volume.reads(version):
        inode = locate(drive.volume.overlay.live, past, path)
        if not inode.is_directory:
            raise NotFound(f"{params['path']!r} was no folder in version {version}")
        found = [size for size in await in_slices(children_sizes(past, inode.ino, most)) if size is not None]
    found.sort(key=lambda size: (-size.bytes, size.name))
    return {
        "version": version,
        "time": iso_time(drive.volume.versions.commit(version).time_ns),
        "count": len(found),
        "bytes": sum(size.bytes for size in found),
        "files": sum(size.files for size in found),
        "whole": all(size.whole for size in found),
        "children": [
            size._asdict() | {"name": os.fsdecode(size.name), "kind": KINDS.get(size.kind, "other")}
            for size in found[:CHILDREN_MOST]
        ],
    }
