"""A service manager's ear: a real notify socket, as systemd has one."""

import socket
import struct
from pathlib import Path
from typing import Self

_CREDENTIALS = struct.Struct("3i")


class Ear:
    """What has been told, message by message, with the process that told it."""

    def __init__(self, address: Path | str, seconds: float = 60.0) -> None:
        self.address = str(address)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        name = self.address
        self._socket.bind(f"\0{name[1:]}" if name.startswith("@") else name)
        self._socket.settimeout(seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def hear(self) -> tuple[int, dict[str, str]]:
        """The next message: the sender's process id, and what it says. Waits for it."""
        data, credentials, _, _ = self._socket.recvmsg(4096, socket.CMSG_SPACE(_CREDENTIALS.size))
        pid = _CREDENTIALS.unpack(credentials[0][2])[0]
        return pid, dict(line.split("=", 1) for line in data.decode().split("\n") if line)

    def hear_of(self, name: str) -> tuple[int, dict[str, str]]:
        """The next message that says `name`; others go by."""
        while True:
            pid, said = self.hear()
            if name in said:
                return pid, said

    def is_silent(self, seconds: float) -> bool:
        """Whether nothing comes for so long; what had come before is thrown away."""
        self._socket.setblocking(False)
        try:
            while True:
                self._socket.recv(4096)
        except BlockingIOError:
            pass
        self._socket.settimeout(seconds)
        try:
            self._socket.recv(4096)
        except TimeoutError:
            return True
        return False
