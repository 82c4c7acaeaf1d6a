"""Names, sizes and times for people. Pure.

A name is bytes, here as text with surrogate escapes. What could deceive on a page is written out; the templates escape
HTML in everything.
"""

from datetime import datetime, tzinfo
from typing import Final

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_JOINERS: Final = "\u200c\u200d"
"""They join letters and the parts of emoji, and do nothing else."""
_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def shown(name: str) -> str:
    """A name in one line: control characters, characters that turn the direction of text and the like, and bytes that
    are no UTF-8 are written out."""
    if name.isprintable():
        return name
    return "".join(c if c.isprintable() or c in _JOINERS else _written_out(c) for c in name)


def _written_out(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if character in _SHORT:
        return _SHORT[character]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def size_text(size: int | None) -> str:
    """Bytes in words: 1.5 MiB."""
    if size is None:
        return ""
    amount, unit = float(size), 0
    while amount >= 1024 and unit < len(_UNITS) - 1:
        amount /= 1024
        unit += 1
    return f"{size} B" if unit == 0 else f"{amount:.1f} {_UNITS[unit]}"


def count_text(count: int, one: str, many: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def moment(time_ns: int, zone: tzinfo) -> datetime:
    """To the second; a time that no calendar has counts as the nearest one that it has."""
    seconds = min(max(time_ns // 10**9, -62_135_500_000), 253_402_200_000)
    return datetime.fromtimestamp(seconds, zone)


def time_text(time_ns: int, zone: tzinfo) -> str:
    return f"{moment(time_ns, zone):%Y-%m-%d %H:%M:%S}"


def from_iso(iso: str) -> int:
    """Nanoseconds of a time in a message of the drive: UTC, nine digits behind the point."""
    whole, _, rest = iso.removesuffix("Z").partition(".")
    return int(datetime.fromisoformat(whole + "+00:00").timestamp()) * 10**9 + int(rest or 0)
