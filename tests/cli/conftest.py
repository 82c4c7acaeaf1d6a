"""Commands run as a user runs them, on machines of their own; drives are really mounted."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .machine import Machine


def why_no_mount() -> str | None:
    if not os.path.exists("/dev/fuse"):
        return "there is no /dev/fuse here"
    if os.geteuid() != 0 and shutil.which("fusermount3") is None:
        return "there is no fusermount3 here"
    return None


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine with nothing on it yet."""
    made = Machine(tmp_path)
    yield made
    made.end()


@pytest.fixture
def fuse() -> None:
    """For tests that mount."""
    reason = why_no_mount()
    if reason:
        pytest.skip(f"no mount: {reason}")


@pytest.fixture
def mounted(machine: Machine, fuse: None) -> Machine:
    """With a new drive, mounted."""
    machine.mount()
    return machine


@pytest.fixture(params=["as root", "as an ordinary user"])
def anybody(request: pytest.FixtureRequest, fuse: None) -> Iterator[Machine]:
    """The same for root and for others, who mount through fusermount3."""
    ordinary = request.param != "as root"
    if os.geteuid() != 0 and not ordinary:
        pytest.skip("these tests do not run as root")
    if os.geteuid() == 0 and ordinary and shutil.which("fusermount3") is None:
        pytest.skip("there is no fusermount3 here")
    # Not below pytest's folder, into which it lets nobody but the user who runs it.
    folder = Path(tempfile.mkdtemp(prefix="hyperfs-test-"))
    made = Machine(folder, ordinary_user=ordinary and os.geteuid() == 0)
    yield made
    made.end()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A mounted drive that a module's tests share; each works in a folder of its own."""
    reason = why_no_mount()
    if reason:
        pytest.skip(f"no mount: {reason}")
    folder = tmp_path_factory.mktemp("shared")
    made = Machine(folder)
    try:
        made.mount()
        yield made
    finally:
        made.end()
