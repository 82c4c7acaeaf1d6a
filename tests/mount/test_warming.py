"""A file that is read here and there gets into the kernel's cache by stretches, and nobody is held up by it."""

import ctypes
import mmap
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from hyperfs.fuse.warming import ASKED_AGAIN_AT, STRETCH_BYTES

from .drive import Drive, until

PAGE = 4096
STRETCH_PAGES = STRETCH_BYTES // PAGE
FILE_BYTES = 8 * STRETCH_BYTES
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)


def resident(fd: int) -> list[bool]:
    """Which pages of the file the kernel holds."""
    count = FILE_BYTES // PAGE
    found = (ctypes.c_ubyte * count)()
    with mmap.mmap(fd, FILE_BYTES, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE) as pages:
        address = ctypes.addressof(ctypes.c_char.from_buffer(pages))
        assert _libc.mincore(address, FILE_BYTES, found) == 0, ctypes.get_errno()
    return [bool(page & 1) for page in found]


def opened_cold(drive: Drive) -> tuple[int, bytes]:
    data = random.Random(5).randbytes(FILE_BYTES)
    (drive.point / "folder").mkdir()
    (drive.point / "folder" / "f").write_bytes(data)
    drive.remount()
    fd = os.open(drive.point / "folder" / "f", os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    return fd, data


def warmers(drive: Drive) -> list[int]:
    assert drive.process is not None
    children = Path(f"/proc/{drive.process.pid}/task/{drive.process.pid}/children").read_text().split()
    return [int(pid) for pid in children if b"warmer.py" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def in_stretch(fd: int, number: int) -> int:
    return sum(resident(fd)[number * STRETCH_PAGES : (number + 1) * STRETCH_PAGES])


def test_the_second_scattered_read_of_a_stretch_brings_all_of_it(drive: Drive) -> None:
    fd, data = opened_cold(drive)
    for page in (5 * STRETCH_PAGES + 40, 2 * STRETCH_PAGES + 7, 2 * STRETCH_PAGES + 50):
        assert os.pread(fd, PAGE, page * PAGE) == data[page * PAGE : (page + 1) * PAGE]
    until("the stretch is in the kernel's cache", lambda: in_stretch(fd, 2) == STRETCH_PAGES)
    assert in_stretch(fd, 5) == 1
    assert sum(resident(fd)) == STRETCH_PAGES + 1
    assert os.pread(fd, FILE_BYTES, 0) == data
    os.close(fd)


def test_what_the_kernel_has_dropped_is_brought_again(drive: Drive) -> None:
    fd, _ = opened_cold(drive)
    for round_ in range(2):
        for page in range(STRETCH_PAGES - 1, STRETCH_PAGES - 1 - ASKED_AGAIN_AT, -1):
            os.pread(fd, PAGE, page * PAGE)
        until(f"the stretch is there in round {round_}", lambda: in_stretch(fd, 0) == STRETCH_PAGES)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        assert in_stretch(fd, 0) == 0
    os.close(fd)


def test_reading_in_sequence_needs_no_child(drive: Drive) -> None:
    fd, data = opened_cold(drive)
    assert b"".join(os.pread(fd, PAGE, at) for at in range(0, FILE_BYTES, PAGE)) == data
    assert warmers(drive) == []
    os.close(fd)


@pytest.mark.parametrize("end", [Drive.unmount, Drive.kill])
def test_the_child_ends_with_the_mount_however_that_ends(drive: Drive, end: Callable[[Drive], None]) -> None:
    fd, _ = opened_cold(drive)
    for page in (50, 7, 9):
        os.pread(fd, PAGE, page * PAGE)
    until("there is a child", lambda: warmers(drive))
    (child,) = warmers(drive)
    until("the stretch is in the kernel's cache", lambda: in_stretch(fd, 0) == STRETCH_PAGES)
    os.close(fd)
    until("the child lets go of the file", lambda: len(os.listdir(f"/proc/{child}/fd")) == 3)
    end(drive)
    until("the child is gone", lambda: not alive(child))


def alive(pid: int) -> bool:
    try:
        return b"warmer.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
