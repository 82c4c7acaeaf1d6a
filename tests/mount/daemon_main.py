"""Mounts a drive in this process until it is unmounted: `daemon_main.py STORE POINT [allow-other] [show-versions]`.

Makes the drive where there is none, with keys that every test knows. Says `ready` when the mount answers. The
tests kill this process at any moment; `hyperfs mount` puts a supervisor around the same calls. The variable
HYPERFS_TEST_CLOCK names a file with the nanoseconds by which the drive's wall clock goes wrong, read at each look;
HYPERFS_TEST_FAULT is `NUMBER ERRNO TIMES`: from the operation with this number on, so many of the store's disk fail.
How many there were stands in the log at the end. With the flag `only-told` versions are made when somebody asks for
one, not by the clock too.
"""

import atexit
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import trio

from hyperfs.crypto.keys import DeviceKeys, EpochKeys, RootSeed
from hyperfs.fuse.mount import Mount, MountOptions
from hyperfs.store.files import Disk
from hyperfs.volume import version_maker as versions
from hyperfs.volume.creating import NewDrive, create_store
from hyperfs.volume.opening import open_volume
from hyperfs.volume.options import Options, kernel_time_ns
from hyperfs.volume.volume import Volume

DEVICE_KEYS = DeviceKeys(*(bytes([number]) * 32 for number in (1, 2, 3, 4)))
RESERVE_BYTES = 1 << 20


def wall_clock() -> Callable[[], int]:
    path = os.environ.get("HYPERFS_TEST_CLOCK")
    return (lambda: kernel_time_ns() + int(Path(path).read_text())) if path else kernel_time_ns


def faulty_disk() -> Callable[[Path], Disk]:
    fault = os.environ.get("HYPERFS_TEST_FAULT")
    if not fault:
        return Disk
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from tests.faults.faulty_disk import Plan

    number, error, times = map(int, fault.split())
    plan = Plan(number, error, times)
    atexit.register(lambda: print(f"disk operations: {plan.count}", file=sys.stderr))
    return plan.disk


def nothing_beside(volume: Volume) -> Sequence[Callable[[], Awaitable[object]]]:
    return ()


def main(
    store: Path,
    point: Path,
    flags: list[str],
    disk: Callable[[Path], Disk] = Disk,
    beside: Callable[[Volume], Sequence[Callable[[], Awaitable[object]]]] = nothing_beside,
) -> None:
    """`beside` gives what runs beside the mount."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    if not store.exists():
        epoch = EpochKeys(1, bytes([6]) * 32, bytes([7]) * 32)
        owner = store.parent.stat()
        drive = NewDrive(RootSeed(bytes([5]) * 32), DEVICE_KEYS, epoch, "test", "here", owner.st_uid, owner.st_gid)
        create_store(store, drive, b"no key file is read here", Options(reserve_bytes=RESERVE_BYTES))
    if "only-told" in flags:
        versions.SETTLED_SECONDS = versions.OPEN_SECONDS = 3600.0  # type: ignore[misc]
        versions.SETTLED_NS = 3600 * 10**9  # type: ignore[misc]
    options = Options(read_only="read-only" in flags, disk=disk, wall_ns=wall_clock())
    volume = open_volume(store, DEVICE_KEYS, options)
    mount = Mount(
        volume,
        point,
        MountOptions(
            fsname=str(store),
            allow_other="allow-other" in flags,
            read_only="read-only" in flags,
            show_versions="show-versions" in flags,
        ),
    )
    try:
        trio.run(mount.serve, lambda: print("ready", flush=True), *beside(volume))
    finally:
        mount.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:], faulty_disk())
