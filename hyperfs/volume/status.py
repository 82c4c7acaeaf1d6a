"""What a drive says of itself: the facts behind `hyperfs status`. Reads only; quick, whatever the drive's size."""

import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import trio

from hyperfs.crypto.keys import LOG_METADATA
from hyperfs.log.control_codec import OPEN, LogEntry
from hyperfs.log.log import Log
from hyperfs.volume import keys
from hyperfs.volume.budget import budget_of
from hyperfs.volume.cloning import MARKER
from hyperfs.volume.creating import NAME_SETTING
from hyperfs.volume.volume import Volume

CONFIRMED_SETTING: Final = b"recovery-confirmed"
"""The fact that somebody has shown the recovery key again since it was given; its value is of no account."""
LITTLE_ROOM: Final = 0.05
LITTLE_ROOM_BYTES: Final = 5 << 30
CLOCK_BEHIND_NS: Final = 2 * 10**9
LINE_MBIT: Final = 50
"""A line for estimates; nobody's is measured."""
BLOCK_BYTES: Final = 512
"""The unit of st_blocks."""


def status(volume: Volume) -> dict[str, Any]:
    """Sizes in bytes, times in ns since 1970, keys and hashes in hex. Walks the store's files, not the drive's."""
    overlay, newest = volume.overlay, volume.versions.newest
    return {
        "drive": volume.drive_id.hex(),
        "name": drive_name(volume),
        "device": device_name(volume, volume.device),
        "read_only_because": volume.parts.why_read_only or volume.journaling.read_only_because,
        "read_only": volume.read_only or volume.journaling.read_only_because is not None,
        "version": newest.version,
        "version_time_ns": newest.time_ns,
        "files": overlay.files,
        "directories": overlay.directories,
        "bytes": overlay.file_bytes,
        "dirty_bytes": volume.files.dirty_bytes,
        "store_bytes": store_bytes(volume.parts.disk.root),
        "resident_bytes": sum(log.size_on_disk() for log in volume.parts.logs.values()),
        "cold_bytes": volume.parts.residence.cold_bytes,
        "freeable_bytes": volume.standing.freeable_bytes,
        "local_budget": budget_of(volume),
        "moving": asdict(volume.standing) | {"fetched_bytes": volume.returning.fetched_bytes},
        "transfer": _transfer(volume),
        "streamed_programs": list(_streamed(volume)),
        "recovery_key_confirmed": is_confirmed(volume),
        "logs": [_log(volume, entry, volume.parts.logs[entry.number]) for entry in volume.parts.chain.logs.values()],
        "peers": [],
        "cold_stores": [],
        "brake": volume.brake.facts(),
        "warnings": list(warnings(volume)),
    }


def _transfer(volume: Volume) -> dict[str, Any]:
    """What there is to move, and for how long that keeps a line busy."""
    standing = volume.standing
    nbytes = {
        "all_back": volume.parts.residence.cold_bytes,
        "to_leave": standing.to_leave_bytes,
        "to_return": standing.to_return_bytes,
    }
    seconds = {f"{what}_seconds": round(8 * size / (LINE_MBIT * 10**6), 1) for what, size in nbytes.items()}
    return {"mbit_per_second": LINE_MBIT, **seconds}


def _log(volume: Volume, entry: LogEntry, log: Log) -> dict[str, Any]:
    head = log.head()
    return {
        "kind": "metadata" if entry.kind == LOG_METADATA else "content",
        "number": entry.number,
        "device": device_name(volume, entry.device),
        "key": log.key.hex(),
        "discovery_key": log.discovery_key.hex(),
        "length": head.length,
        "byte_length": head.byte_length,
        "fork": head.fork,
        "tree_hash": head.tree_hash.hex(),
        "open": entry.state == OPEN,
    }


def drive_name(volume: Volume) -> str:
    return (volume.overlay.live.fact(keys.setting_key(NAME_SETTING)) or b"").decode(errors="replace")


def device_name(volume: Volume, number: int) -> str:
    """As the roster has it; the number where it has none."""
    device = volume.parts.chain.devices.get(number)
    return device.name.decode(errors="replace") if device is not None and device.name else str(number)


def is_confirmed(volume: Volume) -> bool:
    """Whether the recovery key was ever given back; a clone was made with it."""
    if volume.parts.disk.exists(MARKER):
        return True
    return volume.overlay.live.fact(keys.setting_key(CONFIRMED_SETTING)) is not None


async def note_confirmed(volume: Volume) -> None:
    """Remembers, durably, that the recovery key was given back."""
    volume.check_writable()
    volume.overlay.set_fact(keys.setting_key(CONFIRMED_SETTING), b"\1")
    await volume.commit(write_back=False)


def store_bytes(store: Path) -> int:
    """The disk that the store takes, its reserve and derived index included."""
    return sum(_blocks(entry) * BLOCK_BYTES for entry in _files_below(store))


def _blocks(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_blocks
    except FileNotFoundError:
        return 0  # the index replaces its files all the time


def _files_below(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files_below(entry.path)
            else:
                yield entry


def warnings(volume: Volume) -> Iterator[str]:
    """What somebody should look at, in sentences."""
    if volume.brake.is_on:
        yield volume.brake.words()
    yield from volume.warnings.values()
    yield from _elsewhere_warnings(volume)
    if volume.parts.why_read_only:
        yield f"the drive is read-only here: {volume.parts.why_read_only}"
    if volume.journaling.read_only_because:
        yield f"the drive has turned read-only: {volume.journaling.read_only_because}"
    if volume.parts.link_keys is None and not is_confirmed(volume):
        yield (
            "the recovery key was never confirmed: without it and without this computer's key file nobody can open "
            "the drive. See it with 'hyperfs key show', write it down, then give it back to 'hyperfs key confirm'"
        )
    behind = volume.versions.newest.wall_ns - volume.overlay.now_ns()
    if behind > CLOCK_BEHIND_NS:
        yield (
            f"this computer's clock is {behind / 10**9:.0f} s behind the newest version: set it, "
            "or times of versions will be off"
        )
    yield from _room_warnings(volume)


def _streamed(volume: Volume) -> Iterator[dict[str, Any]]:
    """The programs that look at everything, and are not let bring it all back."""
    for program, nbytes, files in volume.scans.scanning(trio.current_time()):
        yield {"program": program.executable, "cgroup": program.cgroup, "bytes": nbytes, "files": files}


def _elsewhere_warnings(volume: Volume) -> Iterator[str]:
    if volume.returning.warning is not None:
        yield f"what is not on this device could not be read: {volume.returning.warning}"
    for program, nbytes, files in volume.scans.scanning(trio.current_time()):
        yield (
            f"{program.name} has read {files} files ({nbytes >> 20} MiB) in ten minutes that were not on this device: "
            f"what it reads is streamed slowly and not kept. 'hyperfs policy allow {program.executable}' lifts that"
        )


def _room_warnings(volume: Volume) -> Iterator[str]:
    free, total = volume.content.room()
    if free < min(LITTLE_ROOM * total, LITTLE_ROOM_BYTES):
        yield f"the disk of the store has {free >> 20} MiB left: when it is full, nothing can be written to the drive"
