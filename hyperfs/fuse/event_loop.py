"""How pyfuse3 waits for the next request: by trio, but past trio's loop where there is nothing to wait for.

pyfuse3 runs a few equal tasks. Each takes a lock, waits for the kernel's descriptor to become readable, gives the lock
back, reads a request, answers it, and begins again. With trio's own lock and `wait_readable` every request is two or
three passes through the event loop, which cost more than most answers. Here

- a descriptor that is readable already is not waited for;
- who gives the lock back and comes for it again, without a wait in between, gets it: nobody else was woken. The next
  task is woken when the one that has read a request pauses, whatever the reason: when its answer has to wait for
  something, or when it ends.

All else in the process runs while an answer waits, while there is no request, and else after `YIELD_SECONDS`.

pyfuse3 finds trio in an attribute of its module, which is there so that `pyfuse3.asyncio` can put itself in its place.
Where a later pyfuse3 has no such attribute, it runs on trio as it is. See docs/adr/0013-request-path.md.
"""

import math
import select
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final

import pyfuse3
import trio

YIELD_SECONDS: Final = 0.002
"""So long requests may be answered one after another before all others have their turn, and the request under way."""


class Turns(trio.abc.Instrument):
    """Whose turn it is to look for a request: pyfuse3's lock. Owned by the trio thread, which it must instrument."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._held = False
        self._waiting: deque[trio.lowlevel.Task] = deque()
        self._paused = clock()  # when a task of this thread last made way for others
        self.asked_at = -math.inf
        """When the last request came, by the monotonic clock."""

    async def __aenter__(self) -> None:
        while self._held:
            await self._wait()
        self._held = True
        if self._clock() - self._paused > YIELD_SECONDS:
            # Here, before pyfuse3 asks whether it should end: between that and the wait an end would be missed. And
            # with the turn in hand, or a second task would take requests for as long, and so on.
            try:
                await trio.lowlevel.checkpoint()
            except BaseException:
                self._held = False
                raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held = False
        self.asked_at = time.monotonic()

    async def _wait(self) -> None:
        task = trio.lowlevel.current_task()
        self._waiting.append(task)

        def give_up(raise_cancel: object) -> trio.lowlevel.Abort:
            self._waiting.remove(task)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(give_up)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Called by trio whenever a task pauses or ends. Must not fail: trio would never call it again."""
        self._paused = self._clock()
        if self._waiting and not self._held:
            trio.lowlevel.reschedule(self._waiting.popleft())


class _Lowlevel:
    """`trio.lowlevel` with another `wait_readable`."""

    def __init__(self) -> None:
        self._polls: dict[int, select.poll] = {}

    async def wait_readable(self, fd: int) -> None:
        poll = self._polls.get(fd)
        if poll is None:
            poll = self._polls[fd] = select.poll()
            poll.register(fd, select.POLLIN)
        if not poll.poll(0):
            await trio.lowlevel.wait_readable(fd)

    def __getattr__(self, name: str) -> Any:
        return getattr(trio.lowlevel, name)


class _Trio:
    """`trio` with another lock, the one that `turns` is."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.lowlevel = _Lowlevel()

    def Lock(self) -> Turns:  # noqa: N802  # trio's name
        return self._turns

    def __getattr__(self, name: str) -> Any:
        return getattr(trio, name)


@contextmanager
def short_ways(turns: Turns | None = None) -> Iterator[bool]:
    """Has pyfuse3 take them inside the block, around `pyfuse3.main`; False where it can't."""
    if getattr(pyfuse3, "trio", None) is not trio:
        yield False
        return
    turns = turns or Turns()
    trio.lowlevel.add_instrument(turns)
    vars(pyfuse3)["trio"] = _Trio(turns)
    try:
        yield True
    finally:
        vars(pyfuse3)["trio"] = trio
        trio.lowlevel.remove_instrument(turns)
