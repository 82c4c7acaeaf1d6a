"""A secret channel over a byte stream, as @hyperswarm/secret-stream 6 speaks it.

Everything goes in frames: u24 little-endian length, then as many bytes. First the three messages of the handshake;
then each side sends one frame of 56 bytes (an id of 32 bytes that proves that both mean the same connection, and the
header of libsodium's secretstream); then messages, each sealed by that stream, 17 bytes longer than they were. A frame
that is changed, repeated, left out or moved does not open. An empty message only keeps the connection alive.

Bytes in, events out; `data_to_send` has what is to be written. The state after an error is undefined: hang up.

What is to be sent lies here open until somebody takes it: sealing is the dear part, and `take` and `seal` are there for
an owner that has it done by another thread.
"""

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from hmac import compare_digest
from typing import Final, NamedTuple

from nacl.bindings import (
    crypto_secretstream_xchacha20poly1305_init_pull,
    crypto_secretstream_xchacha20poly1305_pull,
    crypto_secretstream_xchacha20poly1305_push,
    crypto_secretstream_xchacha20poly1305_state,
)
from nacl.exceptions import CryptoError

from hyperfs.errors import BadRequest, Misbehaved
from hyperfs.log.manifest import namespace
from hyperfs.replication.curve import CurveKeyPair
from hyperfs.replication.noise import Handshake

HEADER_BYTES: Final = 24
SEAL_BYTES: Final = 17
MOST_FRAME_BYTES: Final = (1 << 24) - 1
"""What the length before a frame can say."""
UNPROVEN_FRAME_BYTES: Final = 1 << 16
"""The longest frame from somebody who has not yet shown that they know a log's key."""

_LENGTH_BYTES: Final = 3
_ID_BYTES: Final = 32
_INITIATOR, _RESPONDER, _ = namespace("hyperswarm/secret-stream", 3)
_MESSAGE: Final = 0  # the only tag of secretstream that is used


class Connected(NamedTuple):
    """The handshake is done: who is there, and the hash that names this connection."""

    remote_key: bytes
    handshake_hash: bytes


def frame(data: bytes) -> bytes:
    if len(data) > MOST_FRAME_BYTES:
        raise BadRequest(f"a frame of {len(data)} bytes")
    return len(data).to_bytes(_LENGTH_BYTES, "little") + data


def sealed_bytes(message: bytes) -> int:
    """How many bytes a message takes on the wire."""
    return _LENGTH_BYTES + len(message) + SEAL_BYTES


