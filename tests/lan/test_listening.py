"""Announced and heard over real multicast, on the loopback of this machine."""

import importlib.util
import os
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import trio

from hyperfs.crypto.keys import BoxKeyPair, SigningKeyPair
from hyperfs.lan import names
from hyperfs.lan.announcing import announce
from hyperfs.lan.listening import Listening

SEED = b"\5" * 32
PEER = SigningKeyPair(SEED).public_key
DEVICE = BoxKeyPair(b"\6" * 32)
LOOPBACK = ("127.0.0.1",)

needs_zeroconf = pytest.mark.skipif(importlib.util.find_spec("zeroconf") is None, reason="zeroconf is not installed")


class Ear:
    """A device that listens for its peer."""

    def __init__(self, transport: BoxKeyPair, allow_loopback: bool = True) -> None:
        self.told: list[bytes] = []
        self.heard = trio.Event()
        self.listening = Listening(transport, self._hear, addresses=LOOPBACK, allow_loopback=allow_loopback)
        self.listening.listen_for(PEER)

    def _hear(self, peer: bytes) -> None:
        self.told.append(peer)
        self.heard.set()


@pytest.fixture
async def nursery() -> AsyncIterator[trio.Nursery]:
    async with trio.open_nursery() as nursery:
        yield nursery
        nursery.cancel_scope.cancel()


def secrets_of(*devices: BoxKeyPair) -> list[bytes]:
    return [secret for device in devices if (secret := names.secret_of_peer(SEED, device.public_key))]


@needs_zeroconf
async def test_a_device_finds_its_peer_and_another_one_does_not(nursery: trio.Nursery) -> None:
    mine, other = Ear(DEVICE), Ear(BoxKeyPair(b"\7" * 32))
    nursery.start_soon(mine.listening.run)
    nursery.start_soon(other.listening.run)
    nursery.start_soon(partial(announce, 4780, lambda: secrets_of(DEVICE), addresses=LOOPBACK))
    with trio.fail_after(120):
        await mine.heard.wait()
    assert mine.told == [PEER]
    assert mine.listening.places(PEER) == [("127.0.0.1", 4780)]
    assert other.told == []
    mine.listening.shun(PEER, ("127.0.0.1", 4780))
    assert mine.listening.places(PEER) == []


async def test_without_the_library_it_ends_in_peace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "zeroconf.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, sys.path)]))
    with trio.fail_after(120):
        await Ear(DEVICE).listening.run()


def test_lines_that_are_none_change_nothing() -> None:
    ear = Ear(DEVICE)
    ear.listening.hear(b"nonsense")
    assert ear.told == []
