"""The child process that speaks multicast DNS (`hyperfs.lan.mdns`): started, ended, and started again when it fails."""

import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import trio

from hyperfs.lan import mdns

log = logging.getLogger("hyperfs.lan")

AGAIN_SECONDS: Final = 60.0
AGAIN_MOST_SECONDS: Final = 3600.0
END_SECONDS: Final = 5.0
_KEPT: Final = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL")
"""Of the environment: no passphrase, no credentials."""

Talk = Callable[[trio.Process], Awaitable[None]]


async def keep_running(what: str, addresses: Sequence[str], talk: Talk) -> None:
    """`talk` speaks with a child until that ends; then with another one. Returns where there is no library for it."""
    wait = AGAIN_SECONDS
    while True:
        began = trio.current_time()
        async with _started(what, addresses) as process:
            await talk(process)
        if process.returncode == mdns.NO_LIBRARY:
            log.info("the library zeroconf is not here: nothing is said or heard on the local network")
            return
        if trio.current_time() - began > AGAIN_MOST_SECONDS:
            wait = AGAIN_SECONDS
        log.info("what speaks multicast DNS has ended (%s): again in %.0f s", process.returncode, wait)
        await trio.sleep(wait)
        wait = min(2 * wait, AGAIN_MOST_SECONDS)


@asynccontextmanager
async def _started(what: str, addresses: Sequence[str]) -> AsyncIterator[trio.Process]:
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", mdns.__name__, what, *addresses],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={name: os.environ[name] for name in _KEPT if name in os.environ},
        cwd="/",
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process
    finally:
        with trio.CancelScope(shield=True):
            await process.stdin.aclose()
            with trio.move_on_after(END_SECONDS):
                await process.wait()
            if process.returncode is None:
                process.kill()
                await process.wait()
            await process.stdout.aclose()
