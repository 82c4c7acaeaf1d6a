"""The pulse of a process with an event loop: told out of the loop itself, so that it stops when the loop hangs."""

import trio

from hyperfs.service.notify import Notifier


async def beat(manager: Notifier) -> None:
    """Until it is cancelled. Ends at once where nobody listens for it."""
    if manager.watchdog_seconds is None:
        return
    while True:
        manager.alive()
        await trio.sleep(manager.watchdog_seconds / 2)
