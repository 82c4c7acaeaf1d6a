"""What happens to this machine that connections should know of: sleep, addresses, a network paid by the byte."""

import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import trio

LOOK_SECONDS: Final = 5.0
SLEPT_SECONDS: Final = 5.0
"""So much more went by on the clock that counts sleep than on the one that does not."""
METERED_SECONDS: Final = 60.0
_ASK_SECONDS: Final = 3.0
_GROUPS: Final = 0x10 | 0x100 | 0x40 | 0x400
"""Of rtnetlink: IPv4 and IPv6 addresses, and routes."""
_MESSAGE_BYTES: Final = 1 << 16
SETTLE_SECONDS: Final = 1.0
"""After a change others follow: routes, names."""
_MANAGER: Final = "org.freedesktop.NetworkManager"
_YES: Final = frozenset({b"u 1", b"u 3"})


async def watch(changed: Callable[[str], None]) -> None:
    """Calls `changed` with what it was, whenever something did, until it is cancelled."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_watch_sleep, changed)
        nursery.start_soon(_watch_addresses, changed)


async def _watch_sleep(changed: Callable[[str], None]) -> None:
    awake = slept()
    while True:
        await trio.sleep(LOOK_SECONDS)
        now = slept()
        if now - awake > SLEPT_SECONDS:
            changed(f"the machine has slept for {now - awake:.0f} s")
        awake = now


def slept() -> float:
    """Seconds that this machine has slept since it was started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()


async def _watch_addresses(changed: Callable[[str], None]) -> None:
    plain = _listening()
    if plain is None:
        return
    with trio.socket.from_stdlib_socket(plain) as messages:
        while True:
            with suppress(OSError):  # too many came at once: that is a change as well
                await messages.recv(_MESSAGE_BYTES)
            await trio.sleep(SETTLE_SECONDS)
            _drain(plain)
            changed("an address of this machine has changed")


def _listening() -> socket.socket | None:
    """None where the system has nothing of that kind: there connections end by themselves, only later."""
    try:
        plain = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    except OSError:
        return None
    try:
        plain.bind((0, _GROUPS))
    except OSError:
        plain.close()
        return None
    return plain


def _drain(messages: socket.socket) -> None:
    while True:
        try:
            messages.recv(_MESSAGE_BYTES, socket.MSG_DONTWAIT)
        except OSError:
            return


def is_metered() -> bool:
    """Whether NetworkManager says that the network is paid by the byte; where there is none, no. In a worker thread."""
    program = shutil.which("busctl")
    if program is None:
        return False
    path = "/" + _MANAGER.replace(".", "/")
    try:
        done = subprocess.run(
            [program, "--system", "get-property", _MANAGER, path, _MANAGER, "Metered"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ASK_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.strip() in _YES
