import os
from pathlib import Path

import trio

from hyperfs.service.beating import beat
from hyperfs.service.notify import Notifier

from .listening import Ear


async def test_a_loop_that_runs_is_heard_and_one_that_hangs_is_not(tmp_path: Path) -> None:
    with Ear(tmp_path / "notify") as ear:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(beat, Notifier(ear.address, 0.05))
            for _ in range(3):
                assert await trio.to_thread.run_sync(ear.hear) == (os.getpid(), {"WATCHDOG": "1"})
            assert ear.is_silent(0.2)  # waits in the loop's own thread, which so hangs
            await trio.to_thread.run_sync(ear.hear)
            nursery.cancel_scope.cancel()


async def test_without_a_watchdog_it_ends_at_once(tmp_path: Path) -> None:
    with Ear(tmp_path / "notify") as ear:
        await beat(Notifier(ear.address))
        await beat(Notifier())
        assert ear.is_silent(0.05)
