"""Which blocks of a log are here: one bit each, in sectors of the file `have` that each carry a checksum.

    have   = sector{*}
    sector = bits{480 bytes} H(u64 number of the sector | bits){32 bytes}

Block b is bit b % 8 of byte b // 8 of the bits of sector b // 3840, all counted from 0. A sector of zeros, or past the
file's end, has none. A bit is set when its block and the nodes above it are durable, never before: so whichever of
two states of a sector a power cut leaves, no bit lies. A sector whose checksum does not hold says nothing: its blocks
are read and compared. Page: docs/formats/log.md.
"""

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Final

from hyperfs.log.cleared import Range
from hyperfs.store.files import DiskFile

SECTOR_BYTES: Final = 512
_CHECKSUM_BYTES: Final = 32
_BITS_BYTES: Final = SECTOR_BYTES - _CHECKSUM_BYTES
SECTOR_BLOCKS: Final = 8 * _BITS_BYTES

_NONE: Final = bytes(_BITS_BYTES)
_ALL: Final = b"\xff" * _BITS_BYTES
_RUN_BYTES: Final = 2048 * SECTOR_BYTES
_ZEROS: Final = bytes(_RUN_BYTES)


def encode_sector(number: int, bits: bytes) -> bytes:
    """Zeros for no bits at all, so that a hole in the file is as good."""
    return bits + _checksum(number, bits) if bits != _NONE else bytes(SECTOR_BYTES)


def decode_sector(number: int, data: bytes) -> bytes | None:
    """The bits; None where the sector can't be believed."""
    bits, checksum = data[:_BITS_BYTES], data[_BITS_BYTES:]
    if not any(data):
        return _NONE
    return bits if bits != _NONE and checksum == _checksum(number, bits) else None


def _checksum(number: int, bits: bytes) -> bytes:
    return blake2b(number.to_bytes(8, "little") + bits, digest_size=_CHECKSUM_BYTES).digest()


class Have:
    """The bits in memory, of sectors that have any, and which sectors the file does not have yet.

    One thread changes it; others may ask `has`.
    """

    def __init__(self) -> None:
        self._sectors: dict[int, bytearray] = {}
        self._unwritten: set[int] = set()
        self.doubtful: list[int] = []
        """Sectors that could not be believed when the file was read: nothing of them is known."""

    @classmethod
    def read(cls, file: DiskFile) -> "Have":
        have = cls()
        size = file.size()
        for start in range(0, size, _RUN_BYTES):
            run = file.pread(min(_RUN_BYTES, size - start), start)
            if run == _ZEROS[: len(run)]:
                continue
            for at in range(0, len(run), SECTOR_BYTES):
                number = (start + at) // SECTOR_BYTES
                bits = decode_sector(number, run[at : at + SECTOR_BYTES].ljust(SECTOR_BYTES, b"\0"))
                if bits is None:
                    have.doubtful.append(number)
                    have._unwritten.add(number)
                elif bits != _NONE:
                    have._sectors[number] = bytearray(bits)
        return have

    def write(self, file: DiskFile) -> bool:
        """Put what has changed into the file; whether there was anything. Not yet durable."""
        for number in sorted(self._unwritten):
            bits = bytes(self._sectors.get(number, _NONE))
            file.pwrite(encode_sector(number, bits), number * SECTOR_BYTES)
        is_changed = bool(self._unwritten)
        self._unwritten.clear()
        return is_changed

    def has(self, block: int) -> bool:
        number, bit = divmod(block, SECTOR_BLOCKS)
        bits = self._sectors.get(number)
        return bits is not None and bool(bits[bit >> 3] >> (bit & 7) & 1)

    def add(self, blocks: Iterable[int]) -> None:
        for block in blocks:
            number, bit = divmod(block, SECTOR_BLOCKS)
            self._sectors.setdefault(number, bytearray(_BITS_BYTES))[bit >> 3] |= 1 << (bit & 7)
            self._unwritten.add(number)

    def remove(self, start: int, end: int) -> None:
        """Take [start, end) away."""
        for number in [n for n in self._sectors if start < (n + 1) * SECTOR_BLOCKS and n * SECTOR_BLOCKS < end]:
            first = number * SECTOR_BLOCKS
            low, high = max(0, start - first), min(SECTOR_BLOCKS, end - first)
            left = int.from_bytes(self._sectors[number], "little") & ~((1 << high) - (1 << low))
            if left:
                self._sectors[number] = bytearray(left.to_bytes(_BITS_BYTES, "little"))
            else:
                del self._sectors[number]
            self._unwritten.add(number)

    def ranges(self, start: int, end: int) -> Iterator[Range]:
        """Runs of blocks within [start, end) that are here, ascending and apart. Not while it is changed."""
        low = high = -1
        for first, last in self._pieces():
            first, last = max(first, start), min(last, end)
            if first >= last:
                continue
            if first == high:
                high = last
                continue
            if low >= 0:
                yield low, high
            low, high = first, last
        if low >= 0:
            yield low, high

    def count(self) -> int:
        return sum(int.from_bytes(bits, "little").bit_count() for bits in self._sectors.values())

    def _pieces(self) -> Iterator[Range]:
        """Runs within sectors: neighbours may touch."""
        for number in sorted(self._sectors):
            first = number * SECTOR_BLOCKS
            bits = self._sectors[number]
            if bits == _ALL:
                yield first, first + SECTOR_BLOCKS
                continue
            rest, at = int.from_bytes(bits, "little"), first
            while rest:
                skip = (rest & -rest).bit_length() - 1
                rest >>= skip
                ones = (~rest & (rest + 1)).bit_length() - 1
                yield at + skip, at + skip + ones
                rest >>= ones
                at += skip + ones
