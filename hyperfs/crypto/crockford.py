"""Crockford's base32: text of letters and digits that survives paper and telephones.

No I, L, O and U among the symbols; a reader takes either case, O for 0, I and L for 1, and dashes and spaces anywhere.
Bytes become symbols of 5 bits, the highest first, filled up with zero bits.
"""

import re
from typing import Final

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
VALUES: Final = {symbol: value for value, symbol in enumerate(ALPHABET)} | {"O": 0, "I": 1, "L": 1}
SEPARATORS: Final = re.compile(r"[\s\-\u2010-\u2015\u2212_.,]+")
_SYMBOL_BITS: Final = 5


def encode(data: bytes, group: int = 5) -> str:
    """In groups of so many symbols, joined by dashes."""
    count = -(-8 * len(data) // _SYMBOL_BITS)
    number = int.from_bytes(data, "big") << _SYMBOL_BITS * count - 8 * len(data)
    symbols = "".join(ALPHABET[number >> _SYMBOL_BITS * at & 31] for at in reversed(range(count)))
    return "-".join(symbols[at : at + group] for at in range(0, count, group))


def decode(text: str) -> bytes:
    """Inverse of encode, whatever the groups. ValueError, with the symbol that is none, or for a number of symbols, or
    last bits, that encode never makes."""
    symbols = SEPARATORS.sub("", text.upper())
    number = 0
    for symbol in symbols:
        if symbol not in VALUES:
            raise ValueError(symbol)
        number = number << _SYMBOL_BITS | VALUES[symbol]
    size, spare = divmod(_SYMBOL_BITS * len(symbols), 8)
    if spare >= _SYMBOL_BITS or number & (1 << spare) - 1:
        raise ValueError("")
    return (number >> spare).to_bytes(size, "big")
