"""What protomux's messages say: which channel, and for channel 0 the control of the others. Encode beside decode.

    message  = channel (uint), type (uint), payload
    channel 0, type 0   batch   channel (uint), then items: size (uint), type (uint), payload; a size of 0 is
                                followed by the channel of the items after it
               type 1   open    the opener's number (uint), protocol (string), id (buffer, may be empty), handshake
               type 2   reject  the opener's number (uint)
               type 3   close   the closer's number (uint)
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from hyperfs.errors import Corrupt
from hyperfs.log import compact

BATCH, OPEN, REJECT, CLOSE = range(4)
CONTROL: Final = 0
_MOST_NAME_BYTES: Final = 255
MOST_IN_BATCH: Final = 1 << 14
"""Messages. npm bounds a batch by its bytes alone, and a frame of empty ones would keep this side busy for a minute."""


class Message(NamedTuple):
    """`body`: the type and the payload, as they stand in a batch."""

    channel: int
    body: bytes


class OpenChannel(NamedTuple):
    """`number` is the opener's; `id` b"" for none."""

    number: int
    protocol: str
    id: bytes
    handshake: bytes


def body(kind: int, payload: bytes) -> bytes:
    return compact.uint(kind) + payload


def split_body(data: bytes) -> tuple[int, bytes]:
    """(type, payload)."""
    reader = compact.Reader(data, "message")
    return reader.uint(), reader.rest()


def encode_message(message: Message) -> bytes:
    return compact.uint(message.channel) + message.body


def encode_batch(messages: Sequence[Message]) -> bytes:
    """Messages that go in one frame, at least one."""
    channel = messages[0].channel
    parts = [b"\0\0", compact.uint(channel)]
    for message in messages:
        if message.channel != channel:
            channel = message.channel
            parts += [b"\0", compact.uint(channel)]
        parts.append(compact.buffer(message.body))
    return b"".join(parts)


def decode_messages(data: bytes) -> Iterator[Message]:
    """The messages of one frame, a batch's one by one: what stands before a fault has been given by then.

    A batch within a batch is Corrupt: nobody sends one, and it could be nested without end.
    """
    reader = compact.Reader(data, "frame")
    first = Message(reader.uint(), reader.rest())
    if not _is_batch(first):
        yield first
        return
    reader = compact.Reader(first.body[1:], "batch")
    channel = reader.uint()
    count = 0
    while reader.left:
        count += 1
        if count > MOST_IN_BATCH:
            raise Corrupt(f"a batch of more than {MOST_IN_BATCH} messages")
        size = reader.uint()
        if size == 0:
            channel = reader.uint()
            continue
        message = Message(channel, reader.take(size))
        if _is_batch(message):
            raise Corrupt("a batch holds a batch")
        yield message


def _is_batch(message: Message) -> bool:
    return message.channel == CONTROL and message.body[:1] == b"\0"


def encode_open(opening: OpenChannel) -> bytes:
    protocol = opening.protocol.encode()
    return compact.uint(opening.number) + compact.buffer(protocol) + compact.buffer(opening.id) + opening.handshake


def decode_open(payload: bytes) -> OpenChannel:
    reader = compact.Reader(payload, "an opening of a channel")
    number = reader.uint()
    name, id_ = reader.buffer(), reader.buffer()
    if max(len(name), len(id_)) > _MOST_NAME_BYTES:
        raise Corrupt("a channel's protocol or id is too long")
    return OpenChannel(number, compact.text(name, "protocol"), id_, reader.rest())


def encode_number(number: int) -> bytes:
    """Of a reject or a close."""
    return compact.uint(number)


def decode_number(payload: bytes) -> int:
    return compact.Reader(payload, "a number of a channel").uint()
