"""The control socket of a mounted drive: who may speak on it, and how a request becomes an answer."""

import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

import trio

from hyperfs.daemon import socket_place, wire
from hyperfs.daemon.wire import Message, Tell
from hyperfs.errors import BadRequest, HyperfsError, Unreachable

log = logging.getLogger("hyperfs.daemon")

Handler = Callable[[str, Message, Tell], Awaitable[Message]]
"""Answers one request: its name and parameters. Raises HyperfsError or OSError."""

WAITING_CONNECTIONS: Final = 32
MOST_CONNECTIONS: Final = 64
"""At once. A program that leaves connections open must not use up the files that the mount needs."""
_CREDENTIALS: Final = struct.Struct("3i")


class ControlSocket:
    """Bound and listening from the moment it is made, so that whoever comes early waits instead of failing."""

    def __init__(self, store: Path) -> None:
        """The caller holds the store's lock: a socket that lies there already is a dead process's."""
        self._talking = 0  # connections; owned by the trio thread
        self._place = socket_place.for_new(store)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        folder, name = self._place
        self._path = folder / name
        self._path.unlink(missing_ok=True)
        old = os.umask(0o177)
        try:
            with socket_place.short_path(self._place) as path:
                self._socket.bind(path)
        finally:
            os.umask(old)
        self._socket.listen(WAITING_CONNECTIONS)

    async def serve(self, handle: Handler) -> None:
        """Answers until cancelled."""
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(self._socket))
        await trio.serve_listeners(partial(self._admit, handle), [listener])

    async def _admit(self, handle: Handler, stream: trio.SocketStream) -> None:
        if self._talking >= MOST_CONNECTIONS:
            async with stream:
                busy = Unreachable(f"{self._talking} programs talk to the drive already: end one and try again")
                await _Lines(stream).send_last(wire.error_message(busy))
            return
        self._talking += 1
        try:
            await _talk(handle, stream)
        finally:
            self._talking -= 1

    def close(self) -> None:
        self._socket.close()
        self._path.unlink(missing_ok=True)


def _is_ours(stream: trio.SocketStream) -> bool:
    """The mode of the socket keeps others out already; root may come in."""
    raw = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(raw)
    return uid in (0, os.getuid())


async def _talk(handle: Handler, stream: trio.SocketStream) -> None:
    """One connection, to its end. A peer that goes away in the middle ends it in silence."""
    async with stream:
        if not _is_ours(stream):
            return
        lines = _Lines(stream)
        try:
            await lines.send(wire.hello(os.getpid()))
            greeting = await lines.receive()
            if greeting is None:
                return
            wire.check_hello(greeting, "the command")
            while (message := await lines.receive()) is not None:
                await _answer(lines, message, handle)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
        except HyperfsError as error:
            await lines.send_last(wire.error_message(error))


async def _answer(lines: "_Lines", message: Message, handle: Handler) -> None:
    async def tell(what: str, done: int, of: int) -> None:
        await lines.send({"progress": [what, done, of]})

    name, params = message.get("request"), message.get("params")
    try:
        if not isinstance(name, str) or not isinstance(params, dict):
            raise BadRequest("a message on the control socket is no request")
        result = {"result": await handle(name, params, tell)}
    except (HyperfsError, OSError) as error:
        result = wire.error_message(error)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        raise
    except Exception as error:
        # A bug in one request must not take the mounted drive down.
        log.exception("request %s failed", name)
        result = wire.error_message(error)
    await lines.send(result)


class _Lines:
    """A stream as lines of JSON."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._received = bytearray()

    async def send(self, message: Message) -> None:
        await self._stream.send_all(wire.encode(message))

    async def send_last(self, message: Message) -> None:
        """To a peer that may not be there any more."""
        try:
            await self.send(message)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            log.info("a peer on the control socket went away")

    async def receive(self) -> Message | None:
        """The next message; None at the end. Raises BadRequest."""
        start = 0
        while (end := self._received.find(b"\n", start)) < 0:
            start = len(self._received)
            if start > wire.MAX_REQUEST_BYTES:
                raise BadRequest("a message on the control socket is too long")
            data = await self._stream.receive_some()
            if not data:
                return None
            self._received += data
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        return wire.decode(line)


