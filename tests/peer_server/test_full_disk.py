"""A cloud peer whose disk is full or fails while it serves: what it says, and that it goes on as the disk has it."""

import errno
import os
from collections.abc import Iterator

import pytest
import trio
import trio.testing

from hyperfs.log.replica import Replica
from hyperfs.replication.dialogue_codec import Notice, Notified
from hyperfs.replication.replicating import Done, Replicating, Work
from tests.peer.conftest import CONTENT, METADATA, Owner

from .conftest import Serving
from .devices import PATIENCE_SECONDS, connected


class Trouble:
    """Fails one of the disk's operations so many times, from when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.failing: Iterator[int] = iter(())
        real = getattr(Replica, name)

        def operation(replica: Replica, *arguments: object) -> object:
            if (number := next(self.failing, 0)) != 0:
                raise OSError(number, os.strerror(number))
            return real(replica, *arguments)

        monkeypatch.setattr(Replica, name, operation)


@pytest.mark.parametrize("name", ["keep", "sync"])
@pytest.mark.parametrize(
    ("number", "words"), [(errno.ENOSPC, b"this peer's disk is full"), (errno.EIO, b"this peer's disk fails")]
)
async def test_who_sends_is_told_and_sends_the_rest_when_there_is_room_again(
    serving: Serving, owner: Owner, monkeypatch: pytest.MonkeyPatch, name: str, number: int, words: bytes
) -> None:
    trouble = Trouble(monkeypatch, name)
    async with serving() as served:
        heard: list[Notified] = []
        async with connected(owner, served.address) as device:
            device.exchanger._hear = lambda session, event: heard.append(event)
            (await (await device.pair(served.code())).offer()).send(CONTENT)
            await device.until_held(CONTENT)
            trouble.failing = iter([0, 0, 0, number] if name == "keep" else [number])
            device.append(CONTENT, 40)
            with trio.fail_after(PATIENCE_SECONDS):
                await device.session.ended.wait()
        assert [notice.kind for notice in heard] == [Notice.TROUBLE]
        assert heard[0].body[:32] == owner.discovery_key(CONTENT)
        assert words in heard[0].body
        assert [event.level for event in served.heard("disk")] == ["error"]
        async with connected(owner, served.address) as device:
            device.send()
            assert (await device.until_held(CONTENT)).ranges == ((0, 90),)
            await device.until_held(METADATA)


async def test_who_sends_is_told_also_when_the_failure_is_noticed_elsewhere_first(
    serving: Serving, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the failure in the worker thread and its arrival in the event loop the server looks at its logs."""
    trouble = Trouble(monkeypatch, "keep")
    real = Replicating.perform
    async with serving() as served:

        async def look() -> None:
            served.server.exchanger._change()
            await trio.testing.wait_all_tasks_blocked()

        def perform(log: Replicating, work: Work) -> Done:
            try:
                return real(log, work)
            finally:
                if log.taking is not None:
                    trio.from_thread.run(look)

        monkeypatch.setattr(Replicating, "perform", perform)
        async with connected(owner, served.address) as device:
            (await (await device.pair(served.code())).offer()).send(CONTENT)
            await device.until_held(CONTENT)
            trouble.failing = iter([0, 0, 0, errno.ENOSPC])
            device.append(CONTENT, 40)
            with trio.fail_after(PATIENCE_SECONDS):
                await device.session.ended.wait()
        async with connected(owner, served.address) as device:
            device.send()
            assert (await device.until_held(CONTENT)).ranges == ((0, 90),)


async def test_what_a_failed_receipt_has_lost_comes_again_on_the_same_connection(
    serving: Serving, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receipt's sync fails while blocks are kept that are not synced yet: they must not count as had."""
    trouble = Trouble(monkeypatch, "sync")
    async with serving() as served, connected(owner, served.address) as device:
        (await (await device.pair(served.code())).offer()).send(CONTENT)
        await device.until_held(CONTENT)
        (lending,) = served.server._lendings.values()
        lending.lent.is_unsynced = True
        trouble.failing = iter([errno.EIO])
        with pytest.raises(Exception, match="this peer's disk fails"):
            await device.receipt(CONTENT)
        assert not lending.is_good
        device.append(CONTENT, 40)
        assert (await device.until_held(CONTENT)).ranges == ((0, 90),)
        assert served.server._lendings[owner.discovery_key(CONTENT)] is not lending
        assert not device.session.ended.is_set()


async def test_a_quota_that_was_raised_is_used_by_the_same_server(serving: Serving, owner: Owner) -> None:
    async with serving() as served:
        async with connected(owner, served.address) as device:
            await (await device.pair(served.code(quota_bytes=20_000))).offer()
            owner.append(CONTENT, 200)
            device.send(CONTENT)
            with trio.fail_after(PATIENCE_SECONDS):
                await device.session.ended.wait()
        assert served.peer.drives[owner.id].used_bytes <= 40_000
        async with connected(owner, served.address) as device:
            await device.pair(served.code(quota_bytes=10**9))
            device.send()
            assert (await device.until_held(CONTENT)).ranges == ((0, 250),)
