"""A peer that tells its devices on the local network where it is, under names that nobody else can tell."""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

import trio

from hyperfs.lan import names
from hyperfs.lan.child import keep_running

NAMES_MOST: Final = 64
LOOK_SECONDS: Final = 30.0
"""So soon a device that was added is told too, and a new quarter of an hour has its names."""


async def announce(
    port: int,
    secrets: Callable[[], Iterable[bytes]],
    now_ns: Callable[[], int] = time.time_ns,
    addresses: Sequence[str] = (),
) -> None:
    """Until it is cancelled. `secrets`: one for each device, see `names.secret_of_peer`. `addresses`: of this machine's
    networks; else all."""
    await keep_running("announce", addresses, partial(_tell, port, secrets, now_ns))


async def _tell(
    port: int, secrets: Callable[[], Iterable[bytes]], now_ns: Callable[[], int], process: trio.Process
) -> None:
    told: list[str] | None = None
    assert process.stdin is not None
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_end_with, process, scope)
            while True:
                wanted = names.names_of(secrets(), names.slot_at(now_ns()), NAMES_MOST)
                if wanted != told:
                    told = wanted
                    try:
                        await process.stdin.send_all(json.dumps({"names": wanted, "port": port}).encode() + b"\n")
                    except trio.BrokenResourceError:
                        return
                await trio.sleep(LOOK_SECONDS)


async def _end_with(process: trio.Process, scope: trio.CancelScope) -> None:
    await process.wait()
    scope.cancel()
