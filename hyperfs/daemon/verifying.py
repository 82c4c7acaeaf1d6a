"""Verify as a request: in a thread, with what it remembers kept on this machine until it has come to its end.

Not in the store, which verifying leaves alone. What is remembered holds for one store folder, and not for copies of
it: another disk has other damage.
"""

import hashlib
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import trio

from hyperfs.daemon import last_verify
from hyperfs.daemon.drive import Drive
from hyperfs.daemon.times import iso_time
from hyperfs.daemon.wire import Message, Tell
from hyperfs.errors import HyperfsError, IndexDamaged, Refused, StoreLocked
from hyperfs.log.control import Chain
from hyperfs.store import folder
from hyperfs.store.index import KeyValue
from hyperfs.store.memory import MemoryIndex
from hyperfs.store.rocksdb import RocksIndex
from hyperfs.volume import check
from hyperfs.volume.check_state import CheckState, Session, StateDamaged
from hyperfs.volume.options import Progress

TELL_SECONDS: Final = 0.1
"""Progress is told no more often: each time costs a change of threads."""

log = logging.getLogger("hyperfs.verify")


def store_name(drive_id: bytes, store: Path) -> str:
    """Names a drive in one store folder; it goes when the folder is made anew."""
    facts = store.stat()
    which = hashlib.blake2b(f"{store.resolve()} {facts.st_dev} {facts.st_ino}".encode(), digest_size=8)
    return f"{drive_id.hex()}-{which.hexdigest()}"


@contextmanager
def check_state(drive_id: bytes, store: Path, restart: bool = False) -> Iterator[CheckState]:
    """What a verify of this store remembers. When the block ends well there is nothing to go on with any more.

    Raises Refused while another verify of the store runs. Where it can't be kept, a verify begins at the beginning.
    """
    kept = last_verify.folder() / f"{store_name(drive_id, store)}.running"
    index = _open(kept, restart)
    try:
        yield CheckState(index)
    except StateDamaged as error:
        index.close()
        shutil.rmtree(kept, ignore_errors=True)
        raise Refused(f"what a verify had noted can't be read any more ({error}): the next begins anew") from error
    except BaseException:
        index.close()
        raise
    index.close()
    shutil.rmtree(kept, ignore_errors=True)


def _open(kept: Path, restart: bool) -> KeyValue:
    try:
        kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            index = RocksIndex(kept, small=True)
        except IndexDamaged:
            shutil.rmtree(kept)
            return RocksIndex(kept, small=True)
        if restart:
            index.close()
            shutil.rmtree(kept)
            index = RocksIndex(kept, small=True)
    except StoreLocked:
        raise Refused("this store is being verified already: wait for that, or stop it and begin again") from None
    except (OSError, IndexDamaged) as error:
        log.warning("verify can't be gone on with when it is interrupted: %s", error)
        return MemoryIndex()
    return index


def from_thread(tell: Tell) -> Progress:
    """Progress as work in another thread tells it, no more often than anybody can read. Ends the work when the
    request is cancelled, by raising."""
    told = time.monotonic()

    def progress(what: str, done: int, of: int) -> None:
        nonlocal told
        trio.from_thread.check_cancelled()
        if time.monotonic() - told > TELL_SECONDS:
            told = time.monotonic()
            trio.from_thread.run(tell, what, done, of)

    return progress


async def verify(drive: Drive, params: Message, tell: Tell) -> Message:
    """Reads everything; may take hours. What is written while it runs may be covered or not."""
    volume = drive.volume
    if not volume.read_only:
        await volume.commit()
    await drive.have_whole()
    if volume.collecting.locked():
        raise Refused("a prune, or another verify, is reading the whole drive: try again when it is done")
    version = volume.versions.newest.version

    def run() -> check.Report:
        with check_state(volume.drive_id, drive.store, params.get("restart") is True) as state:
            return check.verify(volume.parts, from_thread(tell), state)

    async with volume.collecting:
        report = await trio.to_thread.run_sync(run)
    return conclude(volume.drive_id, drive.store, version, report)


def conclude(drive_id: bytes, store: Path, version: int, report: check.Report) -> Message:
    """The answer for JSON, and remembered for `status`."""
    try:
        last_verify.remember(store_name(drive_id, store), version, len(report.damage))
    except OSError as error:
        log.warning("when this was is not remembered: %s", error)
    return {
        "checked": report.checked,
        "damage": [_damage(found) for found in report.damage],
        "sessions": [_session(session) for session in report.sessions],
    }


def _damage(found: check.Damage) -> dict[str, Any]:
    return {
        "what": found.what,
        "where": found.where,
        "paths": [os.fsdecode(path) for path in found.paths],
        "versions": list(found.versions),
    }


def _session(session: Session) -> dict[str, Any]:
    return {
        "began": iso_time(session.began_ns),
        "ended": iso_time(session.last_ns),
        "blocks": session.blocks,
        "bytes": session.bytes,
        "nodes": session.nodes,
    }


def drive_of(store: Path) -> bytes:
    """The drive's id by the control chain, or else by the format file. Raises Corrupt and its like for neither."""
    try:
        return Chain.parse((store / folder.CONTROL).read_bytes()).drive_id
    except (HyperfsError, FileNotFoundError):
        return folder.inspect(store, need_keys=False).drive_id
