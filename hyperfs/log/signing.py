"""Ed25519 as Hypercore uses it: detached signatures over short messages, through libsodium."""

from typing import Final, NamedTuple, Protocol

from nacl import bindings
from nacl.exceptions import BadSignatureError

PUBLIC_KEY_BYTES: Final = 32
SEED_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64


class Signer(Protocol):
    """Whatever can sign for a public key."""

    @property
    def public_key(self) -> bytes: ...

    def sign(self, message: bytes) -> bytes:
        """A detached signature of 64 bytes. Deterministic."""


class SigningKeyPair(NamedTuple):
    """A key pair in memory. secret_key is libsodium's form: seed, then public key (64 bytes)."""

    public_key: bytes
    secret_key: bytes

    @classmethod
    def from_seed(cls, seed: bytes) -> "SigningKeyPair":
        return cls(*bindings.crypto_sign_seed_keypair(seed))

    def sign(self, message: bytes) -> bytes:
        return bindings.crypto_sign(message, self.secret_key)[:SIGNATURE_BYTES]

    def __repr__(self) -> str:
        return f"SigningKeyPair({self.public_key.hex()})"  # a log line must not hold the secret


def verify_signature(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """False for anything that is no valid signature, wrong lengths included. Some 50 us."""
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        bindings.crypto_sign_open(signature + message, public_key)
    except BadSignatureError:
        return False
    return True
