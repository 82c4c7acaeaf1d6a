"""Somebody between a device and its peer, who sees and changes the frames that go over the line."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import trio

from hyperfs.replication.address import Address, Endpoint

Tamper = Callable[[int, bytes], list[bytes]]
"""(number of the frame, counted from 0, the frame with its length) -> what is sent in its place."""


def untouched(number: int, frame: bytes) -> list[bytes]:
    return [frame]


class Line:
    """What went over it: `up` from the device, `down` from the peer."""

    def __init__(self, up: Tamper, down: Tamper) -> None:
        self.tamper = {"up": up, "down": down}
        self.went: dict[str, list[bytes]] = {"up": [], "down": []}

    async def carry(self, way: str, source: trio.SocketStream, target: trio.SocketStream) -> None:
        data = b""
        try:
            while piece := await source.receive_some(1 << 16):
                data += piece
                for frame in frames(data):
                    data = data[len(frame) :]
                    number = len(self.went[way])
                    self.went[way].append(frame)
                    for changed in self.tamper[way](number, frame):
                        await target.send_all(changed)
            await target.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(target)


def frames(data: bytes) -> Iterator[bytes]:
    """The whole ones."""
    while len(data) >= 3 and len(data) >= (size := 3 + int.from_bytes(data[:3], "little")):
        yield data[:size]
        data = data[size:]


@asynccontextmanager
async def line_to(
    address: Address, up: Tamper = untouched, down: Tamper = untouched
) -> AsyncIterator[tuple[Address, Line]]:
    """The address at which a device comes over this line."""
    line = Line(up, down)

    async def serve_one(stream: trio.SocketStream) -> None:
        async with await trio.open_tcp_stream(*address.endpoint) as far, trio.open_nursery() as nursery:
            nursery.start_soon(line.carry, "up", stream, far)
            nursery.start_soon(line.carry, "down", far, stream)

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve_one, [listener])
        yield address._replace(endpoint=Endpoint("127.0.0.1", listener.socket.getsockname()[1])), line
        nursery.cancel_scope.cancel()
