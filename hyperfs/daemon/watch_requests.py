"""The stream of changes, a page at a time: who asks says behind which place, so nothing is lost with this process."""

import os
from collections.abc import Iterator
from typing import Any, Final

import trio

from hyperfs.daemon import params as given
from hyperfs.daemon.drive import Drive
from hyperfs.daemon.times import iso_time
from hyperfs.daemon.wire import Message, Tell
from hyperfs.errors import BadRequest
from hyperfs.volume.change_stream import Cursor, Told, stream
from hyperfs.volume.pace import Pace
from hyperfs.volume.status import device_name

PAGE_CHANGES: Final = 1000
PAGE_BYTES: Final = 256 << 10
"""Of paths in a page: in JSON six times that at most."""
PAGE_SECONDS: Final = 1.0
"""A page is told after so long, however little is in it."""
WAIT_SECONDS: Final = 10.0
"""So long for a new version, before an empty page shows whether anybody still listens."""
FEW_VERSIONS: Final = 20
STREAMS_MOST: Final = 8
"""Streams that are kept to go on with: else a large version would be begun anew for each page."""


async def changes(drive: Drive, params: Message, tell: Tell) -> Message:
    """What changed below a path behind a cursor; waits for a change where there is none. Without a cursor: from now."""
    path = given.path(params)
    if params.get("cursor") is None:
        return _page(Cursor(await _newest(drive)), [], True)
    cursor = Cursor.parse(given.text(params, "cursor"))
    newest = drive.volume.versions.newest.version
    if max(cursor.version, cursor.into) > newest:
        raise BadRequest(f"version {max(cursor.version, cursor.into)} is still to come: the newest is {newest}")
    if cursor == Cursor(newest) and params.get("wait"):
        with trio.move_on_after(WAIT_SECONDS):
            await drive.volume.committer.made.wait()
    if newest - cursor.version > FEW_VERSIONS:
        await drive.volume.changes.caught_up()  # so that versions in which nothing happened there are passed over
    return await _next_page(drive, path, cursor)


async def changed(drive: Drive, params: Message, tell: Tell) -> Message:
    """Up to PAGE_CHANGES things that one version changed below a path, since the kept version `before` it; `whole` if
    that is all."""
    path, version = given.path(params), given.number(params, "version")
    before = drive.volume.versions.before(version)
    told: list[dict[str, Any]] = []
    pace = Pace()
    for item in stream(drive.volume, path, Cursor(before)):
        if isinstance(item, Told):
            told.append(_told(drive, item))
        elif item.version >= version:
            return {"before": before, "changes": told, "whole": True}
        if len(told) >= PAGE_CHANGES:
            break
        await pace.turn()
    return {"before": before, "changes": told, "whole": False}


async def _newest(drive: Drive) -> int:
    """The present counts as a version: what is not one yet becomes one, and is not told."""
    volume = drive.volume
    if not volume.read_only and volume.committer.pending:
        await volume.commit(write_back=False)
    return volume.versions.newest.version


async def _next_page(drive: Drive, path: bytes, cursor: Cursor) -> Message:
    items = drive.watched.pop((path, str(cursor)), None) or stream(drive.volume, path, cursor)
    told: list[dict[str, Any]] = []
    nbytes = 0
    begun, pace = trio.current_time(), Pace()
    for item in items:
        if isinstance(item, Told):
            told.append(_told(drive, item))
            nbytes += len(item.difference.path) + len(item.difference.old_path or b"")
            cursor = item.behind
        else:
            cursor = item
        enough = len(told) >= PAGE_CHANGES or nbytes >= PAGE_BYTES
        if enough or trio.current_time() - begun >= PAGE_SECONDS:
            _keep(drive, path, cursor, items)
            return _page(cursor, told, False)
        await pace.turn()
    return _page(cursor, told, True)


def _keep(drive: Drive, path: bytes, cursor: Cursor, items: Iterator[Told | Cursor]) -> None:
    drive.watched[path, str(cursor)] = items
    if len(drive.watched) > STREAMS_MOST:
        drive.watched.popitem(last=False)


def _page(cursor: Cursor, told: list[dict[str, Any]], caught_up: bool) -> Message:
    return {"changes": told, "cursor": str(cursor), "caught_up": caught_up}


def _told(drive: Drive, told: Told) -> dict[str, Any]:
    difference = told.difference
    return {
        "version": told.facts.version,
        "time": iso_time(told.facts.time_ns),
        "device": device_name(drive.volume, drive.volume.versions.commit(told.facts.version).device),
        "kind": difference.kind,
        "path": os.fsdecode(difference.path),
        "old_path": os.fsdecode(difference.old_path) if difference.old_path is not None else None,
        "old_size": difference.old_size,
        "new_size": difference.new_size,
        "resume": str(told.behind),
    }
