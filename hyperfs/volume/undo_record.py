"""Which versions were made by an undo or a redo, and what they took back: settings in the trie.

    setting "undo:" version u64 BE  ->  kind u8, before u64, after u64, path

Format: docs/formats/inode.md. Integers of the value are little-endian.
"""

import struct
from typing import Final, NamedTuple

from hyperfs.errors import Corrupt
from hyperfs.volume import keys
from hyperfs.volume.paths import inside, parts_of

UNDO: Final = 1
REDO: Final = 2
PREFIX: Final = b"undo:"
_VALUE: Final = struct.Struct("<BQQ")
_KEY_BYTES: Final = len(PREFIX) + 8
MOST: Final = 1000
"""So many are kept, the newest: an older undo then counts as a change like any other."""


class UndoRecord(NamedTuple):
    """`version` took back below `path` what came after version `before` up to version `after`; a redo did it again."""

    version: int
    kind: int
    before: int
    after: int
    path: bytes

    def covers(self, path: bytes) -> bool:
        """Whether all that is below a path was taken back with it."""
        return inside(path, self.path)


def encode(record: UndoRecord) -> tuple[bytes, bytes]:
    """The fact's key and value."""
    path = b"/".join(parts_of(record.path))
    return record_key(record.version), _VALUE.pack(record.kind, record.before, record.after) + path


def record_key(version: int) -> bytes:
    return keys.setting_key(PREFIX + version.to_bytes(8, "big"))


def decode(key: bytes, value: bytes) -> UndoRecord:
    """Raises Corrupt."""
    name = key[keys.PREFIX_BYTES :]
    if len(name) != _KEY_BYTES or len(value) < _VALUE.size:
        raise Corrupt("the record of an undo has an impossible length", f"key {key.hex()}")
    kind, before, after = _VALUE.unpack_from(value)
    if kind not in (UNDO, REDO) or before >= after:
        raise Corrupt("the record of an undo says what can't be", f"key {key.hex()}")
    return UndoRecord(int.from_bytes(name[len(PREFIX) :], "big"), kind, before, after, value[_VALUE.size :])


def records(facts: dict[bytes, bytes]) -> list[UndoRecord]:
    """Those among a tree's settings, oldest first. Raises Corrupt."""
    return [decode(key, value) for key, value in sorted(facts.items())]


FACTS_PREFIX: Final = keys.setting_key(PREFIX)
