"""Arithmetic of keys as strings of nibbles (4 bits, the high half of a byte first).

A nibble prefix of length `depth` is kept as bytes whose unused low half, when depth is odd, is zero. Padded
so, it is also the smallest byte string that any key below it can be, and compares with whole keys as it
should.
"""


def nibble_at(key: bytes, depth: int) -> int:
    """The nibble number `depth` of the key. IndexError when the key ends before it."""
    byte = key[depth >> 1]
    return byte & 15 if depth & 1 else byte >> 4


def common_nibbles(a: bytes, b: bytes) -> int:
    """How many leading nibbles two keys share."""
    size = min(len(a), len(b))
    unlike = int.from_bytes(a[:size], "big") ^ int.from_bytes(b[:size], "big")
    return 2 * size - (unlike.bit_length() + 3) // 4


def cut(key: bytes, depth: int) -> bytes:
    """The first `depth` nibbles of the key, padded. The key must have as many."""
    if depth & 1:
        return key[: depth >> 1] + bytes((key[depth >> 1] & 0xF0,))
    return key[: depth >> 1]


def child_start(prefix: bytes, depth: int, nibble: int) -> bytes:
    """The smallest key that goes on with `nibble` after the prefix."""
    if depth & 1:
        return prefix[:-1] + bytes((prefix[-1] | nibble,))
    return prefix + bytes((nibble << 4,))


def beyond(prefix: bytes, depth: int) -> bytes | None:
    """The smallest byte string after all keys below the prefix; None if there is none."""
    size = len(prefix)
    number = int.from_bytes(prefix, "big") + (16 if depth & 1 else 1)
    if number >> (8 * size):
        return None
    # A carry leaves zeros behind, and the shorter string without them is already past the prefix.
    return number.to_bytes(size, "big").rstrip(b"\0")
