"""The two pages of a cloud peer, and that whoever asks otherwise is hung up on."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import trio

from hyperfs.peer.facts import PeerFacts, Traffic
from hyperfs.peer_server import health_page
from hyperfs.peer_server.health_page import page, serve

FACTS = PeerFacts((), {}, 1 << 40, 1 << 26)
TRAFFIC = Traffic(3, 1, 500, 600)


def test_health_is_503_when_it_does_not_serve() -> None:
    assert page("GET", "/health", FACTS, TRAFFIC).status == 200
    full = page("GET", "/health", FACTS._replace(free_bytes=0), TRAFFIC)
    assert full.status == 503
    told = json.loads(full.body)
    assert told["serving"] is False
    assert "the disk is full" in told["problems"][0]


def test_metrics_have_the_connections() -> None:
    text = page("GET", "/metrics", FACTS, TRAFFIC).body.decode()
    assert "hyperfs_peer_connections 3.0" in text
    assert "hyperfs_peer_connections_half_open 1.0" in text
    assert "hyperfs_peer_received_bytes_total 500.0" in text
    assert "hyperfs_peer_sent_bytes_total 600.0" in text


@pytest.mark.parametrize(("method", "path", "status"), [("POST", "/health", 405), ("GET", "/", 404)])
def test_there_is_nothing_else(method: str, path: str, status: int) -> None:
    assert page(method, path, FACTS, TRAFFIC).status == status


@asynccontextmanager
async def served() -> AsyncIterator[tuple[str, int]]:
    async def look() -> tuple[PeerFacts, Traffic]:
        return FACTS, TRAFFIC

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(serve, listener, look)
        yield listener.socket.getsockname()
        nursery.cancel_scope.cancel()


async def answer(where: tuple[str, int], *pieces: bytes) -> bytes:
    async with await trio.open_tcp_stream(*where) as stream:
        found = b""
        with trio.fail_after(60), suppress(trio.BrokenResourceError):
            for piece in pieces:
                await stream.send_all(piece)
            while data := await stream.receive_some(1 << 16):
                found += data
        return found


async def test_a_request_may_come_in_pieces_and_a_head_has_no_body() -> None:
    async with served() as where:
        found = await answer(where, b"GET /health?x=1 HTTP/1.1\r\nHo", b"st: peer\r\n\r\n")
        assert found.startswith(b"HTTP/1.1 200")
        assert found.endswith(b'{"serving": true, "problems": []}\n')
        head = await answer(where, b"HEAD /health HTTP/1.1\r\nHost: peer\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert head.endswith(b"\r\n\r\n")


async def test_what_is_no_request_or_never_ends_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_page, "MOST_SECONDS", 0.2)
    async with served() as where:
        assert await answer(where, b"\x16\x03\x01\x02\x00\r\n\r\n") == b""
        assert await answer(where, b"GET /health HTTP/1.1\r\n") == b""
        assert await answer(where, b"GET /" + b"a" * (1 << 16) + b" HTTP/1.1\r\n\r\n") == b""
        assert (await answer(where, b"GET /health HTTP/1.1\r\nHost: peer\r\n\r\n")).startswith(b"HTTP/1.1 200")
