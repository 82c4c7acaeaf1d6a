"""The journal's cipher: AES-256-GCM under a key of its own per segment.

The journal (a store module, which may not know keys) is handed one of these. Same promise as the seal: what
comes out of `decrypt` is what went into `encrypt` with the same segment, nonce and associated data, or else
Corrupt is raised.
"""

import threading
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hyperfs.errors import Corrupt

NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
_CACHED_CIPHERS: Final = 64


class JournalCipher:
    """`key_for_segment` is `EpochKeys.journal_key` of the current epoch. Thread-safe.

    A segment that is recycled must get a new id: under the old one its former records would still open.
    """

    def __init__(self, key_for_segment: Callable[[int], bytes]) -> None:
        self._key_for_segment = key_for_segment
        # Read without the lock (a dict's get is atomic), changed under it.
        self._ciphers: dict[int, AESGCM] = {}
        self._lock = threading.Lock()

    def encrypt(self, segment_id: int, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
        """Ciphertext and tag, 16 bytes longer than the plaintext. `nonce`: 12 random bytes, new each time."""
        if len(nonce) != NONCE_BYTES:
            raise ValueError(f"a nonce has {NONCE_BYTES} bytes, not {len(nonce)}")
        return self._cipher(segment_id).encrypt(nonce, plaintext, aad)

    def decrypt(self, segment_id: int, nonce: bytes, aad: bytes, ciphertext: bytes | memoryview) -> bytes:
        """The plaintext. Raises Corrupt when anything differs from what was encrypted."""
        if len(nonce) != NONCE_BYTES or len(ciphertext) < TAG_BYTES:
            raise Corrupt("a journal record is too short", f"segment {segment_id}")
        try:
            return self._cipher(segment_id).decrypt(nonce, ciphertext, aad)
        except InvalidTag:
            raise Corrupt("a journal record's seal is broken", f"segment {segment_id}") from None

    def _cipher(self, segment_id: int) -> AESGCM:
        cipher = self._ciphers.get(segment_id)
        if cipher is None:
            cipher = AESGCM(self._key_for_segment(segment_id))
            with self._lock:
                while len(self._ciphers) >= _CACHED_CIPHERS:
                    del self._ciphers[next(iter(self._ciphers))]
                self._ciphers[segment_id] = cipher
        return cipher
