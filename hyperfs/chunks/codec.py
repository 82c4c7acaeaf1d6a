"""Compression of a block's or a pack entry's bytes: codec numbers, a probe, bounded decoding.

Promise: `decode` gives exactly `decoded_length` bytes or raises Corrupt, and never allocates more than that
for its result, whatever the payload claims. The numbers are part of the format and are never reused.
"""

import threading
from contextlib import nullcontext
from typing import Final

import zstandard

from hyperfs.errors import Corrupt

RAW: Final = 0
ZSTD: Final = 1
ZSTD_WITH_BASE: Final = 2

MAX_DECODED_BYTES: Final = 16 << 20
DEFAULT_LEVEL: Final = 1
DENSE_LEVEL: Final = 9
"""A sixth less of text than at level 1, for seven times its time: for what nobody waits for."""

# A result that saves less than 1/32 is not worth the decompression on each read.
_WORTH: Final = 32
_PROBE_FROM_BYTES: Final = 32 << 10
_SAMPLE_BYTES: Final = 4 << 10
_SAMPLES: Final = 4
_FAST_BASE_BYTES: Final = 128 << 10
_HARD_BYTES: Final = 256 << 10
_LARGE_LEVEL: Final = 6
"""For more than that: a context keeps the memory of its largest work, at this level 4 MiB, at 9 it would be 12."""
_LARGE_DELTA_BYTES: Final = 512 << 10
"""A chunk and its base. Of more than that one delta is made at a time: it takes some 20 MiB."""
_CONTEXTS_KEPT: Final = 2
"""Of each level, for all threads: no more compress at a time for long."""

Bytes = bytes | bytearray | memoryview

# Contexts are costly to make (10 us and up to some MiB each) and serve one thread at a time.
_local = threading.local()
_large = threading.Lock()
_kept: dict[int, list[zstandard.ZstdCompressor]] = {}


def encode(data: Bytes, level: int = DEFAULT_LEVEL) -> tuple[int, Bytes]:
    """(codec, payload). `level` is zstd's, negative ones too. For RAW the payload is `data` itself, no copy.

    Raises ValueError if data is longer than a reader would take.
    """
    size = len(data)
    if size > MAX_DECODED_BYTES:
        raise ValueError(f"{size} bytes in one block: at most {MAX_DECODED_BYTES}")
    if size >= _PROBE_FROM_BYTES and not shrinks(data):
        return RAW, data
    if size == 0:
        return RAW, data
    if size > _HARD_BYTES:
        level = min(level, _LARGE_LEVEL)
    payload = _compress(data, level)
    if not _is_worth(size, len(payload)):
        return RAW, data
    return ZSTD, payload


def encode_delta(data: Bytes, base: Bytes, fast: bool = False) -> bytes:
    """The payload of codec 2: `data` compressed with the bytes of `base` before it.

    The window spans both, so that all of the base can be referred to. `fast`: nearly all of it is as in the base, and
    stands in order.

    Levels, measured: of 128 KiB with a new page, 0.2 ms at level 1 and 0.6 at 3, for 5 bytes' difference; but in a base
    of more level 1 finds nothing. 244 sources of git against their release two later: 97.9 KB at level 9 in 0.6 ms
    each, 93.2 at 11 in 1.5. 128 KiB of them at a time: 811 KB in 2.5 ms each, 804 in 19. A MiB against another takes
    22 MiB of memory at level 9, 43 at 11.
    """
    size = len(data) + len(base)
    window_log = max(10, size.bit_length())
    if fast:
        level = 1 if len(base) <= _FAST_BASE_BYTES else 3
        parameters = zstandard.ZstdCompressionParameters.from_level(level, window_log=window_log)
    else:
        # Told the size, zstd chooses its tables for it: those of 64 KiB then take 1 MiB, not 2.
        parameters = zstandard.ZstdCompressionParameters.from_level(
            DENSE_LEVEL, source_size=size, window_log=window_log
        )
    with _large if size > _LARGE_DELTA_BYTES else nullcontext():
        compressor = zstandard.ZstdCompressor(dict_data=_raw_dictionary(base), compression_params=parameters)
        return compressor.compress(data)


