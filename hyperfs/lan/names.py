"""Names that only a peer and one of its devices can tell, new ones each quarter of an hour. Pure."""

from collections.abc import Iterable
from hashlib import blake2b, sha512
from typing import Final

from nacl.bindings import crypto_scalarmult, crypto_sign_ed25519_pk_to_curve25519
from nacl.exceptions import CryptoError

from hyperfs.crypto import crockford
from hyperfs.crypto.keys import KEY_BYTES, BoxKeyPair, SigningKeyPair

SLOT_SECONDS: Final = 900
NAME_CHARACTERS: Final = 26
_NAME_BYTES: Final = 16
_SECRET: Final = b"hyperfs/v1/lan/secret\0"
_NAME: Final = b"hyperfs/v1/lan/name\0"
_NS: Final = 10**9


def slot_at(now_ns: int) -> int:
    return now_ns // _NS // SLOT_SECONDS


def secret_of_peer(peer_seed: bytes, device: bytes) -> bytes | None:
    """What a peer shares with a device, by its transport key (X25519). None for a key that nobody honest has."""
    key = SigningKeyPair(peer_seed).public_key
    return _secret(sha512(peer_seed).digest()[:32], device, key, device)


def secret_of_device(transport: BoxKeyPair, peer: bytes) -> bytes | None:
    """The same, by the device, of the peer with this Ed25519 key."""
    try:
        point = crypto_sign_ed25519_pk_to_curve25519(peer)
    except (CryptoError, TypeError, ValueError):
        return None
    return _secret(transport.secret(), point, peer, transport.public_key)


def _secret(scalar: bytes, point: bytes, peer: bytes, device: bytes) -> bytes | None:
    if len(point) != KEY_BYTES:  # libsodium would read on behind it
        return None
    try:
        shared = crypto_scalarmult(scalar, point)
    except (CryptoError, RuntimeError, TypeError, ValueError):
        return None
    return blake2b(_SECRET + peer + device + shared, digest_size=32).digest()


def name(secret: bytes, slot: int) -> str:
    digest = blake2b(_NAME + slot.to_bytes(8, "little"), key=secret, digest_size=32).digest()
    return crockford.encode(digest[:_NAME_BYTES], group=NAME_CHARACTERS).lower()


def names_around(secret: bytes, slot: int) -> set[str]:
    """Those that a clock that differs by up to a slot would announce."""
    return {name(secret, near) for near in (slot - 1, slot, slot + 1) if near >= 0}


def names_of(secrets: Iterable[bytes], slot: int, most: int) -> list[str]:
    """What a peer announces: in order, so that nothing is told by the order of its devices."""
    return sorted(name(secret, slot) for secret in secrets)[:most]
