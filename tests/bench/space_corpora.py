"""Histories to measure space on: from a git clone, or from a seed. Each is told apart by a SHA-256 of all its bytes."""

import hashlib
import io
import random
import sqlite3
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PAGE_BYTES: Final = 4096
MIB: Final = 1 << 20


def releases(git: str, tags: list[str]) -> Iterator[dict[bytes, bytes]]:
    """The files of each release by path; links and modes are left out."""
    for tag in tags:
        archive = subprocess.run(["git", "-C", git, "archive", tag], stdout=subprocess.PIPE, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            files = ((member.name.encode(), tar.extractfile(member)) for member in tar if member.isreg())
            yield {name: file.read() for name, file in files if file is not None}


def page(generator: random.Random) -> bytes:
    """Of a disk: a third of them of what does not shrink, a third empty, the others text."""
    kind = generator.random()
    if kind < 0.36:
        return generator.randbytes(PAGE_BYTES)
    if kind < 0.72:
        return bytes(PAGE_BYTES)
    words = [generator.choice(_WORDS) for _ in range(PAGE_BYTES // 4)]
    return b" ".join(words)[:PAGE_BYTES].ljust(PAGE_BYTES)


_WORDS: Final = [b"%x" % (n * n * 7919) for n in range(600)]


def image(seed: int, size: int) -> bytearray:
    generator = random.Random(seed)
    return bytearray(b"".join(page(generator) for _ in range(size // PAGE_BYTES)))


def pages_changed(seed: int, size: int, count: int) -> list[tuple[int, bytes]]:
    """(offset, bytes) of pages anywhere in an image of that size."""
    generator = random.Random(seed)
    numbers = generator.sample(range(size // PAGE_BYTES), count)
    return [(number * PAGE_BYTES, page(generator)) for number in sorted(numbers)]


def photos(seed: int, count: int, size: int) -> dict[bytes, bytes]:
    generator = random.Random(seed)
    return {b"IMG_%04d.jpg" % n: generator.randbytes(size + generator.randrange(size)) for n in range(count)}


def with_header(photo: bytes, seed: int) -> bytes:
    """As a program leaves it that writes a title into it: everything moves by a few KiB."""
    return photo[:20] + random.Random(seed).randbytes(3000) + photo[2000:]


class Database:
    """An SQLite database and its updates."""

    def __init__(self, path: Path, seed: int, rows: int) -> None:
        self._path = path
        self._generator = random.Random(seed)
        self._rows = rows
        with sqlite3.connect(path) as database:
            database.execute("create table t (id integer primary key, name text, body text, count integer)")
            database.executemany("insert into t values (?, ?, ?, 0)", (self._row(n) for n in range(rows)))
        database.close()

    def _row(self, number: int) -> tuple[int, str, str]:
        body = " ".join(_WORDS[self._generator.randrange(600)].decode() for _ in range(20))
        return number, f"name {number}", body

    def update(self, count: int) -> None:
        """Small ones anywhere, in one transaction."""
        with sqlite3.connect(self._path) as database:
            for _ in range(count):
                where = self._generator.randrange(self._rows)
                database.execute("update t set count = count + 1, name = ? where id = ?", (f"n{where * 3}", where))
        database.close()

    def bytes(self) -> bytes:
        return self._path.read_bytes()


class Sum:
    """SHA-256 of a history."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, name: bytes, data: bytes) -> None:
        self._hash.update(b"%d %s %d " % (len(name), name, len(data)) + data)

    def __str__(self) -> str:
        return self._hash.hexdigest()
