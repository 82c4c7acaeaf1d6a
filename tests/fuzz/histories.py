"""As `readers`, for what history, retention, policies and follows keep, and for what people write about them."""

from base64 import b64encode, encodebytes, urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final

from hyperfs.follow.mark import Mark
from hyperfs.follow.records import KEY_BYTES
from hyperfs.follow.standing import Standing
from hyperfs.policy import retention, storage
from hyperfs.volume import brake_record, change_rows, keys, pins, undo_record
from hyperfs.volume.change_rows import Name, RowCodec, VersionChanges, Went
from hyperfs.volume.change_stream import Cursor

_CODEC: Final = RowCodec(bytes(32))
_WENT_KEY: Final = 25
_WORDS: Final = ("30d", "10 versions", "1 version", "all", "hot", "lock", "nodelete", "3", "nas,office", "local-only")


def change_row(data: bytes) -> None:
    """A row of the index: one that another has written does not open."""
    _CODEC.version_changes(7, data)
    key, value = data[:_WENT_KEY], data[_WENT_KEY:]
    _CODEC.went(key, value)
    change_rows.filled(data)


def change_rows_of_ours() -> list[bytes]:
    name = Name(1, b"a", 5, 8)
    _, listed = _CODEC.version_row(VersionChanges(7, 6, False, (name,), (name,), frozenset({5}), frozenset()))
    key, value = _CODEC.went_row(Went(1, b"a", 7, 5, 8, 1, 3, 2))
    return [listed, key + value, bytes(8)]


def pin(data: bytes) -> pins.Pin:
    """Without the prefix that all pins have."""
    return pins.decode_pin(keys.prefix(keys.NO_INO, keys.PIN) + data[:16], data[16:])


def encode_pin(value: pins.Pin) -> bytes:
    return b"".join(pins.pin_fact(value))[keys.PREFIX_BYTES :]


def pin_seeds() -> list[bytes]:
    return [encode_pin(pins.Pin(3, 5, 1, 9, 1, 4, b"name"))]


def undo(data: bytes) -> undo_record.UndoRecord:
    size = len(_undo()[0])
    return undo_record.decode(data[:size], data[size:])


def _undo() -> tuple[bytes, bytes]:
    return undo_record.encode(undo_record.UndoRecord(9, undo_record.UNDO, 3, 5, b"a/b"))


def texts_of_noise() -> list[bytes]:
    data = Random(1).randbytes(400)
    return [b64encode(data), urlsafe_b64encode(data), encodebytes(data), data.hex().encode(), data]


def undo_seeds() -> list[bytes]:
    return [b"".join(_undo())]


def policy_key(data: bytes) -> tuple[int, bytes]:
    return keys.decode_policy_key(data)


def policy_key_seeds() -> list[bytes]:
    return [keys.policy_key(5, b"keep")]


_RULES: Final[tuple[Callable[[str], object], ...]] = (
    retention.parse_keep,
    storage.parse_class,
    storage.parse_protect,
    storage.parse_copies,
    storage.parse_places,
)


def rule(data: bytes) -> None:
    """The first byte says of which attribute it is a value."""
    text = data[1:].decode("utf-8", "surrogateescape")
    _RULES[data[0] % len(_RULES) if data else 0](text)


def rule_seeds() -> list[bytes]:
    return [bytes([number]) + word.encode() for number in range(len(_RULES)) for word in _WORDS]


def cursor(data: bytes) -> Cursor:
    return Cursor.parse(data.decode("utf-8", "surrogateescape"))





def follow(data: bytes) -> None:
    Standing.decode(data)
    Mark.decode(data)


def follow_seeds() -> list[bytes]:
    return [Mark("name", bytes(KEY_BYTES), Path("/folder")).encode(), b'[1, 2, "2f"]', b"[" * 5000]


def brake_seeds() -> list[bytes]:
    facts = (7, 9, 1, 600, 20, 1000)
    return [brake_record.encode(brake_record.BrakeRecord(state, 1, *facts, b"a/b")) for state in (1, 2)]
