"""Starting the process of a mounted drive, from a command: in the background, with its readiness told back.

    hyperfs mount  --spawns-->  python -m hyperfs.daemon (supervisor)  --spawns-->  python -m hyperfs.daemon.worker

The keys go to the worker through pipes, never through arguments or the environment.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

from hyperfs.crypto.keys import DeviceKeys
from hyperfs.daemon import wire
from hyperfs.daemon.hardening import set_allocator
from hyperfs.errors import Unreachable

LOG_LIMIT_BYTES: Final = 1 << 20
PASSPHRASE_VARIABLE: Final = "HYPERFS_PASSPHRASE"

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Spec:
    """All that the process of a mounted drive must know. Paths are absolute and resolved."""

    store: Path
    directory: Path
    device_keys: DeviceKeys
    read_only: bool = False
    allow_other: bool = False
    show_versions: bool = False
    at: str | None = None
    link: str | None = None
    links_bytes: int | None = None
    """What all that came by links may take of the disk; None for the usual."""

    def encode(self) -> bytes:
        """Holds the keys: for a pipe only."""
        plain: dict[str, Any] = asdict(self) | {
            "store": str(self.store),
            "directory": str(self.directory),
            "device_keys": self.device_keys.to_bytes().hex(),
        }
        return json.dumps(plain).encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        plain = json.loads(data)
        plain["store"] = Path(plain["store"])
        plain["directory"] = Path(plain["directory"])
        plain["device_keys"] = DeviceKeys.from_bytes(bytes.fromhex(plain["device_keys"]))
        return cls(**plain)


def log_path(store: Path) -> Path:
    """Where the process in the background writes its log: beside the store."""
    return store.with_name(f"{store.name}.log")


def start_in_background(spec: Spec, progress: Progress) -> str | None:
    """Returns once the mount answers: why the drive takes no writes from this device, None where it does.

    Raises Reported with what went wrong there, Unreachable."""
    environment = {name: value for name, value in os.environ.items() if name != PASSPHRASE_VARIABLE}
    set_allocator(environment)
    ready, tell = os.pipe()
    log = _open_log(log_path(spec.store))
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "hyperfs.daemon", str(tell), str(spec.store), str(spec.directory)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=environment,
            cwd="/",
            start_new_session=True,
            pass_fds=(tell,),
        )
    finally:
        os.close(tell)
        os.close(log)
    assert process.stdin is not None
    try:
        process.stdin.write(spec.encode())
        process.stdin.close()
    except BrokenPipeError:
        pass  # it ended already; the pipe below says nothing and so does what follows
    with open(ready, "rb") as lines:
        return _wait_until_ready(lines, spec, progress)


def _wait_until_ready(lines: Any, spec: Spec, progress: Progress) -> str | None:
    for line in lines:
        message = wire.decode(line)
        if "error" in message:
            raise wire.reported(message)
        if "ready" in message:
            why = message["read_only_because"]
            return None if why is None else str(why)
        progress(*message["progress"])
    raise Unreachable(f"the drive's process ended before it had mounted: {log_path(spec.store)} may say why")


def _open_log(path: Path) -> int:
    """The log to append to, begun anew when it has grown long; nowhere where it can't be written."""
    try:
        if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
            path.replace(path.with_name(f"{path.name}.1"))
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
