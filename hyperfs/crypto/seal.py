"""The seal: a block's cleartext header, and its payload encrypted and bound to that header.

    block = header (40) [base (16)] nonce (12) ciphertext tag (16)

The header with its base is the associated data, so not a bit of it can change; the log's 32-byte key enters
through the derived cipher key. Compression is the caller's: what goes in here is what `codec` says. A sealed
block never begins with a zero byte, so a punched hole is not taken for one. The page is docs/formats/seal.md.
"""

import struct
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hyperfs.crypto.keys import RUN_BITS, EpochKeys
from hyperfs.errors import Corrupt, FormatTooNew, KeyMissing

FORMAT: Final = 1

KIND_CHUNK: Final = 1
KIND_PACK: Final = 2
KIND_NODES: Final = 3
"""Nodes of the trie, one or more."""
KIND_COMMIT: Final = 4
KIND_VOID: Final = 5
KIND_DEAD: Final = 6
"""Goes on with the list of a commit's dead that is too long for its block."""

CODEC_RAW: Final = 0
CODEC_ZSTD: Final = 1
CODEC_ZSTD_BASE: Final = 2

CIPHER_AES_256_GCM: Final = 1
CIPHER_XCHACHA20_POLY1305: Final = 2
"""Reserved: nothing writes or reads it yet."""

HEADER_BYTES: Final = 40
BASE_BYTES: Final = 16
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
OVERHEAD_BYTES: Final = HEADER_BYTES + NONCE_BYTES + TAG_BYTES
"""What the seal adds to a payload (16 more with a base)."""

MAX_DECODED_BYTES: Final = 16 << 20
"""Largest decoded length, payload and padding, each. A reader may allocate this much and no more."""
MAX_BLOCK_BYTES: Final = OVERHEAD_BYTES + BASE_BYTES + 2 * MAX_DECODED_BYTES

_HEADER: Final = struct.Struct("<BBBBII4sIIQII")
_CACHED_CIPHERS: Final = 512
"""Derived cipher objects kept, about 1 KiB each: one serves a run of 2^20 blocks."""


@dataclass(frozen=True, slots=True)
class BlockHeader:
    """What a block says of itself in clear. Lengths in bytes; `base`: 16 bytes iff CODEC_ZSTD_BASE."""

    kind: int
    cipher: int
    codec: int
    realm: int
    epoch: int
    key_id: bytes
    log: int
    fork: int
    index: int
    decoded_length: int
    padding: int
    base: bytes | None

    def encode(self) -> bytes:
        """40 bytes, or 56 with a base."""
        fixed = _HEADER.pack(
            FORMAT,
            self.kind,
            self.cipher,
            self.codec,
            self.realm,
            self.epoch,
            self.key_id,
            self.log,
            self.fork,
            self.index,
            self.decoded_length,
            self.padding,
        )
        return fixed if self.base is None else fixed + self.base

    @classmethod
    def parse(cls, block: bytes | memoryview) -> Self:
        """The header of a sealed block, not yet authenticated: believe it only after `Sealer.open`.

        Raises Corrupt when it can't be one of ours, FormatTooNew for a later format.
        """
        if len(block) < OVERHEAD_BYTES:
            raise Corrupt(f"a sealed block has at least {OVERHEAD_BYTES} bytes, this one {len(block)}")
        (format_, kind, cipher, codec, realm, epoch, key_id, log, fork, index, decoded_length, padding) = (
            _HEADER.unpack_from(block)
        )
        if format_ != FORMAT:
            if format_ == 0:
                raise Corrupt("a block begins with a zero byte")
            raise FormatTooNew("a block", format_, FORMAT)
        if not KIND_CHUNK <= kind <= KIND_DEAD or codec > CODEC_ZSTD_BASE:
            raise Corrupt(f"a block has kind {kind} and codec {codec}, which do not exist")
        if decoded_length > MAX_DECODED_BYTES or padding > MAX_DECODED_BYTES:
            raise Corrupt(f"a block claims {decoded_length} bytes and {padding} of padding")
        base = None
        if codec == CODEC_ZSTD_BASE:
            if len(block) < OVERHEAD_BYTES + BASE_BYTES:
                raise Corrupt("a block is too short for its base")
            base = bytes(block[HEADER_BYTES : HEADER_BYTES + BASE_BYTES])
        return cls(kind, cipher, codec, realm, epoch, key_id, log, fork, index, decoded_length, padding, base)


