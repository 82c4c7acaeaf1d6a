"""What the channel `hyperfs/1` says: requests, answers and notices. Encode beside decode.

    type 0   request   id (uint), method (uint), body (buffer)
    type 1   answer    id (uint), status (uint), body (buffer)
    type 2   notice    kind (uint), body (buffer)

What follows the fields that are known is ignored: a later version may add some. Bodies: dialogue_bodies.py.
"""

from enum import IntEnum
from typing import Final, NamedTuple

from hyperfs.errors import Corrupt
from hyperfs.log import compact

PROTOCOL: Final = "hyperfs/1"
VERSION: Final = 1
MOST_BODY_BYTES: Final = 1 << 20
MOST_WORDS_BYTES: Final = 1024


class Method(IntEnum):
    PAIR = 1
    DRIVES = 2
    CHAIN = 3
    OFFER = 4
    HEADS = 5
    RECEIPT = 6
    AUDIT = 7
    SPACE = 8
    ADMIT = 9
    DISMISS = 10
    STATE = 11


class Status(IntEnum):
    """The body of all but OK is words for people."""

    OK = 0
    REFUSED = 1
    NOT_HERE = 2
    FULL = 3
    CONTRADICTION = 4
    BAD_REQUEST = 5


class Notice(IntEnum):
    """Those of a kind that is not known are ignored."""

    CHAIN = 1
    """A drive's control chain has grown. Body: drive{32}, uint records."""
    TROUBLE = 2
    """Why something of a log is not taken: a quota, a full disk, a rule. Body: discovery key{32}, words."""
    LEAVING = 3
    """It is about to end all connections. Body: words."""
    GONE = 4
    """It holds a drive no more: what it had is gone, and its receipts say nothing. Body: drive{32}, words."""


class Request(NamedTuple):
    """`id` from 1, of the side that asks; in use until its answer."""

    id: int
    method: int
    body: bytes


class Answer(NamedTuple):
    id: int
    status: int
    body: bytes


class Notified(NamedTuple):
    kind: int
    body: bytes


Message = Request | Answer | Notified
_TYPES: Final = (Request, Answer, Notified)


def encode_handshake(version: int = VERSION) -> bytes:
    return compact.uint(version)


def decode_handshake(payload: bytes) -> int:
    """The highest version that the other side speaks; Corrupt for none."""
    version = compact.Reader(payload, "handshake of hyperfs/1").uint()
    if version < 1:
        raise Corrupt("a side speaks version 0 of hyperfs/1, which never was")
    return version


def encode(message: Message) -> tuple[int, bytes]:
    """(type, payload)."""
    *numbers, body = message
    return _TYPES.index(type(message)), b"".join(map(compact.uint, numbers)) + compact.buffer(body)


def decode(kind: int, payload: bytes) -> Message | None:
    """None for a type that is not known. Corrupt for bytes that say nothing, and for a body that is too long."""
    if not 0 <= kind < len(_TYPES):
        return None
    reader = compact.Reader(payload, f"{_TYPES[kind].__name__} of hyperfs/1")
    match kind:
        case 0:
            return Request(reader.uint(), reader.uint(), _body(reader))
        case 1:
            return Answer(reader.uint(), reader.uint(), _body(reader))
        case _:
            return Notified(reader.uint(), _body(reader))


def encode_words(text: str) -> bytes:
    """For people; cut off where it is too long."""
    return text.encode(errors="replace")[:MOST_WORDS_BYTES].decode(errors="ignore").encode()


def decode_words(body: bytes) -> str:
    """What another machine wants people to read: one line, of which nothing moves a cursor or turns the text around."""
    text = body[:MOST_WORDS_BYTES].decode(errors="replace")
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in text)


def _body(reader: compact.Reader) -> bytes:
    size = reader.uint()
    if size > MOST_BODY_BYTES:
        raise Corrupt(f"a body of {size} bytes: at most {MOST_BODY_BYTES}")
    return reader.take(size)
