"""Connections in trio: deadlines by trio's own clock, bounds by address, and what ends what."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from hyperfs.errors import Misbehaved
from hyperfs.log.proof import BlockRequest, Request
from hyperfs.replication import messages, session
from hyperfs.replication.curve import CurveKeyPair
from hyperfs.replication.replicating import Done, Replicating, Work
from hyperfs.replication.session import (
    HANDSHAKE_SECONDS,
    MOST_HALF_OPEN,
    SILENCE_SECONDS,
    Exchanger,
    open_exchanger,
)

from .sides import Side, content, own_log, replica, serves, takes


def keys(number: int) -> CurveKeyPair:
    return CurveKeyPair(bytes([number]) * 32)


@asynccontextmanager
async def two(one: Replicating, other: Replicating) -> AsyncIterator[tuple[Exchanger, Exchanger]]:
    """Two exchangers, connected in memory."""
    async with open_exchanger(keys(1)) as first, open_exchanger(keys(2)) as second, trio.open_nursery() as nursery:
        first.add(one)
        second.add(other)
        near, far = trio.testing.memory_stream_pair()
        nursery.start_soon(lambda: first.run(near, is_initiator=True))
        nursery.start_soon(lambda: second.run(far, is_initiator=False))
        yield first, second
        nursery.cancel_scope.cancel()


async def until(exchanger: Exchanger, condition: Callable[[], bool]) -> None:
    with trio.fail_after(120):
        while not condition():
            await exchanger.changed.wait()


async def test_a_log_goes_from_one_process_to_another_and_live(tmp_path: Path) -> None:
    log, taking = own_log(tmp_path / "own", 2000), replica(tmp_path / "there")
    source, target = serves(log), takes(taking)
    async with two(source, target) as (first, second):
        await until(second, lambda: taking.length == 2000 and target.is_whole)
        log.append([content(number) for number in range(2000, 2100)])
        log.flush()
        source.appended(2000, 2100)
        first.touch(source)
        await until(second, lambda: taking.length == 2100 and target.is_whole)
    assert [taking.get_verified(number) for number in range(2100)] == [content(number) for number in range(2100)]


async def test_large_blocks_are_served_no_faster_than_they_are_taken(tmp_path: Path) -> None:
    log = own_log(tmp_path / "own", 100, make=lambda number: bytes([number]) * 200_000)
    taking = replica(tmp_path / "there")
    target = takes(taking)
    async with two(serves(log), target) as (_, second):
        await until(second, lambda: taking.length == 100 and target.is_whole)
    assert taking.get_verified(99) == b"\x63" * 200_000


async def test_a_log_is_added_while_connected(tmp_path: Path) -> None:
    log, taking = own_log(tmp_path / "own", 50), replica(tmp_path / "there")
    target = takes(taking)
    async with open_exchanger(keys(1)) as first, open_exchanger(keys(2)) as second, trio.open_nursery() as nursery:
        near, far = trio.testing.memory_stream_pair()
        nursery.start_soon(lambda: first.run(near, is_initiator=True))
        nursery.start_soon(lambda: second.run(far, is_initiator=False))
        await trio.testing.wait_all_tasks_blocked()
        second.add(target)
        await trio.testing.wait_all_tasks_blocked()
        first.add(serves(log))
        await until(second, lambda: taking.length == 50 and target.is_whole)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("number", "count"), [(3, 0), (2, 50)])
async def test_a_log_is_found_when_a_peer_that_may_have_it_asks(tmp_path: Path, number: int, count: int) -> None:
    source = serves(own_log(tmp_path / "own", 50))
    asked: list[bytes] = []

    def find(name: bytes, key: bytes) -> Replicating | None:
        asked.append(key)
        return source if (name, key) == (source.discovery_key, keys(2).public_key) else None

    taking = replica(tmp_path / "there")
    target = takes(taking)
    async with (
        open_exchanger(keys(1), find) as first,
        open_exchanger(keys(number)) as second,
        trio.open_nursery() as nursery,
    ):
        second.add(target)
        near, far = trio.testing.memory_stream_pair()
        nursery.start_soon(lambda: first.run(near, is_initiator=False, offers=False))
        nursery.start_soon(lambda: second.run(far, is_initiator=True))
        await until(second, lambda: bool(asked) and taking.length == count)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert asked == [keys(number).public_key]
        assert taking.length == count
        nursery.cancel_scope.cancel()


async def test_a_log_that_is_removed_is_closed_to_all_and_may_come_back(tmp_path: Path) -> None:
    log, taking = own_log(tmp_path / "own", 50), replica(tmp_path / "there")
    source, target = serves(log), takes(taking)
    async with two(source, target) as (first, second):
        await until(second, lambda: taking.length == 50 and target.is_whole)
        first.remove(source)
        await until(second, lambda: not target.exchanges)
        assert source.exchanges == []
        log.append([content(number) for number in range(50, 60)])
        log.flush()
        first.add(serves(log))
        await until(second, lambda: taking.length == 60 and target.is_whole)


async def test_attack_n05_who_only_connects_is_hung_up_on(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_exchanger(keys(1)) as exchanger:
        exchanger.add(serves(own_log(tmp_path / "own", 5)))
        near, _far = trio.testing.memory_stream_pair()
        start = trio.current_time()
        session = await exchanger.run(near, is_initiator=False)
        assert trio.current_time() - start == pytest.approx(HANDSHAKE_SECONDS)
        assert isinstance(session.error, Misbehaved)
        assert "no log was exchanged" in str(session.error)


async def test_attack_n05_who_shakes_hands_and_knows_no_log_is_hung_up_on(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_exchanger(keys(1)) as exchanger, open_exchanger(keys(2)) as other, trio.open_nursery() as nursery:
        exchanger.add(serves(own_log(tmp_path / "own", 5)))
        near, far = trio.testing.memory_stream_pair()
        nursery.start_soon(lambda: other.run(far, is_initiator=True))
        session = await exchanger.run(near, is_initiator=False, offers=False)
        assert isinstance(session.error, Misbehaved)
        assert session.remote_key == keys(2).public_key
        nursery.cancel_scope.cancel()


async def test_who_falls_silent_is_hung_up_on_and_who_keeps_alive_is_not(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    log, taking = own_log(tmp_path / "own", 5), replica(tmp_path / "there")
    target = takes(taking)
    ended: list[object] = []
    async with open_exchanger(keys(1)) as first, open_exchanger(keys(2)) as second, trio.open_nursery() as nursery:
        first.add(serves(log))
        second.add(target)
        near, far = trio.testing.memory_stream_pair()

        async def run_first() -> None:
            ended.append((await first.run(near, is_initiator=True)).error)

        nursery.start_soon(run_first)
        nursery.start_soon(lambda: second.run(far, is_initiator=False))
        await trio.sleep(10 * SILENCE_SECONDS)
        assert ended == []
        far.send_stream.send_all_hook = trio.sleep_forever
        await trio.sleep(3 * SILENCE_SECONDS)
        assert len(ended) == 1
        assert isinstance(ended[0], Misbehaved)
        nursery.cancel_scope.cancel()


async def test_attack_n05_one_address_has_only_so_many_half_open_connections(tmp_path: Path) -> None:
    async with open_exchanger(keys(1)) as exchanger, trio.open_nursery() as nursery:
        exchanger.add(serves(own_log(tmp_path / "own", 5)))
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(exchanger.serve, listener)
        port = listener.socket.getsockname()[1]
        streams = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(MOST_HALF_OPEN + 3)]
        closed: list[int] = []

        async def read(number: int) -> None:
            if await streams[number].receive_some() == b"":
                closed.append(number)
                if len(closed) == 3:
                    readers.cancel_scope.cancel()

        with trio.fail_after(60):
            async with trio.open_nursery() as readers:
                for number in range(len(streams)):
                    readers.start_soon(read, number)
        assert exchanger.half_open == MOST_HALF_OPEN
        # Who goes makes room.
        for stream in streams:
            await stream.aclose()
        await until(exchanger, lambda: exchanger.half_open == 0)
        nursery.cancel_scope.cancel()


async def test_bytes_that_mean_nothing_end_a_connection(tmp_path: Path) -> None:
    async with open_exchanger(keys(1)) as exchanger:
        near, far = trio.testing.memory_stream_pair()
        await far.send_all(b"GET / HTTP/1.1\r\n\r\n")
        session = await exchanger.run(near, is_initiator=False)
        assert isinstance(session.error, Misbehaved)
        near, far = trio.testing.memory_stream_pair()
        await far.aclose()
        session = await exchanger.run(near, is_initiator=False)
        assert session.error is None


async def test_attack_n05_who_makes_work_and_does_not_read_is_hung_up_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "MOST_UNREAD", 200_000)
    async with open_exchanger(keys(1)) as exchanger, trio.open_nursery() as nursery:
        exchanger.add(serves(own_log(tmp_path / "own", 5)))
        near, far = trio.testing.memory_stream_pair()
        ended: list[object] = []
        has_ended = trio.Event()

        async def run() -> None:
            ended.append((await exchanger.run(near, is_initiator=False)).error)
            has_ended.set()

        nursery.start_soon(run)
        flood = Side(True, [takes(replica(tmp_path / "there"))])
        with trio.fail_after(60):
            while not flood.exchanges:
                await far.send_all(flood.connection.data_to_send())
                flood.receive(await far.receive_some())
            near.send_stream.send_all_hook = trio.sleep_forever
            for _ in range(6):
                flood.exchanges[0][1]._out = [messages.Ask(1, 9, Request(BlockRequest(0)))] * 10_000
                await far.send_all(flood.connection.data_to_send())
            await has_ended.wait()
        assert "does not" in str(ended[0])
        nursery.cancel_scope.cancel()


async def test_a_log_whose_disk_fails_is_exchanged_no_more_and_others_are(tmp_path: Path) -> None:
    log, taking = own_log(tmp_path / "own", 500), replica(tmp_path / "there")

    class Failing(Replicating):
        def perform(self, work: Work) -> Done:
            raise OSError(5, "the disk fails")

    target = Failing(taking, serves(log).manifest, taking)
    async with two(serves(log), target) as (first, second):
        await until(second, lambda: target.error is not None)
        second.touch(target)
        await trio.testing.wait_all_tasks_blocked(0.05)
        again = takes(replica(tmp_path / "again"))
        second.add(again)
        await until(second, lambda: again.held.head() is not None and again.is_whole)
        assert list(again.held.ranges()) == [(0, 500)]
        assert first is not second
