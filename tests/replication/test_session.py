"""Connections in trio: deadlines by trio's own clock, bounds by address, and what ends what."""

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from hyperfs.errors import Misbehaved, Unreachable
from hyperfs.log import proof
from hyperfs.replication import messages, one_session
from hyperfs.replication.curve import CurveKeyPair
from hyperfs.replication.dialogue import MOST_OPEN
from hyperfs.replication.dialogue_codec import Method, Notified, Request, Status
from hyperfs.replication.half_open import MOST_HALF_OPEN
from hyperfs.replication.one_session import HANDSHAKE_SECONDS, SILENCE_SECONDS, Session
from hyperfs.replication.replicating import Done, Replicating, Work
from hyperfs.replication.session import Exchanger, Hear, open_exchanger

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


async def test_what_takes_long_is_sealed_by_another_thread_in_pieces_and_comes_in_order(tmp_path: Path) -> None:
    """Both sides' messages open in their order only: that all blocks come says that none was sealed before another."""
    log = own_log(tmp_path / "own", 200, make=lambda number: bytes([number]) * (200_000 if number % 20 < 10 else 50))
    taking = replica(tmp_path / "there")
    target = takes(taking)
    found: list[tuple[bool, int]] = []
    async with two(serves(log), target) as (first, second):
        await until(first, lambda: bool(first.sessions))
        line, here = first.sessions[0].connection, threading.get_ident()
        plain = line.seal

        def seal(messages: list[bytes]) -> bytes:
            found.append((threading.get_ident() == here, sum(map(len, messages))))
            return plain(messages)

        line.seal = seal  # type: ignore[method-assign,assignment]
        await until(second, lambda: taking.length == 200 and target.is_whole)
    large = [is_here for is_here, size in found if size >= one_session.HOP_BYTES]
    assert large
    assert not any(large)
    assert max(size for _, size in found) < one_session.PIECE_BYTES + 250_000
    assert taking.get_verified(189) == b"\xbd" * 200_000


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

    async def find(session: Session, name: bytes) -> Replicating | None:
        asked.append(session.remote_key)
        return source if (name, asked[-1]) == (source.discovery_key, keys(2).public_key) else None

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
    monkeypatch.setattr(one_session, "MOST_UNREAD", 200_000)
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
                flood.exchanges[0][1]._out = [messages.Ask(1, 9, proof.Request(proof.BlockRequest(0)))] * 10_000
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


@asynccontextmanager
async def asked(hear: Hear) -> AsyncIterator[tuple[Exchanger, Session]]:
    """A side that hears in `hyperfs/1`, and the session of one that has connected to it."""
    async with open_exchanger(keys(1), hear=hear) as peer, open_exchanger(keys(2)) as device, trio.open_nursery() as n:
        near, far = trio.testing.memory_stream_pair()
        n.start_soon(lambda: peer.run(near, is_initiator=False, offers=False))
        yield peer, await device.connect(far, keys(1).public_key)
        n.cancel_scope.cancel()


async def test_questions_are_answered_however_many_are_asked_at_a_time() -> None:
    open_ones: list[Request] = []
    count = 0

    def hear(session: Session, event: Request | Notified) -> None:
        nonlocal count
        assert isinstance(event, Request)
        open_ones.append(event)
        count += 1
        if len(open_ones) == MOST_OPEN or count == 40:
            for request in reversed(open_ones):
                session.answer(request.id, Status.OK, request.body * 2)
            open_ones.clear()

    answers: dict[int, tuple[int, bytes]] = {}
    async with asked(hear) as (_, session):

        async def ask(number: int) -> None:
            answers[number] = await session.ask(Method.SPACE, b"%d" % number)

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for number in range(40):
                    nursery.start_soon(ask, number)
    assert answers == {number: (Status.OK, b"%d%d" % (number, number)) for number in range(40)}


async def test_one_who_stops_waiting_for_an_answer_takes_no_credit_with_it() -> None:
    heard: list[Request] = []

    def hear(session: Session, event: Request | Notified) -> None:
        assert isinstance(event, Request)
        heard.append(event)
        if event.body:
            session.answer(event.id, Status.OK)

    async with asked(hear) as (peer, session):
        for _ in range(MOST_OPEN - 1):
            with trio.CancelScope() as scope:
                scope.cancel()
                await session.ask(Method.SPACE, b"")
            with trio.move_on_after(0.01):
                await session.ask(Method.SPACE, b"")
        with trio.fail_after(60):
            assert await session.ask(Method.SPACE, b"now") == (Status.OK, b"")
            peer.sessions[0].answer(heard[0].id, Status.OK)
            assert await session.ask(Method.SPACE, b"again") == (Status.OK, b"")


