"""The one-time code that an owner of a peer gives to the owner of a drive, and the proof that somebody has it.

    code = Crockford's base32, in groups of 5, of
           version{1} peer key{32} invite id{8} secret{16} host:port (UTF-8) checksum{4}

It names the peer by its key, so nobody can put another peer in its place; and has 128 random bits, so guessing is
useless, with the peer or without it. The peer keeps the verifier, not the secret. The page is docs/replication.md.
"""

from hashlib import blake2b
from typing import Final, NamedTuple

from hyperfs.crypto import crockford
from hyperfs.errors import BadRequest
from hyperfs.replication.address import KEY_BYTES, Address, parse_endpoint

VERSION: Final = 1
ID_BYTES: Final = 8
SECRET_BYTES: Final = 16
PROOF_BYTES: Final = 32
MOST_CHARACTERS: Final = 1024
_CHECKSUM_BYTES: Final = 4
_HEAD_BYTES: Final = 1 + KEY_BYTES + ID_BYTES + SECRET_BYTES

_CHECKSUM: Final = b"hyperfs/v1/invite-text\0"
_VERIFIER: Final = b"hyperfs/v1/invite\0"
_PROOF: Final = b"hyperfs/v1/pair\0"


class Invitation(NamedTuple):
    """`id` names it at the peer; `secret` is known to nobody but who has the code."""

    address: Address
    id: bytes
    secret: bytes

    def code(self) -> str:
        """As text. It is a secret until it was used."""
        key, endpoint = self.address
        data = bytes([VERSION]) + key + self.id + self.secret + str(endpoint).encode()
        return crockford.encode(data + _checksum(data))

    def __repr__(self) -> str:
        return f"Invitation({self.address}, {self.id.hex()})"


def parse(text: str) -> Invitation:
    """The invitation of a code. BadRequest, which says what is wrong."""
    if len(text) > MOST_CHARACTERS:
        raise BadRequest("an invite's code is far shorter than this text")
    try:
        data = crockford.decode(text)
    except ValueError as error:
        found = f": {str(error)!r} is in no code" if str(error) else ", or some of it is missing"
        raise BadRequest(f"this invite's code has a mistake{found}") from None
    if len(data) <= _HEAD_BYTES + _CHECKSUM_BYTES or data[-_CHECKSUM_BYTES:] != _checksum(data[:-_CHECKSUM_BYTES]):
        raise BadRequest("this invite's code has a mistake, or some of it is missing")
    if data[0] != VERSION:
        raise BadRequest("this invite was made by a later hyperfs: update hyperfs to use it")
    key, id_ = data[1 : 1 + KEY_BYTES], data[1 + KEY_BYTES : 1 + KEY_BYTES + ID_BYTES]
    try:
        endpoint = data[_HEAD_BYTES:-_CHECKSUM_BYTES].decode()
    except UnicodeDecodeError:
        raise BadRequest("this invite's code names no host") from None
    return Invitation(Address(key, parse_endpoint(endpoint)), id_, data[_HEAD_BYTES - SECRET_BYTES : _HEAD_BYTES])


def verifier(id_: bytes, secret: bytes) -> bytes:
    """What the peer keeps of an invite: enough to check a proof."""
    return blake2b(_VERIFIER + id_ + secret, digest_size=PROOF_BYTES).digest()


def proof(verified_by: bytes, handshake_hash: bytes, drive: bytes) -> bytes:
    """That the secret is known, on this connection and for this drive only. `verified_by`: the verifier."""
    return blake2b(_PROOF + handshake_hash + drive, key=verified_by, digest_size=PROOF_BYTES).digest()


def _checksum(data: bytes) -> bytes:
    return blake2b(_CHECKSUM + data, digest_size=_CHECKSUM_BYTES).digest()
