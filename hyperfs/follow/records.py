"""The state of a follow: which inode each copy was made from. In SQLite, derived, and sealed as to names.

Kept as a tree by numbers, so that a folder's rename is one row. What is not committed is gone when the process is
killed; then the records are older than the copies, which the plan can bear. They must never be newer: whoever commits
has made the drive's version first.
"""

import contextlib
import sqlite3
from pathlib import Path
from typing import Final, Self

from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from hyperfs.follow.facts import Facts, Identity, Parts, Record

TOP: Final = 1
"""The number of the followed folder itself."""
KEY_BYTES: Final = 64

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS entries (
    number INTEGER PRIMARY KEY, parent INTEGER NOT NULL, name BLOB NOT NULL,
    dev INTEGER NOT NULL, ino INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, folder INTEGER NOT NULL,
    UNIQUE (parent, name));
CREATE INDEX IF NOT EXISTS by_identity ON entries (ino, dev);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value BLOB NOT NULL);
"""
_COLUMNS: Final = "number, dev, ino, ctime_ns, folder"
_BELOW: Final = """
WITH RECURSIVE below (number) AS (
    VALUES (?) UNION ALL SELECT entries.number FROM entries JOIN below ON entries.parent = below.number)
"""


class Records:
    """A context manager. The key is that of the copy's mark; with another one no name is known."""

    def __init__(self, path: Path, key: bytes) -> None:
        self._names = AESSIV(key)
        try:
            self._open(path)
        except sqlite3.DatabaseError:
            # Derived: anew is better than damaged.
            for suffix in ("", "-wal", "-shm"):
                Path(f"{path}{suffix}").unlink(missing_ok=True)
            self._open(path)

    def _open(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level="DEFERRED", check_same_thread=False)
        path.chmod(0o600)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA cache_size = -16000")
        self._db.executescript(_SCHEMA)

    def child(self, parent: int, name: bytes) -> Record | None:
        where = (parent, self._seal(name))
        return self._one(f"SELECT {_COLUMNS} FROM entries WHERE parent = ? AND name = ?", where)

    def top(self) -> Record | None:
        return self._one(f"SELECT {_COLUMNS} FROM entries WHERE number = ?", (TOP,))

    def children(self, parent: int) -> dict[bytes, Record]:
        rows = self._db.execute(f"SELECT name, {_COLUMNS} FROM entries WHERE parent = ?", (parent,))
        return {self._open_name(row[0]): _record(row[1:]) for row in rows}

    def has_children(self, parent: int) -> bool:
        return self._db.execute("SELECT 1 FROM entries WHERE parent = ? LIMIT 1", (parent,)).fetchone() is not None

    def find(self, path: Parts) -> Record | None:
        found = self.top()
        for name in path:
            if found is None:
                return None
            found = self.child(found.number, name)
        return found

    def of_inode(self, identity: Identity, most: int) -> list[Record]:
        """The copies made from an inode, the oldest records first."""
        dev, ino = map(_signed, identity)
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM entries WHERE ino = ? AND dev = ? ORDER BY number LIMIT ?", (ino, dev, most)
        )
        return [_record(row) for row in rows]

    def path_of(self, number: int) -> Parts | None:
        """Where a copy is; None if it is forgotten."""
        parts: list[bytes] = []
        while number != TOP:
            row = self._db.execute("SELECT parent, name FROM entries WHERE number = ?", (number,)).fetchone()
            if row is None:
                return None
            parts.append(self._open_name(row[1]))
            number = row[0]
        return tuple(reversed(parts))

    def parent_of(self, number: int) -> Record | None:
        columns = ", ".join(f"above.{column}" for column in _COLUMNS.split(", "))
        query = f"SELECT {columns} FROM entries AS above JOIN entries AS it ON it.parent = above.number"
        return self._one(f"{query} WHERE it.number = ?", (number,))

    def put(self, parent: int, name: bytes, source: Facts) -> Record:
        """The copy at this name was made from the source as it is."""
        query = f"""INSERT INTO entries (parent, name, dev, ino, ctime_ns, folder) VALUES (?, ?, ?, ?, ?, ?)
            ON CONFLICT (parent, name) DO UPDATE
            SET dev = excluded.dev, ino = excluded.ino, ctime_ns = excluded.ctime_ns, folder = excluded.folder
            RETURNING {_COLUMNS}"""
        found = self._one(query, (parent, self._seal(name), *_of(source)))
        assert found is not None
        return found

    def put_top(self, source: Facts) -> Record:
        query = f"""INSERT OR REPLACE INTO entries (number, parent, name, dev, ino, ctime_ns, folder)
            VALUES ({TOP}, 0, x'', ?, ?, ?, ?) RETURNING {_COLUMNS}"""
        found = self._one(query, _of(source))
        assert found is not None
        return found

    def move(self, number: int, parent: int, name: bytes) -> None:
        """A copy was renamed, with all below it. Nothing is recorded at its new name."""
        where = (parent, self._seal(name), number)
        self._db.execute("UPDATE entries SET parent = ?, name = ? WHERE number = ?", where)

    def exchange(self, one: int, parent: int, name: bytes) -> None:
        """The copy `one` has this name now, and what had it, if that is recorded, has the name of `one`."""
        row = self._db.execute("SELECT parent, name FROM entries WHERE number = ?", (one,)).fetchone()
        other = self.child(parent, name)
        if other is not None:
            # Aside first: no two may have one name, not even for a moment.
            self._db.execute("UPDATE entries SET parent = -1 WHERE number = ?", (other.number,))
        self.move(one, parent, name)
        if other is not None:
            self._db.execute("UPDATE entries SET parent = ?, name = ? WHERE number = ?", (*row, other.number))

    def forget(self, number: int) -> None:
        """With all that is below it."""
        self._db.execute(f"{_BELOW} DELETE FROM entries WHERE number IN (SELECT number FROM below)", (number,))

    def renumber_device(self, old: int, new: int) -> None:
        """The same disk has another device number now: they are given anew at each start of a machine."""
        self._db.execute("UPDATE entries SET dev = ? WHERE dev = ?", (_signed(new), _signed(old)))

    def fact(self, name: str) -> bytes | None:
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else self._open_name(row[0])

    def set_fact(self, name: str, value: bytes) -> None:
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, self._seal(value)))

    def commit(self) -> None:
        self._db.commit()

    def rollback(self) -> None:
        self._db.rollback()

    def _one(self, query: str, parameters: tuple[int | bytes, ...]) -> Record | None:
        row = self._db.execute(query, parameters).fetchone()
        return None if row is None else _record(row)

    def _seal(self, name: bytes) -> bytes:
        return self._names.encrypt(name, None)

    def _open_name(self, sealed: bytes) -> bytes:
        return self._names.decrypt(sealed, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(sqlite3.Error):  # what was not committed is not to be kept, and the rest is
            self._db.rollback()
        self._db.close()


def _record(row: tuple[int, int, int, int, int]) -> Record:
    number, dev, ino, ctime_ns, folder = row
    return Record(number, Identity((_unsigned(dev), _unsigned(ino))), ctime_ns, bool(folder))


def _of(source: Facts) -> tuple[int, int, int, int]:
    dev, ino = source.identity
    return _signed(dev), _signed(ino), source.ctime_ns, int(source.is_folder)


def _signed(number: int) -> int:
    """SQLite's integers have 64 bits with a sign, inode numbers 64 without."""
    return number - (1 << 64) if number >= 1 << 63 else number


def _unsigned(number: int) -> int:
    return number + (1 << 64) if number < 0 else number


