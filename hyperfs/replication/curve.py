"""Key agreement on the Ed25519 curve, as npm's noise-curve-ed does it: Noise with points that also are signing keys.

The scalar is clamped and multiplied as it is. Points of low order, points off the main subgroup and points in a
second encoding are refused: whoever sends one would know the shared secret beforehand.
"""

from hashlib import sha512
from typing import Final, Self

from nacl.bindings import (
    crypto_scalarmult_ed25519_base_noclamp,
    crypto_scalarmult_ed25519_noclamp,
    crypto_sign_ed25519_pk_to_curve25519,
)
from nacl.exceptions import CryptoError

from hyperfs.errors import Misbehaved

POINT_BYTES: Final = 32
SCALAR_BYTES: Final = 32


class CurveKeyPair:
    """A secret scalar and its point. Never in a repr."""

    __slots__ = ("_scalar", "public_key")

    def __init__(self, scalar: bytes) -> None:
        """`scalar`: 32 secret bytes, which are clamped here."""
        if len(scalar) != SCALAR_BYTES:
            raise ValueError(f"a scalar has {SCALAR_BYTES} bytes, not {len(scalar)}")
        clamped = bytearray(scalar)
        clamped[0] &= 248
        clamped[31] = clamped[31] & 127 | 64
        self._scalar = bytes(clamped)
        self.public_key: bytes = crypto_scalarmult_ed25519_base_noclamp(self._scalar)

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """The pair that an Ed25519 seed stands for: what npm's `keyPair(seed)` makes."""
        return cls(sha512(seed).digest()[:SCALAR_BYTES])

    def agree(self, point: bytes) -> bytes:
        """The shared secret with the owner of `point`. Misbehaved for one that nobody honest would send."""
        try:
            shared: bytes = crypto_scalarmult_ed25519_noclamp(self._scalar, point)
        except (CryptoError, TypeError, ValueError):
            raise Misbehaved("a public key in the handshake is no proper point of the curve") from None
        return shared

    def __repr__(self) -> str:
        return f"CurveKeyPair({self.public_key.hex()})"


def is_of(point: bytes, x25519_public: bytes) -> bool:
    """Whether a point of the handshake is the key whose X25519 form is this, as rosters name transport keys.

    A device's transport secret serves as the scalar here, and then both forms belong to one secret.
    """
    try:
        return bool(crypto_sign_ed25519_pk_to_curve25519(point) == x25519_public)
    except (CryptoError, TypeError, ValueError):
        return False
