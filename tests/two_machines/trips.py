"""How often one side of a wire had to wait for the other: counted in packets, whatever the delay and however slow the
machine is.

A question is a packet of the left side with bytes that were not sent before (a SYN counts), sent after an answer had
come; an answer is a packet of the right side with new bytes, sent after the question had come. Each packet stands one
step behind the newest of what its sender had been brought by then, and the longest row of such steps is what is
counted. Bytes that are sent again stand where they first stood; an acknowledgement alone is no step.

So a transfer that fills the line is one trip, two questions at the same time are one, and two of which the second
follows from the first one's answer are two. What is said beside that and waited for by nobody can make it more, never
less.
"""

import struct
from bisect import bisect_left
from typing import Final, NamedTuple

SYN: Final = 0x02
TCP: Final = 6
_HALF: Final = 1 << 31


class Segment(NamedTuple):
    """Of a connection in one direction; `end` counts from its first byte on, a SYN as one."""

    flow: tuple[bytes, bytes]
    seq: int
    length: int


def segment_of(packet: bytes) -> Segment | None:
    """None for what is no TCP, and for what carries nothing."""
    header = (packet[0] & 15) * 4
    if packet[0] >> 4 != 4 or packet[9] != TCP:
        return None
    ports, seq, flags = packet[header : header + 4], *struct.unpack_from(">I", packet, header + 4), packet[header + 13]
    total = struct.unpack_from(">H", packet, 2)[0]
    length = total - header - (packet[header + 12] >> 4) * 4 + bool(flags & SYN)
    return Segment((packet[12:20], ports), seq, length) if length else None


class _Sent:
    """What was sent in one direction of one connection: at which step each byte was."""

    def __init__(self, first: int) -> None:
        self._first = first
        self._ends: list[int] = []
        self._steps: list[int] = []

    def step(self, found: Segment, now: int) -> int:
        """That of the packet's last byte: `now` where it is new."""
        end = self._from_first(found.seq + found.length)
        if not self._ends or end > self._ends[-1]:
            self._ends.append(end)
            self._steps.append(now)
        return self._steps[bisect_left(self._ends, end)]

    def _from_first(self, seq: int) -> int:
        return (seq - self._first + _HALF) % (1 << 32) - _HALF


class Trips:
    """Of the left side (0). Fed by whoever sees all packets of a wire; any thread may read `count`."""

    def __init__(self) -> None:
        self._brought = [0, 0]
        self._sent: dict[tuple[bytes, bytes], _Sent] = {}

    @property
    def count(self) -> int:
        """Questions of which each followed from the answer to the one before, and that were answered."""
        return self._brought[0]

    def sent(self, side: int, packet: bytes) -> int:
        """At which step the packet stands: to be told to `came` when it comes."""
        found = segment_of(packet)
        if found is None:
            return 0
        now = self._brought[side] + (side == 0)
        return self._sent.setdefault(found.flow, _Sent(found.seq)).step(found, now)

    def came(self, side: int, step: int) -> None:
        self._brought[side] = max(self._brought[side], step)