class Frames:
    """Cuts a stream of bytes into frames; keeps at most the one that is still incomplete."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def add(self, data: bytes) -> None:
        self._bytes += data

    def next(self, least: int, most: int) -> bytes | None:
        """The next whole frame, None where more is needed. Misbehaved, at once, for a length out of bounds."""
        if len(self._bytes) < _LENGTH_BYTES:
            return None
        size = int.from_bytes(self._bytes[:_LENGTH_BYTES], "little")
        if not least <= size <= most:
            raise Misbehaved(f"a frame of {size} bytes where {least} to {most} may come")
        end = _LENGTH_BYTES + size
        if len(self._bytes) < end:
            return None
        found = bytes(memoryview(self._bytes)[_LENGTH_BYTES:end])
        del self._bytes[:end]  # moves an offset, not the rest
        return found


class SecretStream:
    """One side of a connection."""

    def __init__(self, is_initiator: bool, static: CurveKeyPair, ephemeral: bytes, header: bytes) -> None:
        """`ephemeral` (32) and `header` (24) are fresh random bytes, used for no other connection."""
        if len(header) != HEADER_BYTES:
            raise ValueError(f"a header has {HEADER_BYTES} bytes, not {len(header)}")
        self.is_initiator = is_initiator
        self.most_frame_bytes = UNPROVEN_FRAME_BYTES
        """Of what is received once the handshake is done. Raised by the owner when trust grows."""
        self._handshake = Handshake(is_initiator, static, CurveKeyPair(ephemeral))
        self._header = header
        self._frames = Frames()
        self._raw: list[bytes] = []  # frames of the handshake, before all messages
        self._unsealed: list[bytes] = []
        self._push = crypto_secretstream_xchacha20poly1305_state()
        self._pull = crypto_secretstream_xchacha20poly1305_state()
        self._receive_key = b""
        self._expected_id = b""
        self._is_open = False
        if is_initiator:
            self._raw.append(frame(self._handshake.send()))

    @property
    def can_send(self) -> bool:
        return self._handshake.is_done

    def data_to_send(self) -> bytes:
        """What is to be written since the last call."""
        raw, messages = self.take()
        return raw + self.seal(messages)

    def send(self, message: bytes) -> None:
        """Only once `can_send`."""
        assert self.can_send
        self._unsealed.append(message)

    def take(self) -> tuple[bytes, list[bytes]]:
        """(bytes, messages) since the last call: what is to be written, and then what is to be sealed and written."""
        raw, self._raw = self._raw, []
        messages, self._unsealed = self._unsealed, []
        return b"".join(raw), messages

    def seal(self, messages: Iterable[bytes]) -> bytes:
        """What is to be written of messages that were taken. In any one thread at a time, in the order of `take`."""
        return b"".join(frame(crypto_secretstream_xchacha20poly1305_push(self._push, found)) for found in messages)

    def receive(self, data: bytes) -> Iterator[Connected | bytes]:
        """What these bytes complete: Connected once, then messages, never empty ones. Misbehaved ends it.

        Iterate to the end before the next call.
        """
        self._frames.add(data)
        while (found := self._next()) is not None:
            if not self._handshake.is_done:
                if (connected := self._shake(found)) is not None:
                    yield connected
            elif not self._is_open:
                self._open(found)
            elif message := self._unseal(found):
                yield message

    def _next(self) -> bytes | None:
        if not self._handshake.is_done:
            size = self._handshake.expected_bytes
            return self._frames.next(size, size)
        if not self._is_open:
            return self._frames.next(_ID_BYTES + HEADER_BYTES, _ID_BYTES + HEADER_BYTES)
        return self._frames.next(SEAL_BYTES, self.most_frame_bytes)

    def _shake(self, message: bytes) -> Connected | None:
        handshake = self._handshake
        handshake.receive(message)
        if not handshake.is_done:
            self._raw.append(frame(handshake.send()))
        if not handshake.is_done:
            return None
        secrets = handshake.secrets()
        mine, theirs = (_INITIATOR, _RESPONDER) if self.is_initiator else (_RESPONDER, _INITIATOR)
        self._receive_key = secrets.receive_key
        self._expected_id = blake2b(theirs, key=secrets.handshake_hash, digest_size=_ID_BYTES).digest()
        # libsodium's init_push draws the header itself; init_pull comes to the same state from one that is given.
        crypto_secretstream_xchacha20poly1305_init_pull(self._push, self._header, secrets.send_key)
        own = blake2b(mine, key=secrets.handshake_hash, digest_size=_ID_BYTES).digest()
        self._raw.append(frame(own + self._header))
        return Connected(secrets.remote_key, secrets.handshake_hash)

    def _open(self, message: bytes) -> None:
        if not compare_digest(message[:_ID_BYTES], self._expected_id):
            raise Misbehaved("the other side's first message is not of this connection")
        crypto_secretstream_xchacha20poly1305_init_pull(self._pull, message[_ID_BYTES:], self._receive_key)
        self._is_open = True

    def _unseal(self, sealed: bytes) -> bytes:
        try:
            message, tag = crypto_secretstream_xchacha20poly1305_pull(self._pull, sealed)
        except CryptoError:
            raise Misbehaved("a message does not authenticate") from None
        if tag != _MESSAGE:
            raise Misbehaved(f"a message has the tag {tag}")
        return bytes(message)
