"""Key files: a secret of a store as bytes for a 0600 file, plain or wrapped by a passphrase.

    file = magic (8) format kind wrapping zero (1 each) length (u32)
           [passes (u32) memory in KiB (u32) salt (16) nonce (12)]     only when wrapped
           body                                                        16 longer when wrapped
           checksum (32)

Wrapped: AES-256-GCM under Argon2id of the passphrase; everything before the body is associated data. The
checksum (BLAKE2b-256, no key) covers all before it, so that a damaged file is Corrupt and not a wrong
passphrase. The page is docs/formats/keys.md.
"""

import struct
import unicodedata
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nacl.exceptions import CryptoError
from nacl.pwhash import argon2id

from hyperfs.errors import Corrupt, FormatTooNew, WrongPassphrase

MAGIC: Final = b"hyperkey"
FORMAT: Final = 1

KIND_DEVICE: Final = 1
KIND_ROOT: Final = 2
WRAP_NONE: Final = 0
WRAP_ARGON2ID: Final = 1

SALT_BYTES: Final = 16
NONCE_BYTES: Final = 12
MAX_BODY_BYTES: Final = 4096
MAX_FILE_BYTES: Final = 8192
"""Read no more of a key file than this."""
MAX_PASSPHRASE_BYTES: Final = 1024

MIN_PASSES: Final = 2
MAX_PASSES: Final = 16
MIN_MEMORY_KIB: Final = 64 << 10
MAX_MEMORY_KIB: Final = 1 << 20
"""Floors: a file with less was not written by us and would be cheap to guess. Ceilings: what a forged file
may cost us before we know that it is forged."""

_TAG_BYTES: Final = 16
_SUM_BYTES: Final = 32
_HEAD: Final = struct.Struct("<8sBBBBI")
_ARGON2ID: Final = struct.Struct("<II16s12s")
_NAMES: Final = {KIND_DEVICE: "the device's key file", KIND_ROOT: "the root's key file"}


@dataclass(frozen=True, slots=True)
class Cost:
    """What one guess at the passphrase costs: Argon2id's passes and memory, one lane."""

    passes: int
    memory_kib: int

    def __post_init__(self) -> None:
        if not (MIN_PASSES <= self.passes <= MAX_PASSES and self._memory_allowed()):
            raise ValueError(f"{self.passes} passes over {self.memory_kib} KiB: outside the bounds")

    def _memory_allowed(self) -> bool:
        return MIN_MEMORY_KIB <= self.memory_kib <= MAX_MEMORY_KIB


DEFAULT_COST: Final = Cost(passes=3, memory_kib=256 << 10)
"""libsodium's "moderate": about half a second on a laptop."""
LEAST_COST: Final = Cost(MIN_PASSES, MIN_MEMORY_KIB)


def normalise(passphrase: bytes) -> bytes:
    """One passphrase, however it was typed or stored: no line end after it, and NFC where it is UTF-8."""
    passphrase = passphrase.removesuffix(b"\n").removesuffix(b"\r")
    try:
        return unicodedata.normalize("NFC", passphrase.decode()).encode()
    except UnicodeDecodeError:
        return passphrase


def is_wrapped(data: bytes) -> bool:
    """Whether a passphrase is needed. Raises as `unwrap` does for what is no whole key file."""
    return _parse(data, None)[2] == WRAP_ARGON2ID


def wrap(
    kind: int,
    body: bytes,
    passphrase: bytes | None = None,
    salt: bytes = b"",
    nonce: bytes = b"",
    cost: Cost = DEFAULT_COST,
) -> bytes:
    """The key file of `body`. With a passphrase: `salt` (16) and `nonce` (12) are fresh random bytes.

    Takes as long, and as much memory, as `cost` says: call it in a worker thread. Raises ValueError for
    arguments out of bounds, an empty passphrase among them.
    """
    if kind not in _NAMES or not 0 < len(body) <= MAX_BODY_BYTES:
        raise ValueError(f"no key file of kind {kind} with {len(body)} bytes")
    if passphrase is None:
        return _summed(_HEAD.pack(MAGIC, FORMAT, kind, WRAP_NONE, 0, len(body)) + body)
    if len(salt) != SALT_BYTES or len(nonce) != NONCE_BYTES:
        raise ValueError(f"salt of {len(salt)} and nonce of {len(nonce)} bytes")
    head = _HEAD.pack(MAGIC, FORMAT, kind, WRAP_ARGON2ID, 0, len(body) + _TAG_BYTES)
    head += _ARGON2ID.pack(cost.passes, cost.memory_kib, salt, nonce)
    sealed = AESGCM(_stretch(passphrase, salt, cost)).encrypt(nonce, body, head)
    return _summed(head + sealed)


