"""A Node process with npm's hypercore: tests/node/peer.js, told what to do."""

import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from hyperfs.log.merkle import hash32, leaf_hash

NODE_FOLDER: Final = Path(__file__).parents[1] / "node"
PATIENCE_SECONDS: Final = 120
"""For one answer, on a busy machine."""


def modules() -> Path:
    """Where npm's packages are. Skips, with the reason, on a machine without them."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed: npm's hypercore can't replicate our logs")
    found = Path(os.environ.get("HYPERFS_NODE_MODULES", NODE_FOLDER / "node_modules"))
    wanted = json.loads((NODE_FOLDER / "package.json").read_text())["dependencies"]["hypercore"]
    package = found / "hypercore" / "package.json"
    if not package.exists():
        pytest.skip(f"npm's hypercore {wanted} is not in {found}")
    assert json.loads(package.read_text())["version"] == wanted
    return found


class NpmPeer:
    """Commands and answers; see tests/node/peer.js."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._read = b""
        self._serial = 0

    async def do(self, command: str, **arguments: Any) -> Any:
        """The answer to one command. AssertionError with Node's words where it failed."""
        found = await self.attempt(command, **arguments)
        assert "error" not in found, found
        return found

    async def attempt(self, command: str, **arguments: Any) -> Any:
        self._serial += 1
        line = json.dumps({"id": self._serial, "command": command, **arguments})
        assert self._process.stdin is not None
        await self._process.stdin.send_all(line.encode() + b"\n")
        with trio.fail_after(PATIENCE_SECONDS):
            while (found := json.loads(await self._line()))["id"] != self._serial:
                pass
        return found

    async def _line(self) -> bytes:
        assert self._process.stdout is not None
        while b"\n" not in self._read:
            data = await self._process.stdout.receive_some()
            assert data, "node has ended"
            self._read += data
        line, _, self._read = self._read.partition(b"\n")
        return line


@asynccontextmanager
async def npm_peer(folder: Path) -> AsyncIterator[NpmPeer]:
    """Runs until the end of the block."""
    environment = {**os.environ, "NODE_PATH": str(modules())}
    async with trio.open_nursery() as nursery:
        process = await nursery.start(
            lambda task_status: trio.run_process(
                ["node", str(NODE_FOLDER / "peer.js"), str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
                task_status=task_status,
            )
        )
        try:
            yield NpmPeer(process)
        finally:
            nursery.cancel_scope.cancel()


def made_block(number: int, size: int) -> bytes:
    """As peer.js makes them."""
    text = b"block %d " % number
    return text + bytes([number & 255]) * (size - len(text))


def hash_of(blocks: list[bytes]) -> str:
    """As peer.js tells it."""
    return hash32(b"".join(map(leaf_hash, blocks))).hex()
