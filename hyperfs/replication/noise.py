"""The handshake: Noise_XX_Ed25519_ChaChaPoly_BLAKE2b with an empty prologue and empty payloads.

    -> e                 32 bytes
    <- e, ee, s, es      96 bytes
    -> s, se             64 bytes

Afterwards each side knows the other's static key, both have a key for each direction, and a hash that is
different for every connection. Messages of any other length are refused before a byte of them is worked on. Pure:
the ephemeral key pair is passed in, and must be fresh.
"""

import hmac
from hashlib import blake2b
from typing import Final, NamedTuple

from nacl.bindings import (
    crypto_aead_chacha20poly1305_ietf_decrypt,
    crypto_aead_chacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError

from hyperfs.errors import Misbehaved
from hyperfs.replication.curve import POINT_BYTES, CurveKeyPair

HASH_BYTES: Final = 64
KEY_BYTES: Final = 32
_TAG_BYTES: Final = 16
_NAME: Final = b"Noise_XX_Ed25519_ChaChaPoly_BLAKE2b"

MESSAGE_BYTES: Final = (
    POINT_BYTES,
    POINT_BYTES + POINT_BYTES + _TAG_BYTES + _TAG_BYTES,
    POINT_BYTES + _TAG_BYTES + _TAG_BYTES,
)
"""Of the three messages, in their order."""


class Secrets(NamedTuple):
    """What a finished handshake leaves: keys of 32 bytes for both directions, the hash of 64, the other's key."""

    send_key: bytes
    receive_key: bytes
    handshake_hash: bytes
    remote_key: bytes


class _Symmetric:
    """Noise's symmetric state: a running hash, a chaining key, and once keys were mixed a cipher key."""

    def __init__(self) -> None:
        self.hash = _NAME.ljust(HASH_BYTES, b"\0")
        self._chain = self.hash
        self._key: bytes | None = None
        self._uses = 0
        self.mix_hash(b"")  # the prologue

    def mix_hash(self, data: bytes) -> None:
        self.hash = blake2b(self.hash + data, digest_size=HASH_BYTES).digest()

    def mix_key(self, secret: bytes) -> None:
        self._chain, key = _expand(self._chain, secret)
        self._key, self._uses = key[:KEY_BYTES], 0

    def encrypt(self, plain: bytes) -> bytes:
        data = plain
        if self._key is not None:
            data = crypto_aead_chacha20poly1305_ietf_encrypt(plain, self.hash, self._nonce(), self._key)
        self.mix_hash(data)
        return data

    def decrypt(self, data: bytes) -> bytes:
        plain = data
        if self._key is not None:
            try:
                plain = crypto_aead_chacha20poly1305_ietf_decrypt(data, self.hash, self._nonce(), self._key)
            except CryptoError:
                raise Misbehaved("the handshake does not authenticate") from None
        self.mix_hash(data)
        return plain

    def split(self) -> tuple[bytes, bytes]:
        first, second = _expand(self._chain, b"")
        return first[:KEY_BYTES], second[:KEY_BYTES]

    def _nonce(self) -> bytes:
        self._uses += 1
        return bytes(4) + (self._uses - 1).to_bytes(8, "little")


def _expand(chain: bytes, secret: bytes) -> tuple[bytes, bytes]:
    """HKDF with HMAC-BLAKE2b-512: two outputs of 64 bytes."""
    extracted = hmac.digest(chain, secret, "blake2b")
    first = hmac.digest(extracted, b"\1", "blake2b")
    return first, hmac.digest(extracted, first + b"\2", "blake2b")


class Handshake:
    """One side of the handshake. Alternate `send` and `receive`; the initiator begins with `send`."""

    def __init__(self, is_initiator: bool, static: CurveKeyPair, ephemeral: CurveKeyPair) -> None:
        self._is_initiator = is_initiator
        self._static = static
        self._ephemeral = ephemeral
        self._state = _Symmetric()
        self._remote_ephemeral = b""
        self._remote_static = b""
        self._step = 0

    @property
    def is_done(self) -> bool:
        return self._step == len(MESSAGE_BYTES)

    @property
    def expected_bytes(self) -> int:
        """How long the next message is, whichever side sends it."""
        return MESSAGE_BYTES[self._step]

    def send(self) -> bytes:
        step, state = self._begin(sending=True), self._state
        out = b""
        if step != 2:
            out = self._ephemeral.public_key
            state.mix_hash(out)
        if step == 1:
            state.mix_key(self._ephemeral.agree(self._remote_ephemeral))
        if step != 0:
            out += state.encrypt(self._static.public_key)
            state.mix_key(self._static.agree(self._remote_ephemeral))
        return out + state.encrypt(b"")

    def receive(self, message: bytes) -> None:
        """Misbehaved for anything that an honest owner of the keys could not have sent."""
        if len(message) != self.expected_bytes:
            raise Misbehaved(f"a handshake's message has {len(message)} bytes, not {self.expected_bytes}")
        step, state = self._begin(sending=False), self._state
        at = 0
        if step != 2:
            at = POINT_BYTES
            self._remote_ephemeral = message[:at]
            state.mix_hash(self._remote_ephemeral)
        if step == 1:
            state.mix_key(self._ephemeral.agree(self._remote_ephemeral))
        if step != 0:
            end = at + POINT_BYTES + _TAG_BYTES
            self._remote_static = state.decrypt(message[at:end])
            state.mix_key(self._ephemeral.agree(self._remote_static))
            at = end
        state.decrypt(message[at:])

    def secrets(self) -> Secrets:
        """Only once it is done."""
        assert self.is_done
        first, second = self._state.split()
        mine, theirs = (first, second) if self._is_initiator else (second, first)
        return Secrets(mine, theirs, self._state.hash, self._remote_static)

    def _begin(self, *, sending: bool) -> int:
        step = self._step
        assert sending is (self._is_initiator is (step != 1)), "not this side's turn"
        self._step += 1
        return step
