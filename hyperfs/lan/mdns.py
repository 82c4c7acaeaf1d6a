"""The child process that speaks multicast DNS: only here packets of strangers are parsed, with no key at hand.

    python -m hyperfs.lan.mdns look [ADDRESS...]
        lines out: {"name": ..., "hosts": [...], "port": ...} for what is there, {"gone": name} for what was taken back
    python -m hyperfs.lan.mdns announce [ADDRESS...]
        lines in: {"names": [...], "port": ...}, all that is announced from now on

ADDRESS: of a network of this machine; without any, all of them. It ends when its standard input does, with 3 at once
where there is no zeroconf.
"""

import json
import os
import resource
import secrets
import sys
import time
from contextlib import suppress
from typing import Any, Final

SERVICE: Final = "_hyperfs._tcp.local."
NO_LIBRARY: Final = 3
RESOLVE_MS: Final = 3000
MEMORY_BYTES: Final = 1 << 30
"""Of addresses: libraries map much and use little of it."""
LINE_BYTES_MOST: Final = 64 << 10
WAITING_MOST: Final = 1024
HOSTS_MOST: Final = 32
PAUSE_SECONDS: Final = 0.02
"""Whoever floods the network takes no more than so much of the parent's time."""


def main(arguments: list[str]) -> int:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        from zeroconf import Zeroconf
    except ImportError:
        return NO_LIBRARY
    zeroconf = Zeroconf(interfaces=arguments[1:]) if arguments[1:] else Zeroconf()
    try:
        (look if arguments[0] == "look" else announce)(zeroconf)
    finally:
        zeroconf.close()
    return 0


def look(zeroconf: Any) -> None:
    """Tells of each service that appears, until the parent is gone."""
    from queue import Full, Queue
    from threading import Thread

    from zeroconf import ServiceBrowser, ServiceStateChange

    seen: Queue[tuple[str, bool]] = Queue(WAITING_MOST)

    def changed(zeroconf: Any, service_type: str, name: str, state_change: Any) -> None:
        with suppress(Full):  # somebody floods the network: what is honest is announced again
            seen.put_nowait((name, state_change is ServiceStateChange.Removed))

    def wait_for_parent() -> None:
        while sys.stdin.buffer.read(1 << 16):
            pass
        os._exit(0)  # there is nothing to be taken back

    Thread(target=wait_for_parent, daemon=True).start()
    ServiceBrowser(zeroconf, SERVICE, handlers=[changed])
    while True:
        name, is_gone = seen.get()
        short = name.removesuffix(f".{SERVICE}")
        if is_gone:
            _tell({"gone": short})
        elif (info := zeroconf.get_service_info(SERVICE, name, RESOLVE_MS)) is not None:
            _tell({"name": short, "hosts": info.parsed_scoped_addresses()[:HOSTS_MOST], "port": info.port})
        time.sleep(PAUSE_SECONDS)


def announce(zeroconf: Any) -> None:
    """What a line says replaces what the line before said."""
    from zeroconf import ServiceInfo

    here: list[Any] = []
    hosts = _own_addresses(zeroconf)
    for line in sys.stdin.buffer:
        wanted = json.loads(line)
        host = f"{secrets.token_hex(8)}.local."  # the machine's own name would tell what the others hide
        before, here = here, [
            ServiceInfo(SERVICE, f"{name}.{SERVICE}", port=wanted["port"], server=host, parsed_addresses=hosts)
            for name in wanted["names"]
        ]
        for new in here:
            zeroconf.register_service(new, cooperating_responders=True)
        for old in before:
            zeroconf.unregister_service(old)
    zeroconf.unregister_all_services()


def _own_addresses(zeroconf: Any) -> list[str]:
    """Those that zeroconf speaks from."""
    senders = [reader.sock_name[0] for reader in zeroconf.engine.senders]
    return sorted({host.partition("%")[0] for host in senders})


def _tell(facts: dict[str, Any]) -> None:
    line = json.dumps(facts)
    if len(line) < LINE_BYTES_MOST:
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
