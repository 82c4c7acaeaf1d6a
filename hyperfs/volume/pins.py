"""Pins: a version that retention let go, or a part of one, is kept for something that was deleted after it.

A pin is a fact of the newest root: version, inode, and where the version's commit lies, for the index has forgotten it.
Only the inode, and what is below it, can be had; the version is listed nowhere. Format: docs/formats/place-and-gone.md.
"""

import struct
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from hyperfs.errors import Corrupt
from hyperfs.volume import keys

PREFIX: Final = keys.prefix(keys.NO_INO, keys.PIN)
_KEY: Final = struct.Struct(">QQ")
_VALUE: Final = struct.Struct("<IQQq")


class Pin(NamedTuple):
    """`ino` was deleted from `directory`, where it was called `name`; the version right before that is `version`, whose
    commit is block `block` of metadata log `log`. `deleted_ns`: since 1970."""

    version: int
    ino: int
    log: int
    block: int
    directory: int
    deleted_ns: int
    name: bytes


def pin_fact(pin: Pin) -> tuple[bytes, bytes]:
    value = _VALUE.pack(pin.log, pin.block, pin.directory, pin.deleted_ns) + pin.name
    return keys.pin_key(pin.version, pin.ino), value


def decode_pin(key: bytes, value: bytes) -> Pin:
    """Raises Corrupt."""
    body = key[keys.PREFIX_BYTES :]
    if len(body) != _KEY.size or len(value) <= _VALUE.size:
        raise Corrupt("a pin has an impossible length", f"key {key.hex()}")
    version, ino = _KEY.unpack(body)
    log, block, directory, deleted_ns = _VALUE.unpack_from(value)
    return Pin(version, ino, log, block, directory, deleted_ns, value[_VALUE.size :])


def pins_of(facts: Mapping[bytes, bytes]) -> list[Pin]:
    """All pins, by version. `facts`: the keys below PREFIX and their values. Raises Corrupt."""
    return [decode_pin(key, value) for key, value in sorted(facts.items())]


def set_pins(before: Iterable[Pin], wanted: Iterable[Pin]) -> dict[bytes, bytes | None]:
    """The facts to set (None: to remove) to get from some pins to others."""
    old, new = dict(map(pin_fact, before)), dict(map(pin_fact, wanted))
    changes: dict[bytes, bytes | None] = dict.fromkeys(old.keys() - new.keys())
    return changes | {key: value for key, value in new.items() if old.get(key) != value}