class Sealer:
    """Seals and opens blocks with the epoch keys of one drive. All methods may be called from any thread.

    Holds no position and no log: the caller gives both, and a nonce of 12 random bytes, new for every call.
    """

    def __init__(self, epoch_keys: Mapping[int, EpochKeys], permitted: Collection[int], current: int) -> None:
        """`permitted`: cipher ids of the signed epoch records. `current`: the epoch that seals.

        Raises KeyMissing when there is no key of the current epoch, ValueError when no cipher is usable.
        """
        if current not in epoch_keys:
            raise KeyMissing(f"no key for epoch {current}, the drive's current one")
        if CIPHER_AES_256_GCM not in permitted:
            raise ValueError(f"this drive permits ciphers {sorted(permitted)}; {CIPHER_AES_256_GCM} is known")
        self._keys = dict(epoch_keys)
        self._permitted = frozenset(permitted)
        self._current = self._keys[current]
        # Read without the lock (a dict's get is atomic), changed under it.
        self._ciphers: dict[tuple[bytes, bytes, int, int, int], AESGCM] = {}
        self._lock = threading.Lock()

    @property
    def epoch(self) -> int:
        """The epoch that new blocks are sealed under."""
        return self._current.epoch

    @property
    def epoch_keys(self) -> dict[int, EpochKeys]:
        """All that are here: for whoever gives them on."""
        return dict(self._keys)

    def admit(self, epoch_keys: Mapping[int, EpochKeys], permitted: Collection[int]) -> None:
        """Blocks of these epochs open from now on as well. What is sealed is sealed as before."""
        with self._lock:
            self._keys = {**self._keys, **epoch_keys}
            self._permitted |= frozenset(permitted)

    def seal(
        self,
        log_number: int,
        log_key: bytes,
        fork: int,
        index: int,
        kind: int,
        codec: int,
        decoded_length: int,
        payload: bytes | bytearray | memoryview,
        nonce: bytes,
        realm: int = 0,
        base: bytes | None = None,
        padding: int = 0,
    ) -> bytes:
        """The block for `index` of the log. `padding` zero bytes hide the payload's length.

        Raises ValueError for what a reader would refuse; that is a fault of the caller.
        """
        keys = self._current
        _check_writable(kind, codec, decoded_length, payload, nonce, base, padding)
        header = _HEADER.pack(
            FORMAT,
            kind,
            CIPHER_AES_256_GCM,
            codec,
            realm,
            keys.epoch,
            keys.key_id,
            log_number,
            fork,
            index,
            decoded_length,
            padding,
        )
        if base is not None:
            header += base
        if padding:
            payload = bytes(payload) + bytes(padding)
        cipher = self._cipher(keys, log_key, realm, kind, index >> RUN_BITS)
        return header + nonce + cipher.encrypt(nonce, payload, header)

    def open(
        self, log_number: int, log_key: bytes, fork: int | None, index: int, block: bytes | memoryview
    ) -> tuple[BlockHeader, bytes]:
        """Header and payload (still encoded by `codec`) of block `index` of the log.

        `fork` is the log's present fork: blocks from before a truncate carry an older one and are good, a
        later one is refused; None asks nothing. Raises Corrupt for anything that is not the block sealed for
        this place, FormatTooNew, KeyMissing for an epoch of this drive whose key is not here.
        """
        header = BlockHeader.parse(block)
        if header.log != log_number or header.index != index:
            elsewhere = f"block {header.index} of log {header.log}"
            raise Corrupt(f"a block was sealed as {elsewhere}", _place(log_number, index))
        if fork is not None and header.fork > fork:
            later = f"fork {header.fork}, later than {fork}"
            raise Corrupt(f"a block was sealed under {later}", _place(log_number, index))
        if header.cipher not in self._permitted or header.cipher != CIPHER_AES_256_GCM:
            raise Corrupt(f"a block uses cipher {header.cipher}, not permitted", _place(log_number, index))
        keys = self._epoch(header, index)
        start = HEADER_BYTES if header.base is None else HEADER_BYTES + BASE_BYTES
        cipher = self._cipher(keys, log_key, header.realm, header.kind, index >> RUN_BITS)
        sealed = start + NONCE_BYTES
        view = memoryview(block)
        try:
            payload = cipher.decrypt(view[start:sealed], view[sealed:], view[:start])
        except InvalidTag:
            raise Corrupt("a block's seal is broken", _place(log_number, index)) from None
        if header.padding:
            payload = _strip(payload, header.padding, _place(log_number, index))
        return header, payload

    def _epoch(self, header: BlockHeader, index: int) -> EpochKeys:
        keys = self._keys.get(header.epoch)
        if keys is None:
            if 1 <= header.epoch <= self._current.epoch:
                raise KeyMissing(f"no key for epoch {header.epoch} ({_place(header.log, index)})")
            raise Corrupt(f"a block names epoch {header.epoch}, which never was", _place(header.log, index))
        if keys.key_id != header.key_id:
            raise Corrupt(f"a block names another key for epoch {header.epoch}", _place(header.log, index))
        return keys

    def _cipher(self, keys: EpochKeys, log_key: bytes, realm: int, kind: int, run: int) -> AESGCM:
        wanted = (keys.key_id, log_key, realm, kind, run)
        cipher = self._ciphers.get(wanted)
        if cipher is None:
            cipher = AESGCM(keys.block_key(log_key, realm, kind, run))
            with self._lock:
                while len(self._ciphers) >= _CACHED_CIPHERS:
                    del self._ciphers[next(iter(self._ciphers))]
                self._ciphers[wanted] = cipher
        return cipher


def _place(log: int, index: int) -> str:
    return f"log {log} block {index}"


def _strip(payload: bytes, padding: int, place: str) -> bytes:
    if padding > len(payload) or payload.count(0, len(payload) - padding) != padding:
        raise Corrupt("a block's padding is not what its header says", place)
    return payload[:-padding]


def _check_writable(
    kind: int,
    codec: int,
    decoded_length: int,
    payload: bytes | bytearray | memoryview,
    nonce: bytes,
    base: bytes | None,
    padding: int,
) -> None:
    if not KIND_CHUNK <= kind <= KIND_DEAD:
        raise ValueError(f"no kind {kind}")
    if not CODEC_RAW <= codec <= CODEC_ZSTD_BASE:
        raise ValueError(f"no codec {codec}")
    if (base is not None) != (codec == CODEC_ZSTD_BASE) or (base is not None and len(base) != BASE_BYTES):
        raise ValueError(f"codec {codec} with base {base!r}")
    if len(nonce) != NONCE_BYTES:
        raise ValueError(f"a nonce has {NONCE_BYTES} bytes, not {len(nonce)}")
    if max(decoded_length, len(payload), padding) > MAX_DECODED_BYTES:
        raise ValueError(f"{decoded_length} bytes as {len(payload)} with padding {padding}: over the bound")