async def test_a_question_whose_connection_ends_is_unreachable_and_so_is_the_next() -> None:
    async with asked(lambda session, event: session.close()) as (_, session):
        for _ in range(2):
            with pytest.raises(Unreachable, match="hung up"), trio.fail_after(60):
                await session.ask(Method.SPACE, b"")


async def test_a_side_that_does_not_speak_says_so_by_silence_of_a_name() -> None:
    async with open_exchanger(keys(1)) as peer, open_exchanger(keys(2)) as device, trio.open_nursery() as nursery:
        near, far = trio.testing.memory_stream_pair()
        nursery.start_soon(lambda: peer.run(near, is_initiator=False))
        session = await device.connect(far, keys(1).public_key)
        for _ in range(2):
            with pytest.raises(Unreachable, match="does not speak"), trio.fail_after(60):
                await session.ask(Method.SPACE, b"")
        nursery.cancel_scope.cancel()


async def test_attack_n01_another_than_was_meant_hears_nothing(tmp_path: Path) -> None:
    async with open_exchanger(keys(3)) as other, open_exchanger(keys(2)) as device, trio.open_nursery() as nursery:
        device.add(serves(own_log(tmp_path / "own", 5)))
        near, far = trio.testing.memory_stream_pair()
        nursery.start_soon(lambda: other.run(near, is_initiator=False))
        with pytest.raises(Misbehaved, match="another than was expected answers there"):
            await device.connect(far, keys(1).public_key, offers=True)
        assert other.sessions == () or other.sessions[0].received_bytes <= 32 + 64 + 6
        nursery.cancel_scope.cancel()


async def test_a_peer_that_hangs_up_in_the_handshake_is_unreachable() -> None:
    async with open_exchanger(keys(2)) as device:
        near, far = trio.testing.memory_stream_pair()
        await near.aclose()
        with pytest.raises(Unreachable, match="hangs up"):
            await device.connect(far, keys(1).public_key)


async def test_who_is_trusted_stays_without_a_log_and_who_is_not_goes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with asked(lambda session, event: None) as (peer, session):
        peer.trust(peer.sessions[0])
        await trio.sleep(4 * HANDSHAKE_SECONDS)
        assert not session.ended.is_set()
    async with asked(lambda session, event: None) as (peer, session):
        await trio.sleep(2 * HANDSHAKE_SECONDS)
        assert session.ended.is_set()


async def test_notices_and_questions_of_a_peer_are_heard_and_those_to_a_device_are_refused() -> None:
    heard: list[object] = []
    async with asked(lambda session, event: heard.append(event)) as (peer, session):
        session.notify(7, b"early")  # the other side has not opened the channel yet
        await trio.testing.wait_all_tasks_blocked(0.02)
        session.notify(7, b"now")
        with trio.fail_after(60):
            assert await peer.sessions[0].ask(Method.SPACE, b"") == (
                Status.BAD_REQUEST,
                b"this side answers no questions",
            )
    assert heard == [Notified(7, b"now")]


async def test_logs_are_named_to_a_side_once_that_is_said(tmp_path: Path) -> None:
    log, taking = own_log(tmp_path / "own", 50), replica(tmp_path / "there")
    target = takes(taking)
    async with open_exchanger(keys(1)) as peer, open_exchanger(keys(2)) as device, trio.open_nursery() as nursery:
        device.add(serves(log))
        near, far = trio.testing.memory_stream_pair()
        nursery.start_soon(lambda: peer.run(near, is_initiator=False, offers=False))
        session = await device.connect(far, keys(1).public_key)
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert target.exchanges == []
        device.offer(session)  # refused: the log is not there yet
        await trio.testing.wait_all_tasks_blocked(0.02)
        peer.add(target)
        device.offer(session)
        await until(peer, lambda: taking.length == 50 and target.is_whole)
        nursery.cancel_scope.cancel()


async def test_what_was_found_for_one_is_looked_for_again_for_the_next(tmp_path: Path) -> None:
    source = serves(own_log(tmp_path / "own", 50))

    async def find(session: Session, name: bytes) -> Replicating | None:
        return source if session.remote_key == keys(2).public_key else None

    lengths = []
    async with open_exchanger(keys(1), find) as peer, trio.open_nursery() as nursery:
        for number in (2, 3):
            taking = replica(tmp_path / f"there{number}")
            target = takes(taking)
            async with open_exchanger(keys(number)) as device:
                device.add(target)
                near, far = trio.testing.memory_stream_pair()
                nursery.start_soon(lambda stream=near: peer.run(stream, is_initiator=False, offers=False))
                await device.connect(far, keys(1).public_key, offers=True)
                await trio.testing.wait_all_tasks_blocked(0.1)
                lengths.append(taking.length)
        nursery.cancel_scope.cancel()
    assert lengths == [50, 0]
