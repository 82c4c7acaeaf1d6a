"""The keys of a drive and what is derived from them.

Three kinds of secret, none derived from another: the root seed (signs rosters; its text is the recovery
key), a device's own seeds, and per epoch an epoch key together with the drive's lifetime key. Everything else
comes out of these by `derive`, one domain each. Whoever makes a secret passes its random bytes in: nothing
here is random.

No secret is ever in a repr. Keys are ordinary `bytes`: Python can't wipe them, a short life is all we can do.
The page is docs/formats/keys.md.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, Self

from nacl.bindings import crypto_box, crypto_scalarmult_base
from nacl.exceptions import BadSignatureError, CryptoError
from nacl.public import PrivateKey, SealedBox
from nacl.signing import SigningKey, VerifyKey

from hyperfs.errors import Corrupt

KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
KEY_ID_BYTES: Final = 4

LOG_METADATA: Final = 1
LOG_CONTENT: Final = 2

RUN_BITS: Final = 20
"""A block key serves 2^20 indices of one log: random 96-bit nonces stay far below their bound, 2^32 uses."""

# Each domain appears once. Changing one makes every store unreadable.
_ROOT_SIGNING: Final = b"hyperfs/v1/root/signing"
_ROOT_RECOVERY: Final = b"hyperfs/v1/root/recovery-box"
_LOG_SIGNING: Final = b"hyperfs/v1/device/log-signing"
_EPOCH_KEY_ID: Final = b"hyperfs/v1/epoch/key-id"
_EPOCH_BLOCK: Final = b"hyperfs/v1/epoch/block"
_EPOCH_JOURNAL: Final = b"hyperfs/v1/epoch/journal"
_DRIVE_NODE_ID: Final = b"hyperfs/v1/drive/node-id"
_DRIVE_CHUNK_ID: Final = b"hyperfs/v1/drive/chunk-id"

_BLOCK_CONTEXT: Final = struct.Struct("<32sIBQ")
_LOG_CONTEXT: Final = struct.Struct("<BI")
_SEGMENT_CONTEXT: Final = struct.Struct("<Q")
_REALM_CONTEXT: Final = struct.Struct("<I")


def derive(key: bytes, domain: bytes, context: bytes = b"") -> bytes:
    """32 bytes: BLAKE2b-256 keyed with `key` over domain, a zero byte, context.

    Domains hold no zero byte and each has a context of one fixed width, so no two inputs are equal.
    """
    return blake2b(domain + b"\0" + context, digest_size=KEY_BYTES, key=_secret(key)).digest()


def _secret(value: bytes) -> bytes:
    if len(value) != KEY_BYTES:
        raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(value)}")
    return value


class SigningKeyPair:
    """Ed25519 from a 32-byte seed, as libsodium (and thus Hypercore) does it."""

    __slots__ = ("_key", "public_key")

    def __init__(self, seed: bytes) -> None:
        self._key = SigningKey(_secret(seed))
        self.public_key: bytes = self._key.verify_key.encode()

    def sign(self, message: bytes) -> bytes:
        """The detached signature, 64 bytes. Deterministic."""
        return self._key.sign(message).signature

    def __repr__(self) -> str:
        return f"SigningKeyPair({self.public_key.hex()})"


def verify_signature(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` is the key's over `message`. Malformed keys and signatures are just not valid."""
    if len(public_key) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        VerifyKey(public_key).verify(message, signature)
    except (BadSignatureError, CryptoError):
        return False
    return True


class BoxKeyPair:
    """X25519 from a 32-byte secret: receives what was sealed to its public key."""

    __slots__ = ("_key", "public_key")

    def __init__(self, seed: bytes) -> None:
        self._key = PrivateKey(_secret(seed))
        self.public_key: bytes = self._key.public_key.encode()

    def open(self, sealed: bytes) -> bytes:
        """What `seal_to` closed. Raises Corrupt when it is damaged or was sealed to somebody else."""
        try:
            return SealedBox(self._key).decrypt(sealed)
        except (CryptoError, ValueError, TypeError):
            raise Corrupt("a sealed copy of keys does not open", f"box {self.public_key.hex()}") from None

    def secret(self) -> bytes:
        """The 32 secret bytes, for a handshake that does its own X25519."""
        return self._key.encode()

    def __repr__(self) -> str:
        return f"BoxKeyPair({self.public_key.hex()})"


def seal_to(public_key: bytes, plaintext: bytes, ephemeral: bytes) -> bytes:
    """libsodium's sealed box with the caller's randomness: `ephemeral` is 32 random bytes, used once.

    The result (48 bytes longer than the plaintext) opens with any libsodium's crypto_box_seal_open.
    Raises ValueError for a public key of low order: nobody could be meant by it.
    """
    sender = crypto_scalarmult_base(_secret(ephemeral))
    nonce = blake2b(sender + _secret(public_key), digest_size=24).digest()
    try:
        return sender + crypto_box(plaintext, nonce, public_key, ephemeral)
    except (CryptoError, RuntimeError):
        raise ValueError("the recipient's public key is of low order") from None


