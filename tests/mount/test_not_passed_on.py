"""What the kernel or pyfuse3 does not pass on to a drive: docs/posix.md says what programs see, row by row."""

import ctypes
import errno
import fcntl
import os
import subprocess
from pathlib import Path

import pytest

from .kernel_calls import renameat2
from .test_names import failing

_libc = ctypes.CDLL(None, use_errno=True)

KEEP_SIZE, PUNCH_HOLE, COLLAPSE, ZERO, INSERT = 0x1, 0x2, 0x8, 0x10, 0x20
RENAME_WHITEOUT = 4
FICLONE = 0x40049409
FS_IOC_GETFLAGS = 0x80086601
FS_IOC_FSGETXATTR = 0x801C581F
O_TMPFILE = 0o20200000
AT_EMPTY_PATH = 0x1000
SYS_STATX = 332
STATX_BTIME = 0x800


@pytest.fixture
def file(mounted: Path) -> Path:
    path = mounted / "f"
    path.write_bytes(b"x" * 100_000)
    return path


@pytest.mark.parametrize("mode", [0, KEEP_SIZE, PUNCH_HOLE | KEEP_SIZE, ZERO, COLLAPSE, INSERT])
def test_fallocate(file: Path, mode: int) -> None:
    with file.open("r+b") as opened:
        assert _libc.fallocate(opened.fileno(), mode, ctypes.c_long(0), ctypes.c_long(200_000)) == -1
        assert ctypes.get_errno() == errno.EOPNOTSUPP
        os.posix_fallocate(opened.fileno(), 0, 200_000)  # glibc's own way
    assert file.read_bytes() == b"x" * 100_000 + bytes(100_000)


def test_seek_data_and_seek_hole(mounted: Path) -> None:
    path = mounted / "f"
    with path.open("w+b") as file:
        file.truncate(1 << 30)
        assert os.lseek(file.fileno(), 0, os.SEEK_DATA) == 0
        assert os.lseek(file.fileno(), 0, os.SEEK_HOLE) == 1 << 30
        with failing(errno.ENXIO):
            os.lseek(file.fileno(), 1 << 30, os.SEEK_DATA)


def test_reflinks_and_copies(file: Path, mounted: Path) -> None:
    with file.open("rb") as source, (mounted / "g").open("w+b") as target:
        with failing(errno.EOPNOTSUPP):
            fcntl.ioctl(target, FICLONE, source.fileno())
        assert os.copy_file_range(source.fileno(), target.fileno(), 100_000) == 100_000
    assert (mounted / "g").read_bytes() == file.read_bytes()
    command = ["cp", "--reflink=always", file, mounted / "h"]
    assert subprocess.run(command, stderr=subprocess.DEVNULL, timeout=60, check=False).returncode == 1
    subprocess.run(["cp", "--reflink=auto", file, mounted / "h"], timeout=60, check=True)
    assert (mounted / "h").read_bytes() == file.read_bytes()


def test_files_without_a_name(file: Path, mounted: Path) -> None:
    with failing(errno.EOPNOTSUPP):
        os.open(mounted, O_TMPFILE | os.O_RDWR, 0o600)
    with file.open("rb") as opened:
        file.unlink()
        here = os.open(mounted, os.O_RDONLY)
        assert _libc.linkat(opened.fileno(), b"", here, b"again", AT_EMPTY_PATH) == -1
        assert ctypes.get_errno() == errno.ENOENT
        os.close(here)


def test_whiteouts(file: Path, mounted: Path) -> None:
    with failing(errno.EINVAL):
        renameat2(file, mounted / "g", RENAME_WHITEOUT)
    assert os.listdir(mounted) == ["f"]


@pytest.mark.parametrize("request_", [FS_IOC_GETFLAGS, FS_IOC_FSGETXATTR], ids=["lsattr", "projects"])
def test_flags_and_projects(file: Path, request_: int) -> None:
    with file.open("rb") as opened, failing(errno.ENOTTY):
        fcntl.ioctl(opened, request_, bytes(32))


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="knows the number of statx on x86-64 only")
def test_the_time_of_birth(file: Path) -> None:
    answer = ctypes.create_string_buffer(256)
    assert _libc.syscall(SYS_STATX, -100, os.fsencode(file), 0, STATX_BTIME, answer) == 0
    assert not int.from_bytes(answer.raw[:4], "little") & STATX_BTIME


@pytest.mark.parametrize("name", ["system.other", "other.name", "plain", "system."])
def test_attributes_outside_of_the_namespaces(file: Path, name: str) -> None:
    with failing(errno.EOPNOTSUPP):
        os.setxattr(file, name, b"1")
    with failing(errno.EOPNOTSUPP):
        os.getxattr(file, name)
