"""Directory streams as libc has them: positions that are told and sought again while entries come and go."""

import ctypes
import os
import random
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import tally

from .drive import LONG, Drive

SEED = int(os.environ.get("HYPERFS_STREAM_SEED", "1"))
ENTRIES = 100_000 if LONG else 1_000

_libc = ctypes.CDLL(None, use_errno=True)


class _Dirent(ctypes.Structure):
    _fields_ = (
        ("d_ino", ctypes.c_uint64),
        ("d_off", ctypes.c_int64),
        ("d_reclen", ctypes.c_uint16),
        ("d_type", ctypes.c_uint8),
        ("d_name", ctypes.c_char * 256),
    )


_libc.opendir.restype = ctypes.c_void_p
_libc.readdir.restype = ctypes.POINTER(_Dirent)
_libc.telldir.restype = ctypes.c_long
_libc.readdir.argtypes = _libc.telldir.argtypes = _libc.rewinddir.argtypes = _libc.closedir.argtypes = [ctypes.c_void_p]
_libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]


class Stream:
    """readdir(3) and its friends, without `.` and `..`."""

    def __init__(self, folder: Path) -> None:
        self._stream = _libc.opendir(os.fsencode(folder))
        assert self._stream

    def next(self) -> str | None:
        while True:
            found = _libc.readdir(self._stream)
            if not found:
                return None
            name: bytes = found.contents.d_name
            if name not in (b".", b".."):
                return os.fsdecode(name)

    def rest(self) -> list[str]:
        return list(iter(self.next, None))

    def tell(self) -> int:
        position: int = _libc.telldir(self._stream)
        return position

    def seek(self, position: int) -> None:
        _libc.seekdir(self._stream, position)

    def rewind(self) -> None:
        _libc.rewinddir(self._stream)

    def close(self) -> None:
        _libc.closedir(self._stream)


@contextmanager
def stream_of(folder: Path) -> Iterator[Stream]:
    stream = Stream(folder)
    try:
        yield stream
    finally:
        stream.close()


def fill(folder: Path, count: int) -> list[str]:
    names = [f"{number:06}" for number in range(count)]
    for name in names:
        os.mknod(folder / name, stat.S_IFREG | 0o600)  # one request; to open and close it would be three
    return names


def test_a_position_is_found_again(place: Path) -> None:
    names = fill(place, 500)
    with stream_of(place) as stream:
        read, positions = [], []
        while True:
            positions.append(stream.tell())
            name = stream.next()
            if name is None:
                break
            read.append(name)
        assert sorted(read) == names
        for at in random.Random(SEED).sample(range(len(read)), 60):
            stream.seek(positions[at])
            assert stream.next() == read[at]
            assert stream.tell() == positions[at + 1]
        stream.seek(positions[-1])
        assert stream.next() is None
        stream.rewind()
        assert sorted(stream.rest()) == names


def test_a_position_holds_while_entries_come_and_go(place: Path) -> None:
    """What is there all the time is read once from a position on, whatever was made, removed and renamed since."""
    names = fill(place, 1000)
    with stream_of(place) as stream:
        before = [stream.next() for _ in range(400)]
        position = stream.tell()
        for name in names[::3]:
            (place / name).unlink()
        for name in names[1::3]:
            os.rename(place / name, place / f"renamed {name}")
        fill_more = [f"new {number}" for number in range(300)]
        for name in fill_more:
            (place / name).touch()
        for _ in range(2):
            after = stream.rest()
            assert len(after) == len(set(after))
            stayed = set(names[2::3])
            assert stayed - set(before) <= set(after)
            assert not stayed & set(before) & set(after)
            stream.seek(position)
        stream.rewind()
        assert set(stream.rest()) == {*names[2::3], *(f"renamed {name}" for name in names[1::3]), *fill_more}


def test_everything_is_removed_while_it_is_read(place: Path) -> None:
    """As `rm -r` does it."""
    names = fill(place, 2000)
    removed = []
    with stream_of(place) as stream:
        while (name := stream.next()) is not None:
            (place / name).unlink()
            removed.append(name)
    assert sorted(removed) == names
    os.rmdir(place)


def test_two_streams_of_one_folder_go_their_own_ways(place: Path) -> None:
    names = fill(place, 300)
    with stream_of(place) as one, stream_of(place) as two:
        first = [one.next() for _ in range(100)]
        assert sorted(two.rest()) == names
        assert sorted([*first, *one.rest()]) == names


@pytest.mark.timeout(1800)
def test_attack_d05_a_very_large_folder(drive: Drive) -> None:
    """Listed, changed in the middle of a listing, found by name, and there again after mounting anew."""
    folder = drive.point / "large"
    folder.mkdir()
    names = fill(folder, ENTRIES)
    chance = random.Random(SEED)
    with stream_of(folder) as stream:
        seen = [stream.next() for _ in range(ENTRIES // 3)]
        position = stream.tell()
        gone = set(chance.sample(names, ENTRIES // 10))
        for name in gone:
            (folder / name).unlink()
        seen += stream.rest()
        assert len(seen) == len(set(seen))
        assert set(names) - gone <= set(seen)
        stream.seek(position)
        assert set(stream.rest()) <= set(seen[ENTRIES // 3 :])
    left = set(names) - gone
    numbers = {entry.name: entry.inode() for entry in os.scandir(folder)}
    assert set(numbers) == left
    assert len(set(numbers.values())) == len(left)
    drive.remount()
    assert {entry.name: entry.inode() for entry in os.scandir(folder)} == numbers
    for name in chance.sample(sorted(left), 100):
        assert os.stat(folder / name).st_ino == numbers[name]
    tally.add("entries of one folder listed, changed and listed again", ENTRIES, seed=SEED)
