"""pyfuse3's main loop on the short ways: nobody starves, whoever has to wait lets others in, and an end is heard of."""

import socket
from collections.abc import Iterator
from itertools import count

import pyfuse3
import pytest
import trio
import trio.testing

from hyperfs.fuse.event_loop import YIELD_SECONDS, Turns, short_ways


class Loop:
    """Tasks that read requests, bytes of a socket, as pyfuse3's do; `served` tells what was answered, in order."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.kernel, self.daemon = socket.socketpair()
        self.daemon.setblocking(False)
        self.served: list[bytes] = []
        self.pauses: dict[bytes, trio.Event] = {}
        self.ended = False

    async def task(self) -> None:
        while not self.ended:
            try:
                async with pyfuse3.trio.Lock():
                    if self.ended:
                        return
                    await pyfuse3.trio.lowlevel.wait_readable(self.daemon.fileno())
            except pyfuse3.trio.ClosedResourceError:
                return
            request = self.daemon.recv(1)
            if request in self.pauses:
                await self.pauses[request].wait()
            if request == b"!":
                return
            self.served.append(request)

    def end(self) -> None:
        self.ended = True
        pyfuse3.trio.lowlevel.notify_closing(self.daemon.fileno())


@pytest.fixture
async def loop() -> Iterator[Loop]:
    with short_ways() as shortened:
        assert shortened
        made = Loop(pyfuse3.trio.Lock())
        yield made
        made.kernel.close()
        made.daemon.close()


class Steps(trio.abc.Instrument):
    """Counts the times that a task was run."""

    def __init__(self) -> None:
        self.count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += 1


async def test_requests_that_are_there_are_answered_in_one_go(loop: Loop, nursery: trio.Nursery) -> None:
    loop.turns._clock = lambda: 0.0
    nursery.start_soon(loop.task)
    nursery.start_soon(loop.task)
    await trio.testing.wait_all_tasks_blocked()
    loop.kernel.send(bytes(1000))
    steps = Steps()
    trio.lowlevel.add_instrument(steps)
    await trio.testing.wait_all_tasks_blocked()
    trio.lowlevel.remove_instrument(steps)
    assert len(loop.served) == 1000
    assert steps.count < 10
    nursery.cancel_scope.cancel()


async def test_requests_are_answered_in_order(loop: Loop, nursery: trio.Nursery) -> None:
    nursery.start_soon(loop.task)
    nursery.start_soon(loop.task)
    loop.kernel.send(b"abc")
    await trio.testing.wait_all_tasks_blocked()
    loop.kernel.send(b"de")
    await trio.testing.wait_all_tasks_blocked()
    assert loop.served == [b"a", b"b", b"c", b"d", b"e"]
    nursery.cancel_scope.cancel()


async def test_a_request_whose_answer_waits_lets_others_be_answered(loop: Loop, nursery: trio.Nursery) -> None:
    loop.pauses[b"p"] = trio.Event()
    nursery.start_soon(loop.task)
    nursery.start_soon(loop.task)
    loop.kernel.send(b"pab")
    await trio.testing.wait_all_tasks_blocked()
    assert loop.served == [b"a", b"b"]
    loop.pauses[b"p"].set()
    await trio.testing.wait_all_tasks_blocked()
    assert loop.served[2:] == [b"p"]
    nursery.cancel_scope.cancel()


async def test_a_task_that_ends_leaves_its_turn_to_another(loop: Loop, nursery: trio.Nursery) -> None:
    for _ in range(3):
        nursery.start_soon(loop.task)
    loop.kernel.send(b"!!a")
    await trio.testing.wait_all_tasks_blocked()
    assert loop.served == [b"a"]
    nursery.cancel_scope.cancel()


async def test_an_end_is_heard_by_who_waits_for_a_request_and_by_who_waits_for_a_turn(loop: Loop) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(loop.task)
        await trio.testing.wait_all_tasks_blocked()
        loop.end()


async def test_an_end_is_heard_by_who_made_way_for_others(loop: Loop) -> None:
    """Between the turn of others and the wait there must be a look at whether it is the end."""
    now = count(0, 10)
    loop.turns._clock = lambda: float(next(now))  # every look is past the time for which one may go on
    async with trio.open_nursery() as nursery:
        nursery.start_soon(loop.task)
        for _ in range(20):
            await trio.lowlevel.checkpoint()
            loop.kernel.send(b"a")
        loop.end()


async def test_who_is_cancelled_waiting_for_a_turn_is_not_waited_for(loop: Loop, nursery: trio.Nursery) -> None:
    loop.pauses[b"p"] = trio.Event()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as doomed:
            nursery.start_soon(loop.task)
            await trio.testing.wait_all_tasks_blocked()
            doomed.start_soon(loop.task)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(loop.task)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    loop.kernel.send(b"pab")
    await trio.testing.wait_all_tasks_blocked()
    assert loop.served == [b"a", b"b"]
    nursery.cancel_scope.cancel()


async def test_who_is_cancelled_while_it_makes_way_does_not_keep_the_turn(loop: Loop, nursery: trio.Nursery) -> None:
    now = count(0, 10)
    loop.turns._clock = lambda: float(next(now))
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as doomed:
            scope.cancel()
            doomed.start_soon(loop.task)
    loop.kernel.send(b"ab")
    nursery.start_soon(loop.task)
    await trio.testing.wait_all_tasks_blocked()
    assert loop.served == [b"a", b"b"]
    nursery.cancel_scope.cancel()


async def test_everybody_is_cancelled_though_requests_never_end(loop: Loop) -> None:
    now = count()
    loop.turns._clock = lambda: next(now) * YIELD_SECONDS / 5
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            loop.kernel.send(bytes(1000))
            nursery.start_soon(loop.task)
            nursery.start_soon(loop.task)
            scope.cancel()
    assert scope.cancelled_caught
    assert len(loop.served) < 1000


async def test_others_have_their_turns_though_requests_never_end(loop: Loop, nursery: trio.Nursery) -> None:
    now = count()
    loop.turns._clock = lambda: next(now) * YIELD_SECONDS / 20  # one look a request, and one a pause
    loop.kernel.send(bytes(1000))
    for _ in range(5):
        nursery.start_soon(loop.task)
    turns = 0
    while len(loop.served) < 1000:
        before = len(loop.served)
        await trio.lowlevel.checkpoint()
        turns += 1
        assert len(loop.served) - before <= 50, "too many requests between two turns"
    assert turns >= 20
    nursery.cancel_scope.cancel()


async def test_a_worker_thread_gets_its_answer_in_though_requests_never_end(loop: Loop, nursery: trio.Nursery) -> None:
    nursery.start_soon(loop.task)

    async def keep_asking() -> None:
        while True:
            loop.kernel.send(bytes(100))
            await trio.lowlevel.checkpoint()

    nursery.start_soon(keep_asking)
    assert await trio.to_thread.run_sync(lambda: "answer") == "answer"
    nursery.cancel_scope.cancel()


async def test_trio_still_calls_the_instrument_at_the_end(loop: Loop, nursery: trio.Nursery) -> None:
    nursery.start_soon(loop.task)
    loop.kernel.send(b"abc")
    await trio.testing.wait_all_tasks_blocked()
    nursery.cancel_scope.cancel()
    trio.lowlevel.remove_instrument(loop.turns)  # KeyError had it failed
    trio.lowlevel.add_instrument(loop.turns)


async def test_pyfuse3_has_trio_again_afterwards() -> None:
    with short_ways() as shortened:
        assert shortened
        assert pyfuse3.trio is not trio
    assert pyfuse3.trio is trio


async def test_a_pyfuse3_without_the_attribute_runs_on_trio_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(pyfuse3, "trio")
    with short_ways() as shortened:
        assert not shortened
