"""The other end of a drive's control socket: what commands use. Blocking, no event loop: they start quickly."""

import errno
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from hyperfs.daemon import socket_place, wire
from hyperfs.daemon.wire import Message
from hyperfs.errors import Unreachable

Progress = Callable[[str, int, int], None]
HELLO_SECONDS: Final = 30.0
"""A drive that does not say hello in that time hangs. Replaying a long journal comes before it listens."""


class Busy(Unreachable):
    """The process is there, and does not answer."""


class Client:
    """A connection to the process of a mounted drive. Used as a context manager."""

    def __init__(self, connection: socket.socket, who: str) -> None:
        """Takes the connection over. Raises Unreachable when the other side says nothing."""
        self._socket = connection
        self._who = who
        self._lines = connection.makefile("rb")
        try:
            self.greeting = self._receive()
            if "error" in self.greeting:
                raise wire.reported(self.greeting)
        except BaseException:
            self.close()
            raise
        connection.settimeout(None)

    @property
    def pid(self) -> int:
        """Of the drive's process."""
        return int(self.greeting["pid"])

    def check_version(self) -> Self:
        """Raises Unreachable, with what to restart, when the drive runs another hyperfs."""
        wire.check_hello(self.greeting, self._who)
        return self

    def begin(self) -> Self:
        """Our half of the greeting."""
        self._send(wire.hello())
        return self

    def request(self, name: str, params: Message | None = None, progress: Progress | None = None) -> Message:
        """The answer. Raises Reported with what went wrong there, Unreachable when the process ends."""
        self.ask(name, params)
        return self.answer(progress)

    def ask(self, name: str, params: Message | None = None) -> None:
        """Only the question: for one that is answered after something else was done."""
        self._send({"request": name, "params": params or {}})

    def answer(self, progress: Progress | None = None) -> Message:
        """To the question that was asked last."""
        while True:
            message = self._receive()
            if "progress" in message:
                if progress is not None:
                    progress(*message["progress"])
            elif "error" in message:
                raise wire.reported(message)
            else:
                result: Message = message["result"]
                return result

    def _send(self, message: Message) -> None:
        try:
            self._socket.sendall(wire.encode(message))
        except (BrokenPipeError, ConnectionResetError):
            raise self._gone() from None

    def _receive(self) -> Message:
        try:
            line = self._lines.readline(wire.MAX_LINE_BYTES)
        except TimeoutError:
            raise Busy(f"{self._who} has not answered within {HELLO_SECONDS:g} s: it hangs or is very busy") from None
        except ConnectionResetError:
            raise self._gone() from None
        if not line.endswith(b"\n"):
            raise self._gone()
        return wire.decode(line)

    def _gone(self) -> Unreachable:
        return Unreachable(f"{self._who} has ended: see its log, and mount the drive again")

    def close(self) -> None:
        self._lines.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect(store: Path) -> Client:
    """To the process that has the store mounted; only the server's greeting is read. Raises Unreachable."""
    for find in (socket_place.in_store, socket_place.outside):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(HELLO_SECONDS)
        try:
            with socket_place.short_path(find(store)) as path:
                connection.connect(path)
        except OSError as error:
            connection.close()
            if error.errno not in (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTDIR):
                raise
            continue
        return Client(connection, f"the process that serves {store}")
    raise Unreachable(f"no process serves {store}: mount it, or end what holds it open")
