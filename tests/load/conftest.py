"""Machines of a test's own, as the commands' tests have them."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.machine import Machine
from tests.mount.drive import Drive, why_no_mount


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine with nothing on it yet, on which drives can be mounted."""
    if reason := why_no_mount():
        pytest.skip(f"no mount: {reason}")
    folder = tmp_path / "machine"
    folder.mkdir()
    made = Machine(folder)
    try:
        yield made
    finally:
        made.end()


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Drive]:
    """A drive of the tests, not mounted yet."""
    if reason := why_no_mount():
        pytest.skip(f"no mount: {reason}")
    made = Drive(tmp_path)
    try:
        yield made
    finally:
        made.end()
        shutil.rmtree(made.store, ignore_errors=True)
