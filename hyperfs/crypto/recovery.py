"""The recovery key: a root seed as text that survives paper, handwriting and telephones.

    14 groups of 5 symbols, joined by "-":  AB1CD-EFGH2-...

Symbols are Crockford's base32 (no I, L, O, U). In each group the fifth symbol checks the other four and the
group's place: any one wrong symbol, any two swapped, any two groups swapped are found, and the message names
the group. The last group is a checksum of the whole. Reading forgives case, spaces, dashes, O for 0, I and L
for 1. The page is docs/formats/keys.md.
"""

import io
import re
from hashlib import blake2b
from typing import Final
from xml.sax.saxutils import escape

import segno

from hyperfs.crypto.crockford import ALPHABET, SEPARATORS, VALUES
from hyperfs.crypto.keys import KEY_BYTES, RootSeed
from hyperfs.errors import BadRecoveryKey

FORMAT: Final = 1
GROUPS: Final = 14
GROUP_SYMBOLS: Final = 5
MAX_TEXT_CHARACTERS: Final = 1024

_GROUP_BITS: Final = 20
_SUM_DOMAIN: Final = b"hyperfs/v1/recovery-text\0"


def to_text(root: RootSeed) -> str:
    """The recovery key, 83 characters. It is the secret itself: show it once, never log it."""
    number = FORMAT << 8 * KEY_BYTES | int.from_bytes(root.seed, "big")
    number = number << _GROUP_BITS | _checksum(number)
    groups = []
    for place in range(1, GROUPS + 1):
        part = number >> _GROUP_BITS * (GROUPS - place) & (1 << _GROUP_BITS) - 1
        data = [part >> shift & 31 for shift in (15, 10, 5, 0)]
        groups.append("".join(ALPHABET[value] for value in (*data, _check(data, place))))
    return "-".join(groups)


def from_text(text: str) -> RootSeed:
    """The root seed. Raises BadRecoveryKey, which says what is wrong in which group (counted from 1)."""
    if len(text) > MAX_TEXT_CHARACTERS:
        raise BadRecoveryKey(f"a recovery key has {GROUPS} groups of {GROUP_SYMBOLS}; this text is far longer")
    number = 0
    for place, group in enumerate(_split(text), 1):
        values = [_value(symbol, place) for symbol in group]
        if _check(values[:-1], place) != values[-1]:
            raise BadRecoveryKey(f"group {place} ({group}) has a mistake, or is not in its place")
        for value in values[:-1]:
            number = number << 5 | value
    number, checksum = number >> _GROUP_BITS, number & (1 << _GROUP_BITS) - 1
    if _checksum(number) != checksum:
        raise BadRecoveryKey("each group reads well and the whole does not: are the groups of one key?")
    if number >> 8 * KEY_BYTES != FORMAT:
        raise BadRecoveryKey("this recovery key was written by a later hyperfs: update hyperfs to use it")
    return RootSeed((number & (1 << 8 * KEY_BYTES) - 1).to_bytes(KEY_BYTES, "big"))


def _split(text: str) -> list[str]:
    """14 groups of 5: as they were separated, or by counting when the separators are elsewhere."""
    groups = [group for group in SEPARATORS.split(text.strip().upper()) if group]
    if all(len(group) == GROUP_SYMBOLS for group in groups) and len(groups) == GROUPS:
        return groups
    if len(groups) == GROUPS:
        place, group = next((p, g) for p, g in enumerate(groups, 1) if len(g) != GROUP_SYMBOLS)
        raise BadRecoveryKey(f"group {place} ({group}) has {len(group)} symbols, not {GROUP_SYMBOLS}")
    joined = "".join(groups)
    if len(joined) != GROUPS * GROUP_SYMBOLS:
        raise BadRecoveryKey(
            f"a recovery key has {GROUPS} groups of {GROUP_SYMBOLS} symbols, "
            f"{GROUPS * GROUP_SYMBOLS} in all; here are {len(groups)} groups and {len(joined)} symbols"
        )
    return [joined[at : at + GROUP_SYMBOLS] for at in range(0, len(joined), GROUP_SYMBOLS)]


def _value(symbol: str, place: int) -> int:
    value = VALUES.get(symbol)
    if value is None:
        hint = ": it is a V" if symbol == "U" else ""
        raise BadRecoveryKey(f"group {place} has {symbol!r}, which is in no recovery key{hint}")
    return value


def _check(data: list[int], place: int) -> int:
    """Sum of a^i * d_i over GF(32), i = 1..4, plus the place. The check symbol itself has weight a^0.

    Distinct weights find every wrong symbol and every swap of two; the place finds swapped groups.
    """
    total = place
    for power, value in enumerate(data, 1):
        for _ in range(power):
            value = value << 1 ^ (0x25 if value & 16 else 0)  # times a, modulo x^5 + x^2 + 1
        total ^= value
    return total


def _checksum(number: int) -> int:
    """20 bits over format and seed."""
    digest = blake2b(_SUM_DOMAIN + number.to_bytes(KEY_BYTES + 1, "big"), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 32 - _GROUP_BITS


def card_text(root: RootSeed, drive_name: str, drive_id: bytes, made: str) -> str:
    """The card to print or copy by hand: ASCII but for the drive's name. `made`: the date, in words."""
    groups = to_text(root).split("-")
    rows = [
        "   ".join(f"{place + 1:2} {groups[place]}" for place in range(at, min(at + 4, GROUPS)))
        for at in range(0, GROUPS, 4)
    ]
    return "\n".join(
        [
            "HYPERFS RECOVERY KEY",
            "",
            f"drive  {_one_line(drive_name)}",
            f"id     {drive_id.hex()[:32]}",
            f"       {drive_id.hex()[32:]}",
            f"made   {_one_line(made)}",
            "",
            *rows,
            "",
            "Whoever has this key can read the whole drive and admit devices to it.",
            "Keep it on paper, away from the computer. Without it and without the",
            "computer's key file nobody can open the drive, we neither.",
            "",
            "To use it:      hyperfs recover STORE --recovery-key KEY",
            "To confirm it:  hyperfs key confirm",
            "",
        ]
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())


def card_svg(root: RootSeed, drive_name: str, drive_id: bytes, made: str) -> str:
    """The same card as a page (A6, 105 x 148 mm) with a QR code of the key."""
    lines = card_text(root, drive_name, drive_id, made).split("\n")
    spans = "".join(
        f'<text x="6" y="{10 + 3.6 * at:.1f}" xml:space="preserve">{escape(line)}</text>\n'
        for at, line in enumerate(lines)
        if line
    )
    code = segno.make(to_text(root), error="m", micro=False)
    modules = code.symbol_size(border=0)[0]
    buffer = io.BytesIO()
    code.save(buffer, kind="svg", xmldecl=False, svgns=False, border=0, omitsize=True, nl=False)
    inner = re.sub(r"^<svg[^>]*>|</svg>$", "", buffer.getvalue().decode())
    scale = 50 / modules
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="105mm" height="148mm" viewBox="0 0 105 148">\n'
        '<rect width="105" height="148" fill="white"/>\n'
        f'<g font-family="monospace" font-size="2.3">\n{spans}</g>\n'
        f'<g transform="translate(27.5 88) scale({scale:.4f})">{inner}</g>\n</svg>\n'
    )


def terminal_qr(root: RootSeed) -> str:
    """A QR code of the key for a terminal, two modules a character cell."""
    buffer = io.StringIO()
    segno.make(to_text(root), error="m", micro=False).terminal(out=buffer, compact=True, border=2)
    return buffer.getvalue()
