"""What cloud peers and devices tell each other, and what a cloud peer keeps: examples and readers for `targets`."""

from typing import Final

from hyperfs.log import have
from hyperfs.peer import evidence, holds, invites, settings

from .seeds import vectors
from .shapes import summed

_SECTOR: Final = 3


def receipts() -> list[bytes]:
    return [bytes.fromhex(case["hex"]) for case in vectors("receipt")["receipts"]]


def pieces_of_evidence() -> list[bytes]:
    return [bytes.fromhex(found) for found in vectors("peer")["evidence"]]


def evidence_judged(data: bytes) -> evidence.Evidence:
    """And whether it proves something, which must be a yes or a no."""
    found = evidence.decode(data)
    evidence.proves(found)
    return found


def records_of_holds() -> list[bytes]:
    return [bytes.fromhex(vectors("peer")["holds"]["hex"]), holds.Holds().encode()]


def holds_made_right(data: bytes) -> holds.Holds:
    return holds.decode(summed(data))


def all_settings() -> list[bytes]:
    return [settings.Settings().encode(), settings.Settings(1 << 40).encode()]


def invites_kept() -> list[bytes]:
    known = bytes(range(32))
    return [
        invites.Invite(known, 1 << 60).encode(),
        invites.Invite(known, 5, None, False).encode(),
        invites.Invite(known, 5, 1 << 40, False, known).encode(),
    ]


def identities() -> list[bytes]:
    return [bytes.fromhex(vectors("peer")["identity"]["hex"])]


def sectors() -> list[bytes]:
    return [have.encode_sector(_SECTOR, bytes(range(240)) * 2), bytes(have.SECTOR_BYTES)]


def sector(data: bytes) -> bytes | None:
    """Cut or filled up to a sector's length, as reading the file does."""
    return have.decode_sector(_SECTOR, data.ljust(have.SECTOR_BYTES, b"\0")[: have.SECTOR_BYTES])


def encode_sector(bits: bytes | None) -> bytes:
    return have.encode_sector(_SECTOR, bits) if bits is not None else bytes(have.SECTOR_BYTES)
