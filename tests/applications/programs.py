"""Programs that are not ours: is one here, run it, and compare what it leaves."""

import hashlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.mount.drive import LONG

LIBRARY = Path(os.__file__).parent
SLICES = ["asyncio", "email", "json", "unittest", "importlib"]
if LONG:
    SLICES += ["ctypes", "logging", "urllib", "xml", "concurrent"]


def need(program: str) -> str:
    """The program's path. Where it is missing the quick run goes on without; the long one had to install it."""
    found = shutil.which(program)
    if found:
        return found
    if LONG:
        pytest.fail(f"{program} is not installed: packaging/suites installs it")
    pytest.skip(f"{program} is not installed")


def need_source(variable: str, what: str) -> Path:
    """The checkout of a suite that is not ours."""
    name = os.environ.get(variable)
    if not name:
        pytest.skip(f"NOT RUN: {what}: {variable} names no checkout")
    path = Path(name)
    assert path.is_dir(), f"{variable}={name} is no folder"
    return path


def run(
    *command: object,
    cwd: Path | None = None,
    seconds: float = 120,
    environment: dict[str, str] | None = None,
    code: int | None = 0,
) -> str:
    """What the command prints. It must end with that code, if one is given. What it started ends with it."""
    with subprocess.Popen(
        [str(word) for word in command],
        cwd=cwd or "/",
        env=os.environ | (environment or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="surrogateescape",
        start_new_session=True,
    ) as process:
        try:
            said, _ = process.communicate(timeout=seconds)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert code is None or process.returncode == code, f"{command} ended with {process.returncode}:\n{said[-6000:]}"
    return said


def hashes(folder: Path) -> dict[str, str]:
    """Of every file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }
