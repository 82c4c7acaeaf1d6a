"""Bytes for random tests that are like one another, as the versions of a file are: of what takes the place of other
bytes a delta can be made."""

import random
from functools import cache
from typing import Final

KINDS: Final = 3
EDITS: Final = 3
_LONGEST: Final = 1 << 20


@cache
def _plain(kind: int) -> bytes:
    return random.Random(f"alike {kind}").randbytes(_LONGEST)


def some_bytes(seed: int, size: int) -> bytes:
    """Those of another seed differ in a few places, or in all: there are three kinds, and bytes of no kind."""
    rng = random.Random(seed)
    kind = seed % (KINDS + 1)
    if kind == KINDS or size > _LONGEST:
        return rng.randbytes(size)
    data = bytearray(_plain(kind)[:size])
    for _ in range(EDITS if size else 0):
        at = rng.randrange(size)
        data[at : at + 20] = rng.randbytes(len(data[at : at + 20]))
    return bytes(data)
