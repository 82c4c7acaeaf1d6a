"""Whether bytes look encrypted: they do not compress, and they are in no form that we know to be so. Pure.

What programs compress themselves (pictures, archives, videos) does not compress either, but begins with a few bytes
that say what it is. Who encrypts a file for ransom takes these away. It is a guess: who knows the rule can write such
bytes himself. What is written as text (base64, hex digits) is looked at as what it says.
"""

import base64
import zlib
from typing import Final

LOOKED_BYTES: Final = 4096
"""So much of a place in a file is looked at."""
LEAST_BYTES: Final = 16
"""Of fewer nothing can be told."""
_SMALL_BYTES: Final = 256
"""Fewer are not compressed: zlib's own bytes would count for too much."""
_WORTH: Final = 32
"""Bytes compress if it takes off a part in so many."""
_DISTINCT: Final = 0.85
"""Random bytes have this part of the different values that are to be expected, nearly always."""

_LINE_ENDS: Final = b"\r\n"
_HEX: Final = b"0123456789abcdefABCDEF"
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_BASE64_ENDS: Final = (b"+/", b"-_")
"""The last two of its 64 characters, of which there are two kinds."""

_FORMS: Final[tuple[tuple[str, int, bytes], ...]] = (
    ("jpeg", 0, b"\xff\xd8\xff"),
    ("png", 0, b"\x89PNG\r\n\x1a\n"),
    ("gif", 0, b"GIF8"),
    ("riff", 0, b"RIFF"),
    ("tiff", 0, b"II*\0"),
    ("tiff", 0, b"MM\0*"),
    ("isom", 4, b"ftyp"),
    ("isom", 4, b"moov"),
    ("isom", 4, b"mdat"),
    ("matroska", 0, b"\x1a\x45\xdf\xa3"),
    ("mpeg", 0, b"\0\0\1\xba"),
    ("asf", 0, b"\x30\x26\xb2\x75"),
    ("flv", 0, b"FLV\1"),
    ("mp3", 0, b"ID3"),
    ("mp3", 0, b"\xff\xfb"),
    ("mp3", 0, b"\xff\xf3"),
    ("aac", 0, b"\xff\xf1"),
    ("ogg", 0, b"OggS"),
    ("flac", 0, b"fLaC"),
    ("jpeg2000", 0, b"\0\0\0\x0cjP  "),
    ("jpeg2000", 0, b"\xff\x4f\xff\x51"),
    ("jpeg xl", 0, b"\xff\x0a"),
    ("jpeg xl", 0, b"\0\0\0\x0cJXL "),
    ("psd", 0, b"8BPS"),
    ("zip", 0, b"PK\3\4"),
    ("zip", 0, b"PK\5\6"),
    ("gzip", 0, b"\x1f\x8b"),
    ("bzip2", 0, b"BZh"),
    ("xz", 0, b"\xfd7zXZ\0"),
    ("zstd", 0, b"\x28\xb5\x2f\xfd"),
    ("lz4", 0, b"\x04\x22\x4d\x18"),
    ("7z", 0, b"7z\xbc\xaf\x27\x1c"),
    ("rar", 0, b"Rar!\x1a\x07"),
    ("cab", 0, b"MSCF"),
    ("ar", 0, b"!<arch>\n"),
    ("pdf", 0, b"%PDF-"),
    ("woff", 0, b"wOFF"),
    ("woff", 0, b"wOF2"),
    ("git pack", 0, b"PACK\0\0\0"),
    ("git index of a pack", 0, b"\xfftOc"),
    ("git index of a pack", 0, b"RIDX"),
    ("git index of a pack", 0, b"BITM"),
    ("git index of a pack", 0, b"MIDX"),
    ("git index of a pack", 0, b"CGPH"),
    ("parquet", 0, b"PAR1"),
    ("hdf5", 0, b"\x89HDF\r\n\x1a\n"),
    ("elf", 0, b"\x7fELF"),
    ("pe", 0, b"MZ"),
    ("wasm", 0, b"\0asm"),
    ("sqlite", 0, b"SQLite format 3\0"),
)


def form_of(head: bytes) -> str | None:
    """What a file says that it is, by its first bytes; None where it says nothing that we know."""
    return next((name for name, at, magic in _FORMS if head.startswith(magic, at)), None)


def is_noise(data: bytes) -> bool:
    """Whether bytes do not compress. LOOKED_BYTES of them are enough; of fewer than LEAST_BYTES: no."""
    size = len(data)
    if size < LEAST_BYTES:
        return False
    if size < _SMALL_BYTES:
        return _is_small_noise(data)
    return len(zlib.compress(data, 1)) >= size - size // _WORTH


def _is_small_noise(data: bytes) -> bool:
    """By the number of different bytes, and since text of any language is UTF-8 more often than not."""
    try:
        data.decode()
    except UnicodeDecodeError:
        expected = 256 * (1 - (255 / 256) ** len(data))
        return len(set(data)) >= _DISTINCT * expected
    return False


def made_sense(head: bytes) -> bool:
    """Whether the beginning of a file shows that somebody could read it: it compresses or says what it is."""
    return form_of(head) is not None or not is_noise(head)


def is_text_of_noise(head: bytes) -> bool:
    """Whether the beginning of a file is base64 or hex digits and nothing else, of what looks encrypted."""
    told = _said_by(head)
    return told is not None and len(told) >= _SMALL_BYTES and not made_sense(told)


def looks_encrypted(head: bytes) -> bool:
    """Whether the beginning of a file that has just come shows nothing that anybody could read."""
    return not made_sense(head) or is_text_of_noise(head)


def _said_by(text: bytes) -> bytes | None:
    """What text says in hex digits or base64; None where it has any other character, but for ends of lines."""
    digits = text.translate(None, _LINE_ENDS)
    if not digits.translate(None, _HEX):
        return bytes.fromhex(digits[: len(digits) & ~1].decode())
    digits = digits.rstrip(b"=")
    for ends in _BASE64_ENDS:
        if not digits.translate(None, _BASE64 + ends):
            return base64.b64decode(digits[: len(digits) & ~3], ends)
    return None


def is_scrambled(before: bytes | None, after: bytes) -> bool:
    """Whether the beginning of a file was replaced by what looks encrypted. None: nobody knows what was there.

    What says what it is does not look so; but where the former bytes compressed, it must say the same as they did.
    Text of noise in place of such text is how the file was.
    """
    if before == after:
        return False
    if is_text_of_noise(after):
        return before is None or not is_text_of_noise(before)
    if not is_noise(after):
        return False
    form = form_of(after)
    if form is None:
        return True
    return before is not None and not is_noise(before) and form_of(before) != form


def is_scrambled_inside(before: bytes | None, after: bytes) -> bool:
    """The same of a place further inside, where nothing says what it is: it compressed and does no more."""
    return before is not None and before != after and is_noise(after) and not is_noise(before)