def unwrap(data: bytes, kind: int, passphrase: bytes | None = None) -> bytes:
    """The body of a key file of `kind`. A passphrase that is given and not needed is not looked at.

    Raises Corrupt for damage, another kind, or parameters out of bounds (before spending anything on them),
    FormatTooNew, WrongPassphrase when the passphrase is missing or does not open it.
    """
    head, body, wrapping = _parse(data, kind)
    if wrapping == WRAP_NONE:
        return body
    passes, memory_kib, salt, nonce = _ARGON2ID.unpack_from(head, _HEAD.size)
    try:
        cost = Cost(passes, memory_kib)
    except ValueError as error:
        raise Corrupt(f"{_NAMES[kind]} asks for a wrapping that nobody may use: {error}") from None
    if passphrase is None:
        raise WrongPassphrase(f"{_NAMES[kind]} is wrapped by a passphrase: give it to open the drive")
    try:
        return AESGCM(_stretch(passphrase, salt, cost)).decrypt(nonce, body, head)
    except InvalidTag:
        raise WrongPassphrase(f"the passphrase does not open {_NAMES[kind]}") from None


def _parse(data: bytes, kind: int | None) -> tuple[bytes, bytes, int]:
    """(what is before the body, body, wrapping), with format, lengths and checksum checked."""
    if len(data) < _HEAD.size + _SUM_BYTES or data[: len(MAGIC)] != MAGIC:
        raise Corrupt("this is no key file, or only the beginning of one", advice=_ADVICE)
    _, format_, found, wrapping, zero, length = _HEAD.unpack_from(data)
    whole = data[-_SUM_BYTES:] == _checksum(data[:-_SUM_BYTES])
    if format_ > FORMAT and whole:
        raise FormatTooNew("the key file", format_, FORMAT)
    start = _HEAD.size + (_ARGON2ID.size if wrapping == WRAP_ARGON2ID else 0)
    if not whole or format_ != FORMAT or zero or found not in _NAMES or wrapping > WRAP_ARGON2ID:
        raise Corrupt("the key file is damaged", advice=_ADVICE)
    if length > MAX_BODY_BYTES + _TAG_BYTES or start + length + _SUM_BYTES != len(data):
        raise Corrupt("the key file is damaged: its lengths don't fit", advice=_ADVICE)
    if kind is not None and found != kind:
        raise Corrupt(f"this is {_NAMES[found]} and not {_NAMES[kind]}")
    return data[:start], data[start:-_SUM_BYTES], wrapping


_ADVICE: Final = "put back a copy, or use the recovery key"


def _stretch(passphrase: bytes, salt: bytes, cost: Cost) -> bytes:
    """The wrapping key. ValueError for an empty or overlong passphrase, MemoryError short of memory."""
    if not 0 < len(passphrase) <= MAX_PASSPHRASE_BYTES:
        raise ValueError(f"a passphrase has 1..{MAX_PASSPHRASE_BYTES} bytes")
    try:
        return argon2id.kdf(32, passphrase, salt, opslimit=cost.passes, memlimit=cost.memory_kib << 10)
    except (CryptoError, RuntimeError) as error:
        raise MemoryError(f"opening the key file needs {cost.memory_kib >> 10} MiB of memory") from error


def _summed(data: bytes) -> bytes:
    return data + _checksum(data)


def _checksum(data: bytes) -> bytes:
    return blake2b(data, digest_size=_SUM_BYTES).digest()
