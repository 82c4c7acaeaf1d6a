"""One input given to one decoder: what must hold, whoever made the input."""

import signal
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from .targets import Target

MOST_CPU_SECONDS: Final = 20.0
"""Of this process's own time, not of the clock: a busy machine does not make a decoder hang."""


class Hangs(BaseException):
    """No exception that a decoder could take for one of its own."""


@contextmanager
def watched() -> Iterator[None]:
    """Ends what takes the processor for too long."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Hangs(f"{MOST_CPU_SECONDS} s of processor time for one input")

    before = signal.signal(signal.SIGVTALRM, stop)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def give(target: Target, data: bytes) -> bool:
    """Whether it gave a value, which it then gives again; else it raised an error that it may raise."""
    try:
        value = target.decode(data)
    except target.errors:
        return False
    if target.encode is not None:
        encoded = target.encode(value)
        if target.is_canonical:
            assert encoded == data, f"two encodings of one value: {data.hex()} and {encoded.hex()}"
        else:
            again = target.encode(target.decode(encoded))
            assert again == encoded, f"{encoded.hex()} comes back as {again.hex()}"
    return True


def give_measured(target: Target, data: bytes) -> bool:
    """As `give`, within the bound of memory and within `watched`. Tracing must have been started."""
    signal.setitimer(signal.ITIMER_VIRTUAL, MOST_CPU_SECONDS)
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    found = give(target, data)
    used = tracemalloc.get_traced_memory()[1] - before
    most = target.most_bytes(len(data))
    assert used <= most, f"{used} bytes allocated for {len(data)}, at most {most} are allowed: {data[:200].hex()}"
    return found
