"""Two network namespaces, joined by a wire of the test's own: it delays and loses packets, and cuts connections.

    namespace LEFT  10.77.0.1/24  --  tun  --  Wire (a thread here)  --  tun  --  10.77.0.2/24  namespace RIGHT

The TCP in both is the kernel's: what is lost is sent again by it, as on a real line. Needs root and /dev/net/tun; a
kernel module for that (netem) is not needed.
"""

import array
import ctypes
import fcntl
import heapq
import os
import random
import struct
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import Final, Self

from tests.waiting import readable

from .trips import Trips

LEFT: Final = "10.77.0.1"
RIGHT: Final = "10.77.0.2"
MTU: Final = 9000
CLONE_NEWNET: Final = 0x40000000
TUNSETIFF: Final = 0x400454CA
IFF_TUN: Final = 0x0001
IFF_NO_PI: Final = 0x1000
TCP: Final = 6
RST_ACK: Final = 0x14

_libc = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """A network namespace, alive as long as a process that sleeps in it. `prefix` runs a command inside."""

    def __init__(self) -> None:
        # `unshare` itself becomes `cat`, which ends with this process at the latest.
        self._process = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "ip link set lo up && echo ready && exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"
        self.prefix = ["nsenter", f"--target={self._process.pid}", "--net", "--"]

    def run(self, *command: str) -> None:
        subprocess.run([*self.prefix, *command], check=True, capture_output=True)

    def tun(self, name: str) -> int:
        """A tunnel's end inside, to be read and written here. The calling thread stays in the namespace."""
        with open(f"/proc/{self._process.pid}/ns/net") as namespace:
            if _libc.setns(namespace.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
        return fd

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@dataclass
class Line:
    """What the wire does to packets. May be changed at any time."""

    delay_seconds: float = 0.0
    """One way."""
    loss: float = 0.0
    is_down: bool = False


class Wire:
    """A context manager. `bytes` counts what arrived; `trips` how often the left side had to wait for the right one."""

    def __init__(self, left: Namespace, right: Namespace, seed: int) -> None:
        self.line = Line()
        self.bytes = 0
        self.trips = Trips()
        self._namespaces = (left, right)
        self._random = random.Random(seed)
        self._resets = [0, 0]  # by direction: connections are to be reset by so many of the next packets
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="wire", daemon=True)

    def cut(self) -> None:
        """Ends the connection that sends next, for both its ends."""
        self._resets = [1, 1]

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        for namespace, address in zip(self._namespaces, (LEFT, RIGHT), strict=True):
            namespace.run("ip", "address", "add", f"{address}/24", "dev", "wire")
            namespace.run("ip", "link", "set", "wire", "mtu", str(MTU), "up")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        ends = [namespace.tun("wire") for namespace in self._namespaces]
        self._ready.set()
        queue: list[tuple[float, int, int, bytes, int]] = []  # when, number, to which end, packet, its step
        number = 0
        try:
            while not self._stop.is_set():
                now = time.monotonic()
                while queue and queue[0][0] <= now:
                    _, _, end, packet, step = heapq.heappop(queue)
                    self.trips.came(end, step)
                    self._deliver(ends[end], packet)
                wait = min(0.05, queue[0][0] - now) if queue else 0.05
                for fd in readable(ends, wait):
                    came = ends.index(fd)
                    for packet in _read_all(fd):
                        step = self.trips.sent(came, packet)
                        if self._is_lost():
                            continue
                        number += 1
                        if self._resets[came] and (reset := reset_of(packet)) is not None:
                            self._resets[came] -= 1
                            packet = reset
                        due = time.monotonic() + self.line.delay_seconds
                        heapq.heappush(queue, (due, number, 1 - came, packet, step))
        finally:
            for fd in ends:
                os.close(fd)

    def _is_lost(self) -> bool:
        return self.line.is_down or (self.line.loss > 0 and self._random.random() < self.line.loss)

    def _deliver(self, fd: int, packet: bytes) -> None:
        try:
            os.write(fd, packet)
        except OSError:
            return  # full, or down: lost as on any line
        self.bytes += len(packet)


def _read_all(fd: int) -> list[bytes]:
    found: list[bytes] = []
    while len(found) < 256:
        try:
            found.append(os.read(fd, 65536))
        except OSError:
            break
    return found


def reset_of(packet: bytes) -> bytes | None:
    """A TCP segment that resets the connection that this one belongs to, in its place; None for other packets."""
    header = (packet[0] & 15) * 4
    if packet[0] >> 4 != 4 or packet[9] != TCP or packet[header + 13] & 0x02:
        return None
    ip = bytearray(packet[:header])
    tcp = bytearray(packet[header : header + 20])
    ip[2:4] = struct.pack(">H", header + 20)
    ip[10:12] = b"\0\0"
    ip[10:12] = struct.pack(">H", _checksum(bytes(ip)))
    tcp[12], tcp[13] = 5 << 4, RST_ACK
    tcp[16:18] = b"\0\0"
    pseudo = bytes(ip[12:20]) + struct.pack(">BBH", 0, TCP, 20)
    tcp[16:18] = struct.pack(">H", _checksum(pseudo + bytes(tcp)))
    return bytes(ip + tcp)


def _checksum(data: bytes) -> int:
    words = array.array("H", data)
    words.byteswap()
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
