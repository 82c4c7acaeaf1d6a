"""As `readers`, for what comes over a connection: from anybody, before and after the handshake."""

from collections.abc import Iterable
from typing import Any, Final

from hyperfs import errors
from hyperfs.log.manifest import default_v1
from hyperfs.log.proof import BlockRequest, Request, UpgradeRequest
from hyperfs.replication import address, dialogue_bodies, dialogue_codec, invitation, messages, mux_codec, state_bodies
from hyperfs.replication.bitfield import Bitfield
from hyperfs.replication.curve import CurveKeyPair
from hyperfs.replication.dialogue import Dialogue
from hyperfs.replication.exchange import Asked, Exchange
from hyperfs.replication.mux import Event, Mux, Opened, Wanted
from hyperfs.replication.mux_codec import Message, OpenChannel
from hyperfs.replication.secret_stream import Connected, SecretStream
from hyperfs.sharing import folder_store
from hyperfs.sharing import link as sharing_link

from . import seeds
from .seeds import unhex, vectors

BROKEN: Final = (errors.Corrupt, errors.FormatTooNew, errors.Misbehaved)
_UNKNOWN: Final = 10


def log_message(data: bytes) -> messages.Message | None:
    """The first byte is the type."""
    return messages.decode(data[0] % (_UNKNOWN + 1) if data else _UNKNOWN, data[1:])


def encode_log_message(message: messages.Message | None) -> bytes:
    if message is None:
        return bytes([_UNKNOWN])
    kind, payload = messages.encode(message)
    return bytes([kind]) + payload


def log_messages() -> list[bytes]:
    return [
        bytes([kind]) + unhex(text)
        for kind, encoded in enumerate(vectors("wire")["messages"].values())
        for text in encoded
    ]


def channel_handshakes() -> list[bytes]:
    return [unhex(text) for text in vectors("wire")["capability"]["handshakes"]]


def encode_frame(found: list[Message]) -> bytes:
    if len(found) == 1:
        return mux_codec.encode_message(found[0])
    # An empty batch names a channel and nothing more.
    return mux_codec.encode_batch(found) if found else b"\0\0\1"


def mux_frames() -> list[bytes]:
    return [unhex(step["message"]) for step in vectors("wire")["mux"]]


def _answer(mux: Mux, events: Iterable[Event]) -> None:
    for event in events:
        if isinstance(event, Wanted):
            if event.id:
                _answer(mux, mux.open(event.protocol, event.id))
            else:
                mux.refuse(event.protocol, event.id)
        elif isinstance(event, Opened):
            mux.send(event.channel, 0, b"")


def mux(data: bytes) -> None:
    """Frames with a byte of length before each, to a side with a channel of its own."""
    side = Mux()
    _answer(side, side.open("other", b""))
    while data:
        _answer(side, side.receive(data[1 : 1 + data[0]]))
        data = data[1 + data[0] :]
    side.take()


def mux_histories() -> list[bytes]:
    frames = mux_frames()
    early = Message(0, mux_codec.body(mux_codec.OPEN, mux_codec.encode_open(OpenChannel(1, "p", b"id", b"handshake"))))
    sent = [*frames, *([mux_codec.encode_message(early)] * 2), b"\0\3\1"]
    whole = [b"".join(bytes([len(frame)]) + frame for frame in sent[:count]) for count in (1, 3, len(frames))]
    return [*whole, *(bytes([len(frame)]) + frame for frame in sent)]


def _side(is_initiator: bool) -> SecretStream:
    return SecretStream(is_initiator, CurveKeyPair(bytes([1 + is_initiator]) * 32), b"\3" * 32, b"\4" * 24)


def secret_stream(data: bytes) -> list[Connected | bytes]:
    """What a responder is sent."""
    return list(_side(False).receive(data))


def connections() -> list[bytes]:
    """All that an initiator sends, cut off in several places."""
    one, other = _side(True), _side(False)
    sent = [one.data_to_send()]
    list(other.receive(sent[0]))
    list(one.receive(other.data_to_send()))
    one.send(b"hello")
    one.send(b"")
    sent.append(one.data_to_send())
    whole = b"".join(sent)
    return [whole, whole[:-1], sent[0]]


def exchange(data: bytes) -> None:
    """Messages of a log's channel, with a byte of length before each, to a side that asks and answers."""
    have = Bitfield()
    have.add(0, 40)
    side = Exchange(default_v1(b"\x08" * 32), have, 0, 100)
    side.ask(Request(BlockRequest(5)))
    side.ask(Request(upgrade=UpgradeRequest(100, 200)))
    while data:
        message = data[1 : 1 + data[0]]
        data = data[1 + data[0] :]
        for event in side.receive(message[0] % (_UNKNOWN + 1) if message else _UNKNOWN, message[1:]):
            if isinstance(event, Asked):
                side.refuse(event.ask, is_invalid=event.ask.id % 2 == 0)
    side.announce(3, 9)
    side.take()


