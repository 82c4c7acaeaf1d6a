"""The control socket: a real server and a real client over it."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import trio.testing

from hyperfs import __version__
from hyperfs.cli.session import Place, session
from hyperfs.daemon import client, socket_place, wire
from hyperfs.daemon.exit_codes import Reported
from hyperfs.daemon.server import ControlSocket, Handler
from hyperfs.daemon.wire import Message, Tell
from hyperfs.errors import Corrupt, Refused, Unreachable


async def echo(name: str, params: Message, tell: Tell) -> Message:
    if name == "corrupt":
        raise Corrupt("rotten", "log 1")
    if name == "bug":
        raise ZeroDivisionError("oops")
    for step in range(3):
        await tell("working", step, 3)
    return {"name": name} | params


async def serving(store: Path, handle: Handler, work: Callable[[], object]) -> object:
    """What `work` returns, done in a thread while a server runs."""
    control = ControlSocket(store)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(control.serve, handle)
            result = await trio.to_thread.run_sync(work)
            nursery.cancel_scope.cancel()
    finally:
        control.close()
    return result


async def test_requests_are_answered_in_turn_with_progress_between(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []

    def work() -> list[Message]:
        with client.connect(tmp_path) as drive:
            drive.check_version().begin()
            assert drive.pid == os.getpid()
            return [
                drive.request("one", {"path": "a\udcff\n"}, lambda *step: told.append(step)),
                drive.request("two"),
            ]

    assert await serving(tmp_path, echo, work) == [{"name": "one", "path": "a\udcff\n"}, {"name": "two"}]
    assert told == [("working", step, 3) for step in range(3)]


@pytest.mark.parametrize(("request_name", "kind", "code"), [("corrupt", "Corrupt", 3), ("bug", "ZeroDivisionError", 1)])
async def test_errors_come_over_with_their_code_and_the_connection_goes_on(
    tmp_path: Path, request_name: str, kind: str, code: int
) -> None:
    def work() -> tuple[Reported, Message]:
        with client.connect(tmp_path) as drive:
            drive.begin()
            with pytest.raises(Reported) as caught:
                drive.request(request_name)
            return caught.value, drive.request("fine")

    error, after = await serving(tmp_path, echo, work)  # type: ignore[misc]
    assert (error.kind, error.exit_code) == (kind, code)
    assert after == {"name": "fine"}


async def test_another_version_is_told_what_to_restart_on_both_sides(tmp_path: Path) -> None:
    def work() -> Message:
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect(str(tmp_path / "socket"))
            lines = raw.makefile("rwb")
            assert wire.decode(lines.readline())["hyperfs"] == __version__
            lines.write(wire.encode({"hyperfs": "0.0.1"}))
            lines.flush()
            return wire.decode(lines.readline())

    answer = await serving(tmp_path, echo, work)
    assert isinstance(answer, dict)
    assert answer["error"]["exit_code"] == 4
    assert "mount it again" in answer["error"]["message"]
    with pytest.raises(Unreachable, match=r"0\.0\.1.*mount it again"):
        wire.check_hello({"hyperfs": "0.0.1"}, "the drive")


@pytest.mark.parametrize(
    "sent", [b"no json\n", b"[1]\n", b'{"request": 3}\n', b'{"request": "x", "params": 3}\n', b"x" * (5 << 20)]
)
async def test_nonsense_is_refused_and_harms_nobody_else(tmp_path: Path, sent: bytes) -> None:
    def work() -> Message:
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect(str(tmp_path / "socket"))
            lines = raw.makefile("rwb")
            lines.readline()
            lines.write(wire.encode(wire.hello()))
            lines.flush()
            try:
                raw.sendall(sent)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it had enough
            else:
                assert json.loads(lines.readline())["error"]["exit_code"] == 2
        with client.connect(tmp_path) as drive:
            return drive.begin().request("fine")

    assert await serving(tmp_path, echo, work) == {"name": "fine"}


async def test_attack_l01_the_socket_is_for_its_user_alone_and_goes_with_the_server(tmp_path: Path) -> None:
    def work() -> int:
        return (tmp_path / "socket").stat().st_mode & 0o777

    assert await serving(tmp_path, echo, work) == 0o600
    assert not (tmp_path / "socket").exists()


async def test_a_dead_process_socket_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "socket"))
    with pytest.raises(Unreachable, match="no process serves"):
        client.connect(tmp_path)

    def work() -> Message:
        with client.connect(tmp_path) as drive:
            return drive.begin().request("fine")

    assert await serving(tmp_path, echo, work) == {"name": "fine"}


async def test_a_path_of_any_length_will_do(tmp_path: Path) -> None:
    deep = tmp_path / ("long " * 20) / ("deep " * 30)
    deep.mkdir(parents=True)

    def work() -> Message:
        with client.connect(deep) as drive:
            return drive.begin().request("fine")

    assert await serving(deep, echo, work) == {"name": "fine"}


async def test_a_client_that_goes_away_in_the_middle_is_forgotten(tmp_path: Path) -> None:
    entered, leave = trio.Event(), trio.Event()

    async def slow(name: str, params: Message, tell: Tell) -> Message:
        if name == "slow":
            entered.set()
            await leave.wait()
        return {}

    control = ControlSocket(tmp_path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(control.serve, slow)
        stream = await trio.open_unix_socket(tmp_path / "socket")
        await stream.receive_some()
        await stream.send_all(wire.encode(wire.hello()) + wire.encode({"request": "slow", "params": {}}))
        await entered.wait()
        await stream.aclose()
        leave.set()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    control.close()


def test_when_nobody_listens_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="mount it"):
        client.connect(tmp_path)


def test_a_process_that_is_too_busy_to_say_hello_is_not_said_to_be_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "HELLO_SECONDS", 0.05)
    control = ControlSocket(tmp_path)  # listens, and nobody answers
    try:
        with (
            pytest.raises(Unreachable, match="it hangs or is very busy"),
            session(Place(tmp_path, tmp_path / "mount", "")),
        ):
            pass
    finally:
        control.close()
    with (
        pytest.raises(Unreachable, match="mounts it again"),
        session(Place(tmp_path, tmp_path / "mount", "")),
    ):
        pass


def test_a_folder_for_sockets_that_others_could_use_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder, _ = socket_place.outside(tmp_path)
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    with pytest.raises(Refused, match="yours alone"):
        socket_place.outside(tmp_path)
