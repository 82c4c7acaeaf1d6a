"""`hyperfs peer serve` as a process of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

from hyperfs.replication.address import Address, parse

COMMAND = [sys.executable, "-c", "from hyperfs.cli.main import main; main()", "peer"]
PATIENCE_SECONDS = 120


def environment() -> dict[str, str]:
    root = str(Path(__file__).parents[2])
    return {name: value for name, value in os.environ.items() if not name.startswith("HYPERFS")} | {"PYTHONPATH": root}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=PATIENCE_SECONDS, env=environment(), check=False
    )


def invite(folder: Path, *more: str) -> dict[str, Any]:
    done = run("invite", "--store", str(folder), "--json", *more)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class Process:
    """It serves once this is made. `before`: what runs the command, such as strace."""

    def __init__(self, folder: Path, *more: str, before: tuple[str, ...] = (), port: int = 0) -> None:
        listen = f"127.0.0.1:{port}"
        command = [*before, *COMMAND, "serve", "--store", str(folder), "--listen", listen, "--json", *more]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
        self.said: list[dict[str, Any]] = []
        assert self.process.stdout is not None
        while not self.said or self.said[-1]["event"] != "serving":
            line = self.process.stdout.readline()
            assert line, "it has ended before it served"
            self.said.append(json.loads(line))
        self.address: Address = parse(self.said[-1]["address"])

    def end(self, number: int = signal.SIGTERM) -> int:
        """Its exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        assert self.process.stdout is not None
        self.said += [json.loads(line) for line in self.process.stdout if line.endswith("\n")]
        return self.process.wait(PATIENCE_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()
