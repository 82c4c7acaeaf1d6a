"""How fast bytes may go: a bucket of bytes that fills with time, and a stream that draws from it."""

from typing import Final

import trio

BURST_SECONDS: Final = 0.25
"""Of a rate, at once."""
_LEAST: Final = 4096
_PIECE: Final = 1 << 16


class Bucket:
    """Shared by all connections of a drive, one for each direction. Time is passed in: pure."""

    def __init__(self) -> None:
        self._rate = 0
        self._level = 0.0
        self._at = 0.0

    @property
    def rate(self) -> int:
        """Bytes a second; 0 for no limit."""
        return self._rate

    @rate.setter
    def rate(self, rate: int) -> None:
        self._rate = rate
        self._level = 0.0

    @property
    def piece(self) -> int:
        """The most bytes to draw at once."""
        return _PIECE if not self._rate else max(_LEAST, min(_PIECE, int(self._rate * BURST_SECONDS)))

    def draw(self, nbytes: int, now: float) -> float:
        """Takes so many bytes; for how many seconds they are to wait. A debt is paid before others draw."""
        if not self._rate:
            return 0.0
        most = max(_LEAST, self._rate * BURST_SECONDS)
        self._level = min(most, self._level + max(0.0, now - self._at) * self._rate)
        self._at = now
        self._level -= nbytes
        return max(0.0, -self._level / self._rate)


class LimitedStream(trio.abc.Stream):
    """Another stream, no faster than two buckets allow."""

    def __init__(self, stream: trio.abc.Stream, up: Bucket, down: Bucket) -> None:
        self._stream = stream
        self._up = up
        self._down = down

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data)
        while view:
            piece, view = view[: self._up.piece], view[self._up.piece :]
            await trio.sleep(self._up.draw(len(piece), trio.current_time()))
            await self._stream.send_all(piece)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = await self._stream.receive_some(min(max_bytes or _PIECE, self._down.piece))
        await trio.sleep(self._down.draw(len(data), trio.current_time()))
        return data

    async def aclose(self) -> None:
        await self._stream.aclose()
