"""What a drive remembers of its brake: one setting in the trie, encode beside decode.

    setting "brake"  ->  state u8, when i64, before u64, seen u64, folder u64, lost u64, deleted u64, of u64, path

Format: docs/formats/inode.md. Integers are little-endian.
"""

import struct
from typing import Final, NamedTuple

from hyperfs.errors import Corrupt
from hyperfs.volume import keys

ON: Final = 1
RELEASED: Final = 2
KEY: Final = keys.setting_key(b"brake")
_VALUE: Final = struct.Struct("<BqQQQQQQ")


class BrakeRecord(NamedTuple):
    """Of the `of` files in the folder and below it `lost` were lost, `deleted` of them without anything in their place.

    `when_ns`: when that was seen, in version `seen`; version `before` has them all. Once released: when, and the newest
    version then. `path` is the folder's as it was seen.
    """

    state: int
    when_ns: int
    before: int
    seen: int
    folder: int
    lost: int
    deleted: int
    of: int
    path: bytes

    @property
    def overwritten(self) -> int:
        """Those in whose place something stands that looks encrypted."""
        return self.lost - self.deleted


def encode(record: BrakeRecord) -> bytes:
    return _VALUE.pack(*record[:-1]) + record.path


def decode(value: bytes) -> BrakeRecord:
    """Raises Corrupt."""
    if len(value) < _VALUE.size:
        raise Corrupt("the record of the brake has an impossible length", f"{len(value)} bytes")
    record = BrakeRecord._make((*_VALUE.unpack_from(value), value[_VALUE.size :]))
    if record.state not in (ON, RELEASED) or record.deleted > record.lost:
        raise Corrupt("the record of the brake says what can't be")
    return record
