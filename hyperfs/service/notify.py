"""Telling the service manager how this process is: the protocol of sd_notify, one datagram a message.

What the variables mean and what may be sent stands in systemd's sd_notify(3), sd_watchdog_enabled(3). Nothing here
raises for a manager that is gone or deaf: the work is more than what is told of it.
"""

import logging
import os
import socket
from collections.abc import MutableMapping
from typing import Final, Self

log = logging.getLogger("hyperfs.service")

SOCKET: Final = "NOTIFY_SOCKET"
WATCHDOG_TIME: Final = "WATCHDOG_USEC"
WATCHDOG_PROCESS: Final = "WATCHDOG_PID"
SEND_SECONDS: Final = 5.0
"""A manager whose queue is full is waited for so long, where a message must arrive."""
STATUS_CHARACTERS_MOST: Final = 200
_US: Final = 1_000_000


class Notifier:
    """The way to the manager that started this process; without an address, to nobody.

    May be used from one thread at a time.
    """

    def __init__(self, address: str | None = None, watchdog_seconds: float | None = None) -> None:
        """`address`: a path, or a name with `@` before it. `watchdog_seconds`: who is silent so long is killed."""
        self._address = _encoded(address)
        self.watchdog_seconds = watchdog_seconds if self._address is not None else None
        self._complained = False

    @classmethod
    def taken(cls, environment: MutableMapping[str, str]) -> Self:
        """Takes the variables out of the environment: what this process starts is not to speak for it."""
        address = environment.pop(SOCKET, None)
        microseconds = environment.pop(WATCHDOG_TIME, "")
        process = environment.pop(WATCHDOG_PROCESS, "")
        meant = process in ("", str(os.getpid()))
        seconds = int(microseconds) / _US if meant and microseconds.isascii() and microseconds.isdigit() else 0.0
        return cls(address, seconds or None)

    def ready(self, status: str) -> None:
        """It serves from now on."""
        self._send(f"READY=1\nSTATUS={_one_line(status)}", SEND_SECONDS)

    def stopping(self, status: str) -> None:
        """It is about to end, in order."""
        self._send(f"STOPPING=1\nSTATUS={_one_line(status)}", SEND_SECONDS)

    def status(self, status: str) -> None:
        """What `systemctl status` shows. Lost where the manager is busy."""
        self._send(f"STATUS={_one_line(status)}", 0)

    def extend(self, seconds: float) -> None:
        """Starting or stopping takes at least so much longer, counted from now."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * _US)}", 0)

    def alive(self) -> None:
        """Has to be told at least each `watchdog_seconds`; half of that is the usual."""
        if self.watchdog_seconds is not None:
            self._send("WATCHDOG=1", 0)

    def _send(self, message: str, seconds: float) -> None:
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as way:
                way.settimeout(seconds)  # 0: does not wait
                way.sendto(message.encode(), self._address)
        except OSError as error:
            if not self._complained:
                self._complained = True
                log.warning("the service manager can't be told %r: %s", message.partition("\n")[0], error)


def _encoded(address: str | None) -> bytes | None:
    """As the kernel takes it. Other kinds of address (vsock) belong to whole virtual machines."""
    if not address or address[0] not in "/@":
        return None
    name = os.fsencode(address)
    return b"\0" + name[1:] if address[0] == "@" else name


def _one_line(text: str) -> str:
    """A line end would begin another statement; the text may hold anybody's file names."""
    return "".join(c if c.isprintable() else "?" for c in text[:STATUS_CHARACTERS_MOST])