def exchanges() -> list[bytes]:
    found = [message for message in log_messages() if len(message) < 256]
    single = [bytes([len(message)]) + message for message in found]
    return [*single, b"".join(single)]


def chain_records() -> list[bytes]:
    return [b"".join(seeds.control_records()[:count]) for count in (0, 1, 3)]


_BODIES: Final = {
    "pair": dialogue_bodies.Pair,
    "paired": dialogue_bodies.Paired,
    "paired, no quota": dialogue_bodies.Paired,
    "prove root": dialogue_bodies.ProveRoot,
    "drives": dialogue_bodies.Drives,
    "chain from": dialogue_bodies.ChainFrom,
    "chain part": dialogue_bodies.ChainPart,
    "offer": dialogue_bodies.Offer,
    "offer taken": dialogue_bodies.OfferTaken,
    "of drive": dialogue_bodies.OfDrive,
    "log heads": dialogue_bodies.LogHeads,
    "receipt wanted": dialogue_bodies.ReceiptWanted,
    "audit": dialogue_bodies.Audit,
    "audited": dialogue_bodies.Audited,
    "space": dialogue_bodies.Space,
    "part": dialogue_bodies.Part,
    "state wanted": state_bodies.StateWanted,
    "state wanted, of one": state_bodies.StateWanted,
    "root state": state_bodies.RootState,
    "root state, of one": state_bodies.RootState,
}
_KINDS: Final = tuple(dict.fromkeys(_BODIES.values()))
Body = Any


def dialogue_body(data: bytes) -> Body:
    """The first byte is which body."""
    return _KINDS[data[0] % len(_KINDS) if data else 0].decode(data[1:])


def encode_dialogue_body(body: Body) -> bytes:
    return bytes([_KINDS.index(type(body))]) + body.encode()


def dialogue_bodies_seeds() -> list[bytes]:
    found = vectors("dialogue")["bodies"]
    return [bytes([_KINDS.index(kind)]) + unhex(found[name]) for name, kind in _BODIES.items()]


def dialogue_handshakes() -> list[bytes]:
    return [dialogue_codec.encode_handshake()]


def dialogue(data: bytes) -> str:
    """Messages of hyperfs/1, with type and a byte of length before each, to a side that has asked once."""
    side = Dialogue()
    side.ask(dialogue_codec.Method.SPACE, b"")
    words = ""
    while data:
        for event in side.receive(data[0] % 4, data[2 : 2 + data[1]] if len(data) > 1 else b""):
            if isinstance(event, dialogue_codec.Request):
                side.answer(event.id, dialogue_codec.Status.OK, event.body)
            else:
                words += dialogue_codec.decode_words(event.body)
        data = data[2 + data[1] :] if len(data) > 1 else b""
    side.take()
    return words


def dialogues() -> list[bytes]:
    found = [(kind, unhex(text)) for kind, text in vectors("dialogue")["messages"].values()]
    single = [bytes([kind, len(payload)]) + payload for kind, payload in found]
    return [*single, b"".join(single)]


def invite_codes() -> list[bytes]:
    return [vectors("dialogue")["invitation"]["code"].encode()]


def invite_code(data: bytes) -> invitation.Invitation:
    return invitation.parse(data.decode(errors="replace"))


def peer_address(data: bytes) -> address.Address:
    return address.parse(data.decode(errors="replace"))


def peer_addresses() -> list[bytes]:
    key = "0f" * 32
    return [f"hyperfs://{key}@{host}:4780".encode() for host in ("cloud.example", "[::1]", "127.0.0.1")]


def links() -> list[bytes]:
    return [text.encode() for text in vectors("link").values()]


def link(data: bytes) -> sharing_link.Link:
    return sharing_link.parse(data.decode(errors="replace"))


def link_bodies() -> list[bytes]:
    opening = sharing_link.parse(vectors("link")["live"]).opening
    assert opening is not None
    return [opening.encode()]


def twins() -> list[bytes]:
    return [bytes.fromhex(vectors("inode")["values"]["mirror"]["hex"])]


def reached() -> list[bytes]:
    return [bytes.fromhex(vectors("inode")["values"]["mirrored"]["hex"])]


def shares() -> list[bytes]:
    return [folder_store.ShareRecord(1 << 48 | 7, 1_795_000_000_000_000_000, "Bilder/Käse 1".encode()).encode()]


def summed_link(data: bytes) -> sharing_link.Link:
    return sharing_link.parse(sharing_link.joined(vectors("link")["live"].partition("#")[0], data))


def pages(size: int) -> int:
    """What a side may allocate for messages of so many bytes."""
    return (1 << 20) + (size << 10)
