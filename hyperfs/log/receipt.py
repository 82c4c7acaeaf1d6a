"""Receipts: a cloud peer's signed word that it holds these blocks of a log, on its disk, for a device that asked now.

Bytes to values and back, signing, and what a device must find before it believes one. A receipt says what the peer
held when it signed; that it still does, audits say (blocks asked for at random and compared with the tree). The page
is docs/formats/receipt.md.
"""

from struct import Struct
from typing import Final, NamedTuple

from hyperfs.crypto.keys import SIGNATURE_BYTES, verify_signature
from hyperfs.errors import Corrupt, FormatTooNew, Refused
from hyperfs.log.cleared import Range
from hyperfs.log.compact import Reader
from hyperfs.log.control_codec import decode_ranges, encode_ranges
from hyperfs.log.heads import Signer
from hyperfs.log.proof import MAX_LENGTH

RECEIPT_FORMAT: Final = 1
CHALLENGE_BYTES: Final = 32
DAY_NS: Final = 86_400 * 10**9
MOST_VALID_NS: Final = 30 * DAY_NS
"""Proofs expire after 30 days; one that claims longer is refused."""
MOST_AHEAD_NS: Final = 600 * 10**9
"""How far the peer's clock may be ahead of ours."""
MOST_RANGES: Final = 1 << 16
"""In one receipt; a log in more pieces takes several."""

_MAGIC: Final = b"hfsrcpt\n"
_DOMAIN: Final = b"hyperfs/v1/receipt\0"
_HEAD: Final = Struct("<8sII32s32s32sQQ32sQQ32s")


class Receipt(NamedTuple):
    """`log` is the log's discovery key; times are nanoseconds since 1970; ranges are runs of blocks, ascending."""

    drive: bytes
    peer_key: bytes
    challenge: bytes
    issued_ns: int
    expires_ns: int
    log: bytes
    fork: int
    length: int
    tree_hash: bytes
    ranges: tuple[Range, ...]

    def covers(self, start: int, end: int) -> bool:
        """Whether all blocks of [start, end) are in it."""
        return start >= end or any(low <= start and end <= high for low, high in self.ranges)


class SignedReceipt(NamedTuple):
    receipt: Receipt
    signature: bytes

    def encode(self) -> bytes:
        return _unsigned(self.receipt) + self.signature


def sign_receipt(signer: Signer, receipt: Receipt) -> SignedReceipt:
    """By the key that it names. What it says must be on the disk already."""
    if signer.public_key != receipt.peer_key:
        raise ValueError("a receipt is signed by the peer that it names")
    return SignedReceipt(receipt, signer.sign(_DOMAIN + _unsigned(receipt)))


def decode(data: bytes) -> SignedReceipt:
    """As it stands, nothing verified: Corrupt for what encode could not have made, FormatTooNew."""
    reader = Reader(data, "receipt")
    magic, version, zero, drive, peer_key, challenge, *rest = _HEAD.unpack(reader.take(_HEAD.size))
    if magic != _MAGIC:
        raise Corrupt("this is no receipt")
    if version > RECEIPT_FORMAT:
        raise FormatTooNew("a receipt", version, RECEIPT_FORMAT)
    issued_ns, expires_ns, log, fork, length, tree_hash = rest
    ranges = decode_ranges(reader)
    receipt = Receipt(drive, peer_key, challenge, issued_ns, expires_ns, log, fork, length, tree_hash, ranges)
    signature = reader.take(SIGNATURE_BYTES)
    reader.end()
    if version < RECEIPT_FORMAT or zero or not _is_possible(receipt):
        raise Corrupt("a receipt says what none can say")
    return SignedReceipt(receipt, signature)


def check(data: bytes, peer_key: bytes, drive: bytes, log: bytes, challenge: bytes, now_ns: int) -> Receipt:
    """The receipt that a device may believe: of this peer, for this drive and log, an answer to this very challenge,
    and valid now. Corrupt where it is damaged or not signed, Refused where it is another one.

    Whether its tree is that of the log is for whoever has the log: see `Replica.prefix_hash`.
    """
    receipt, signature = signed = decode(data)
    for is_right, otherwise in (
        (receipt.peer_key == peer_key, "it is another peer's"),
        (receipt.drive == drive and receipt.log == log, "it is for another log"),
        (receipt.challenge == challenge, "it answers another challenge: an old one, played again"),
        (receipt.issued_ns <= now_ns + MOST_AHEAD_NS, "it was issued in the future: the peer's clock or ours is wrong"),
        (receipt.expires_ns - receipt.issued_ns <= MOST_VALID_NS, "it claims to hold for more than 30 days"),
        (now_ns < receipt.expires_ns, "it has expired"),
    ):
        if not is_right:
            raise Refused(f"a receipt is not believed: {otherwise}")
    if not verify_signature(peer_key, _DOMAIN + signed.encode()[:-SIGNATURE_BYTES], signature):
        raise Corrupt("a receipt's signature is not the peer's")
    return receipt


def _unsigned(receipt: Receipt) -> bytes:
    *fields, ranges = receipt
    return _HEAD.pack(_MAGIC, RECEIPT_FORMAT, 0, *fields) + encode_ranges(ranges)


def _is_possible(receipt: Receipt) -> bool:
    """Ranges are apart and not empty, and end within the length, so that one receipt has one encoding."""
    reach = -1
    for start, end in receipt.ranges:
        if not reach < start < end:
            return False
        reach = end
    return reach <= receipt.length <= MAX_LENGTH and len(receipt.ranges) <= MOST_RANGES
