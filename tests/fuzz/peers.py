"""What cloud peers and devices tell each other, and what a cloud peer keeps: examples and readers for `targets`."""

from typing import Final

from hyperfs.log import have, receipt
from hyperfs.peer import account, evidence, holds, invites, settings
from hyperfs.syncing import settings as syncing_settings

from .seeds import vectors
from .shapes import summed

_SECTOR: Final = 3


def receipts() -> list[bytes]:
    return [bytes.fromhex(case["hex"]) for case in vectors("receipt")["receipts"]]


def rows_of_receipts() -> list[bytes]:
    return [bytes(8) + found for found in receipts()]


def row_of_receipt(row: tuple[int, receipt.SignedReceipt]) -> bytes:
    return row[0].to_bytes(8, "little", signed=True) + row[1].encode()


def known_peers() -> list[bytes]:
    key = "ab" * 32
    return [f"hyperfs://{key}@peer.example:4780 1795000000000000000".encode(), f"hyperfs://{key}@[::1]:1 0".encode()]


def known_peer(data: bytes) -> syncing_settings.Known:
    return syncing_settings.Known.decode("cloud", data)


def all_limits() -> list[bytes]:
    return [syncing_settings.Limits().encode(), syncing_settings.Limits(500 << 10, 2 << 20, "yes").encode()]


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


def parts() -> list[bytes]:
    return [account.PartOf(bytes(range(32)), 7).encode()]


def all_settings() -> list[bytes]:
    return [settings.Settings().encode(), settings.Settings(1 << 40).encode()]


def invites_kept() -> list[bytes]:
    known = bytes(range(32))
    return [
        invites.Invite(known, 1 << 60).encode(),
        invites.Invite(known, 5, None, False).encode(),
        invites.Invite(known, 5, 1 << 40, False, known).encode(),
    ]


def addresses() -> list[bytes]:
    return [b"cloud.example:4780\n", b"[::1]:1\n"]


def identities() -> list[bytes]:
    return [bytes.fromhex(vectors("peer")["identity"]["hex"])]


def sectors() -> list[bytes]:
    return [have.encode_sector(_SECTOR, bytes(range(240)) * 2), bytes(have.SECTOR_BYTES)]


def sector(data: bytes) -> bytes | None:
    """Cut or filled up to a sector's length, as reading the file does."""
    return have.decode_sector(_SECTOR, data.ljust(have.SECTOR_BYTES, b"\0")[: have.SECTOR_BYTES])


def encode_sector(bits: bytes | None) -> bytes:
    return have.encode_sector(_SECTOR, bits) if bits is not None else bytes(have.SECTOR_BYTES)
