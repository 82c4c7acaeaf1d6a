"""One side of the channel `hyperfs/1`: asks, answers and notices. No clock, no bytes of the connection.

Both sides may ask. What came is given as events; `take` has what is to be sent. At most MOST_OPEN requests of a side
wait for an answer: that is its credit, and one more ends the connection.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from hyperfs.errors import BadRequest, Misbehaved
from hyperfs.replication import dialogue_codec as codec
from hyperfs.replication.dialogue_codec import Answer, Message, Notified, Request

MOST_OPEN: Final = 16


class Answered(NamedTuple):
    """`request` is this side's, now done with."""

    request: Request
    status: int
    body: bytes


Event = Request | Answered | Notified


class Dialogue:
    def __init__(self) -> None:
        self._asked: dict[int, Request] = {}
        self._owed: set[int] = set()
        self._last_id = 0
        self._out: list[Message] = []

    @property
    def may_ask(self) -> bool:
        return len(self._asked) < MOST_OPEN

    @property
    def owes(self) -> int:
        """Requests of the other side that have no answer yet."""
        return len(self._owed)

    def ask(self, method: int, body: bytes) -> int:
        """The request's id. BadRequest for one more than MOST_OPEN, or a body that is too long."""
        if not self.may_ask:
            raise BadRequest(f"more than {MOST_OPEN} requests at a time")
        self._last_id += 1
        request = self._asked[self._last_id] = Request(self._last_id, method, _checked(body))
        self._out.append(request)
        return request.id

    def answer(self, id_: int, status: int, body: bytes = b"") -> None:
        """A request of the other side, once."""
        self._owed.remove(id_)
        self._out.append(Answer(id_, status, _checked(body)))

    def notify(self, kind: int, body: bytes) -> None:
        self._out.append(Notified(kind, _checked(body)))

    def take(self) -> list[tuple[int, bytes]]:
        """What is to be sent since the last call: (type, payload)."""
        out, self._out = self._out, []
        return [codec.encode(message) for message in out]

    def receive(self, kind: int, payload: bytes) -> Iterator[Event]:
        """What one message says. Corrupt or Misbehaved end the connection."""
        match codec.decode(kind, payload):
            case Request() as request:
                if request.id < 1 or request.id in self._owed:
                    raise Misbehaved(f"a request with the number {request.id}, which is not free")
                if len(self._owed) >= MOST_OPEN:
                    raise Misbehaved(f"more than {MOST_OPEN} requests at a time")
                self._owed.add(request.id)
                yield request
            case Answer(id_, status, body):
                asked = self._asked.pop(id_, None)
                if asked is None:
                    raise Misbehaved(f"an answer to request {id_}, which is not open")
                yield Answered(asked, status, body)
            case Notified() as notified:
                yield notified


def _checked(body: bytes) -> bytes:
    if len(body) > codec.MOST_BODY_BYTES:
        raise BadRequest(f"a body of {len(body)} bytes: at most {codec.MOST_BODY_BYTES}")
    return body
