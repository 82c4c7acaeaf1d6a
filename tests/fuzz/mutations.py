"""Changes of valid encodings: bits, bytes, lengths and numbers, as damage or malice would make them."""

import random
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

EXTREMES: Final = (0, 1, 2, 127, 128, 255, 65_535, 1 << 31, (1 << 32) - 1, 1 << 53, 1 << 63, (1 << 64) - 1)
"""Numbers that a field may be set to, cut to its width."""
MOST_STEPS: Final = 6


class Step(NamedTuple):
    """`kind` chooses the change, `place` where, `value` with what; any three numbers make one."""

    kind: int
    place: int
    value: int


def changed(data: bytes, steps: Sequence[Step], others: Sequence[bytes]) -> bytes:
    """`data` after all steps; `others` are what pieces are taken from."""
    found = bytearray(data)
    for step in steps:
        other = others[step.value % len(others)]
        _KINDS[step.kind % len(_KINDS)](found, step.place % (len(found) + 1), step.value, other)
    return bytes(found)


def steps_of(source: random.Random) -> list[Step]:
    """One to MOST_STEPS steps."""
    count = min(source.randint(1, MOST_STEPS), source.randint(1, MOST_STEPS))
    return [Step(source.getrandbits(8), source.getrandbits(16), source.getrandbits(64)) for _ in range(count)]


def _flip(data: bytearray, at: int, value: int, other: bytes) -> None:
    if at < len(data):
        data[at] ^= 1 << value % 8


def _set(data: bytearray, at: int, value: int, other: bytes) -> None:
    data[at : at + 1] = bytes((value & 255,))


def _insert(data: bytearray, at: int, value: int, other: bytes) -> None:
    data[at:at] = value.to_bytes(8, "little")[: 1 + value % 8]


def _delete(data: bytearray, at: int, value: int, other: bytes) -> None:
    del data[at : at + 1 + value % 16]


def _cut(data: bytearray, at: int, value: int, other: bytes) -> None:
    del data[at:]


def _number(data: bytearray, at: int, value: int, other: bytes) -> None:
    width = (1, 2, 4, 8)[value % 4]
    extreme = EXTREMES[value // 4 % len(EXTREMES)] - (value >> 8 & 1)
    data[at : at + width] = (extreme % (1 << 8 * width)).to_bytes(width, ("little", "big")[value >> 9 & 1])


def _splice(data: bytearray, at: int, value: int, other: bytes) -> None:
    start = (value >> 8) % (len(other) + 1)
    piece = other[start : start + (value >> 24) % 64]
    data[at : at + (len(piece) if value >> 40 & 1 else 0)] = piece


def _tail(data: bytearray, at: int, value: int, other: bytes) -> None:
    data[at:] = other[(value >> 8) % (len(other) + 1) :]


def _again(data: bytearray, at: int, value: int, other: bytes) -> None:
    data[at:at] = data[at : at + 1 + value % 64] * (1 + (value >> 8) % 8)


_KINDS: Final[tuple[Callable[[bytearray, int, int, bytes], None], ...]] = (
    _flip,
    _set,
    _insert,
    _delete,
    _cut,
    _number,
    _splice,
    _tail,
    _again,
)