def decode(codec: int, payload: Bytes, decoded_length: int, base: bytes | None = None) -> bytes:
    """The bytes, exactly `decoded_length` of them; `base` is given iff codec is ZSTD_WITH_BASE.

    Raises Corrupt for anything else: an unknown codec, a length over 16 MiB or other than the frame's,
    a damaged frame, bytes after it.
    """
    if not 0 <= decoded_length <= MAX_DECODED_BYTES:
        raise Corrupt(f"{decoded_length} decoded bytes announced, at most {MAX_DECODED_BYTES} are allowed")
    if codec not in (RAW, ZSTD, ZSTD_WITH_BASE):
        raise Corrupt(f"codec {codec} is unknown")
    if (base is not None) != (codec == ZSTD_WITH_BASE):
        raise Corrupt(f"codec {codec} {'with' if base is not None else 'without'} a base")
    if codec == RAW:
        if len(payload) != decoded_length:
            raise Corrupt(f"{len(payload)} raw bytes where {decoded_length} were announced")
        return payload if isinstance(payload, bytes) else bytes(payload)
    _check_frame(payload, decoded_length)
    if base is None:
        decompressor = _decompressor()
    else:
        decompressor = zstandard.ZstdDecompressor(dict_data=_raw_dictionary(base))
    try:
        data = decompressor.decompress(payload, max_output_size=decoded_length, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise Corrupt(f"a compressed block does not decompress: {error}") from error
    if len(data) != decoded_length:
        raise Corrupt(f"{len(data)} bytes decompressed where {decoded_length} were announced")
    return data


def _check_frame(payload: Bytes, decoded_length: int) -> None:
    """The decompressor allocates what the frame's header says, so that is compared first."""
    try:
        announced = zstandard.frame_content_size(payload)
    except zstandard.ZstdError as error:
        raise Corrupt(f"a compressed block has no frame: {error}") from error
    if announced != decoded_length or decoded_length == 0:
        raise Corrupt(f"a compressed frame says {announced} bytes where {decoded_length} were announced")


def shrinks(data: Bytes) -> bool:
    """Whether a few samples of `data` (4 KiB or more) shrink.

    Samples lie at odd places of the page grid, so that data which alternates by pages is met in both kinds.
    """
    view = memoryview(data)
    step = (len(view) - _SAMPLE_BYTES) // (2 * _SAMPLES)
    starts = [step * (2 * i + 1) for i in range(_SAMPLES)]
    sample = b"".join([view[start : start + _SAMPLE_BYTES] for start in starts])
    # Level 1 always: negative levels leave literals as they are and would call text of 64 letters random.
    return _is_worth(len(sample), len(_compress(sample, 1)))


def _is_worth(size: int, compressed: int) -> bool:
    return compressed < size - size // _WORTH


def _raw_dictionary(base: Bytes) -> zstandard.ZstdCompressionDict:
    return zstandard.ZstdCompressionDict(bytes(base), dict_type=zstandard.DICT_TYPE_RAWCONTENT)


def _compress(data: Bytes, level: int) -> bytes:
    """With a context that nobody else has meanwhile. Taking one and giving it back are single steps."""
    kept = _kept.setdefault(level, [])
    try:
        compressor = kept.pop()
    except IndexError:
        compressor = zstandard.ZstdCompressor(level=level)
    payload = compressor.compress(data)
    if len(kept) < _CONTEXTS_KEPT:
        kept.append(compressor)
    return payload


def _decompressor() -> zstandard.ZstdDecompressor:
    found: zstandard.ZstdDecompressor | None = getattr(_local, "decompressor", None)
    if found is None:
        found = _local.decompressor = zstandard.ZstdDecompressor()
    return found
