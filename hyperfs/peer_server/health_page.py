"""What a cloud peer tells over HTTP: GET /health and GET /metrics, and nothing else. For its owner's own network.

h11 parses; a connection is read for ten seconds at most, and at most MOST_CONNECTIONS are open at a time.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import h11
import trio

from hyperfs.peer.facts import PeerFacts, Traffic, health
from hyperfs.peer.metrics import CONTENT_TYPE, render

MOST_CONNECTIONS: Final = 32
MOST_SECONDS: Final = 10.0
_READ_BYTES: Final = 1 << 14

Look = Callable[[], Awaitable[tuple[PeerFacts, Traffic]]]


class Page(NamedTuple):
    status: int
    content_type: str
    body: bytes


def page(method: str, path: str, facts: PeerFacts, traffic: Traffic) -> Page:
    """The answer. `path` without its query."""
    if method not in ("GET", "HEAD"):
        return _text(405, "only GET and HEAD are answered here")
    if path == "/metrics":
        return Page(200, CONTENT_TYPE, render(facts, traffic))
    if path == "/health":
        found = health(facts)
        told = {"serving": found.is_serving, "problems": list(found.problems)}
        return Page(200 if found.is_serving else 503, "application/json", json.dumps(told).encode() + b"\n")
    return _text(404, "here are /health and /metrics")


async def serve(listener: trio.SocketListener, look: Look) -> None:
    """Until cancelled."""
    limiter = trio.CapacityLimiter(MOST_CONNECTIONS)

    async def serve_one(stream: trio.SocketStream) -> None:
        try:
            limiter.acquire_nowait()
        except trio.WouldBlock:
            await trio.aclose_forcefully(stream)
            return
        try:
            with trio.move_on_after(MOST_SECONDS):
                await _converse(stream, look)
        except (h11.ProtocolError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # whoever it was has gone, or does not speak HTTP
        finally:
            limiter.release()
            await trio.aclose_forcefully(stream)

    await trio.serve_listeners(serve_one, [listener])


async def _converse(stream: trio.SocketStream, look: Look) -> None:
    """One request, and the end of the connection."""
    connection = h11.Connection(h11.SERVER)
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(await stream.receive_some(_READ_BYTES))
    if not isinstance(event, h11.Request):
        return
    facts, traffic = await look()
    path = event.target.decode("ascii", errors="replace").partition("?")[0]
    found = page(event.method.decode("ascii"), path, facts, traffic)
    headers = [
        ("content-type", found.content_type),
        ("content-length", str(len(found.body))),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("connection", "close"),
    ]
    answer = connection.send(h11.Response(status_code=found.status, headers=headers)) or b""
    if event.method != b"HEAD":
        answer += connection.send(h11.Data(found.body)) or b""
    await stream.send_all(answer)
    await stream.send_eof()


def _text(status: int, words: str) -> Page:
    return Page(status, "text/plain; charset=utf-8", words.encode() + b"\n")