@dataclass(frozen=True, slots=True)
class RootSeed:
    """The root of a drive: 32 random bytes. Lies apart from the store; `recovery` writes it as text."""

    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        _secret(self.seed)

    def signing(self) -> SigningKeyPair:
        """Signs rosters, epochs and successions of the control chain."""
        return SigningKeyPair(derive(self.seed, _ROOT_SIGNING))

    def recovery_box(self) -> BoxKeyPair:
        """Every epoch's keys are sealed to it too: so the root seed alone opens the drive."""
        return BoxKeyPair(derive(self.seed, _ROOT_RECOVERY))

    def to_bytes(self) -> bytes:
        return self.seed

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises Corrupt for a wrong length."""
        if len(data) != KEY_BYTES:
            raise Corrupt(f"a root seed has {KEY_BYTES} bytes, not {len(data)}")
        return cls(data)


@dataclass(frozen=True, slots=True)
class DeviceKeys:
    """A device's own four random seeds of 32 bytes. They never leave it; the root certifies public parts."""

    signing_seed: bytes = field(repr=False)
    box_seed: bytes = field(repr=False)
    transport_seed: bytes = field(repr=False)
    log_seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        for seed in (self.signing_seed, self.box_seed, self.transport_seed, self.log_seed):
            _secret(seed)

    def signing(self) -> SigningKeyPair:
        return SigningKeyPair(self.signing_seed)

    def box(self) -> BoxKeyPair:
        return BoxKeyPair(self.box_seed)

    def transport(self) -> BoxKeyPair:
        return BoxKeyPair(self.transport_seed)

    def log_signer(self, kind: int, serial: int) -> SigningKeyPair:
        """The key pair of this device's log: kind LOG_METADATA or LOG_CONTENT, serial from 0.

        A log that is rotated gets the next serial: a key signs one log only.
        """
        return SigningKeyPair(derive(self.log_seed, _LOG_SIGNING, _LOG_CONTEXT.pack(kind, serial)))

    def to_bytes(self) -> bytes:
        """128 bytes: signing, box, transport, log seed."""
        return self.signing_seed + self.box_seed + self.transport_seed + self.log_seed

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises Corrupt for a wrong length."""
        if len(data) != 4 * KEY_BYTES:
            raise Corrupt(f"device keys have {4 * KEY_BYTES} bytes, not {len(data)}")
        return cls(*(data[at : at + KEY_BYTES] for at in range(0, len(data), KEY_BYTES)))


@dataclass(frozen=True, slots=True)
class EpochKeys:
    """What one epoch record gives to those that it is sealed to. Epochs count from 1.

    `epoch_key` seals blocks and journals and changes with each epoch. `drive_key` makes ids and is the same
    in all epochs of a drive.
    """

    epoch: int
    epoch_key: bytes = field(repr=False)
    drive_key: bytes = field(repr=False)
    key_id: bytes = field(init=False)
    """4 bytes, public: names the epoch key in block headers, so that a wrong key is told from damage."""

    def __post_init__(self) -> None:
        if not 1 <= self.epoch <= 0xFFFFFFFF:
            raise ValueError(f"epochs are 1..2^32-1, not {self.epoch}")
        _secret(self.drive_key)
        object.__setattr__(self, "key_id", derive(self.epoch_key, _EPOCH_KEY_ID)[:KEY_ID_BYTES])

    def payload(self) -> bytes:
        """The 64 bytes that an epoch record seals to each recipient: epoch key, drive key."""
        return self.epoch_key + self.drive_key

    @classmethod
    def from_payload(cls, epoch: int, payload: bytes) -> Self:
        """Raises Corrupt for a wrong length. The caller compares `key_id` with the epoch record's."""
        if len(payload) != 2 * KEY_BYTES:
            raise Corrupt(f"an epoch's keys have {2 * KEY_BYTES} bytes, not {len(payload)}", f"epoch {epoch}")
        return cls(epoch, payload[:KEY_BYTES], payload[KEY_BYTES:])

    def sealed_copies(self, recipients: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """(recipient's public key, sealed payload) for each (public key, 32 fresh random bytes)."""
        return [(public, seal_to(public, self.payload(), ephemeral)) for public, ephemeral in recipients]

    def block_key(self, log_key: bytes, realm: int, kind: int, run: int) -> bytes:
        """The cipher key of a log's blocks of one kind with index >> RUN_BITS == run.

        `log_key` is the log's 32-byte key (its manifest hash): a block can't be moved to another log.
        """
        return derive(self.epoch_key, _EPOCH_BLOCK, _BLOCK_CONTEXT.pack(_secret(log_key), realm, kind, run))

    def journal_key(self, segment_id: int) -> bytes:
        """The cipher key of one journal segment. Segment ids (u64) are never used twice on a device."""
        return derive(self.epoch_key, _EPOCH_JOURNAL, _SEGMENT_CONTEXT.pack(segment_id))

    def node_id_key(self, realm: int = 0) -> bytes:
        """Drive-lifetime key of `ids.node_id`; each realm has its own, so equal things don't show across."""
        return derive(self.drive_key, _DRIVE_NODE_ID, _REALM_CONTEXT.pack(realm))

    def chunk_id_key(self, realm: int = 0) -> bytes:
        """Drive-lifetime key of `ids.chunk_id`; each realm deduplicates for itself."""
        return derive(self.drive_key, _DRIVE_CHUNK_ID, _REALM_CONTEXT.pack(realm))
