"""Sleep, other addresses, networks that are paid by the byte: what the system says of them."""

import os
import socket
from pathlib import Path

import pytest
import trio
import trio.testing

from hyperfs.syncing import surroundings


async def test_sleep_is_noticed_and_a_clock_that_is_set_is_none(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    slept = 100.0
    monkeypatch.setattr(surroundings, "slept", lambda: slept)
    heard: list[str] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(surroundings._watch_sleep, heard.append)
        await trio.sleep(60)
        assert heard == []
        slept += 3600
        await trio.sleep(surroundings.LOOK_SECONDS + 1)
        assert heard == ["the machine has slept for 3600 s"]
        await trio.sleep(60)
        assert len(heard) == 1
        nursery.cancel_scope.cancel()


async def test_another_address_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    monkeypatch.setattr(surroundings, "_listening", lambda: near)
    monkeypatch.setattr(surroundings, "SETTLE_SECONDS", 0.01)
    heard = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(surroundings._watch_addresses, lambda what: heard.set())
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(3):
            far.send(b"a change")
        with trio.fail_after(10):
            await heard.wait()
        nursery.cancel_scope.cancel()
    far.close()


def test_the_kernel_lets_us_listen_for_addresses() -> None:
    listening = surroundings._listening()
    assert listening is not None
    listening.close()


@pytest.mark.parametrize(("says", "is_metered"), [("u 1", True), ("u 3", True), ("u 4", False), ("", False)])
def test_network_manager_says_what_is_metered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, is_metered: bool
) -> None:
    program = tmp_path / "busctl"
    program.write_text(f"#!/bin/sh\necho {says}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    assert surroundings.is_metered() == is_metered


def test_without_network_manager_nothing_is_metered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not surroundings.is_metered()
