"""Mounted drives. Every test here is skipped, with the reason, where nothing can be mounted."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .drive import Drive, why_no_mount


@pytest.fixture(autouse=True, scope="session")
def _can_mount() -> None:
    reason = why_no_mount()
    if reason:
        pytest.skip(f"no mount: {reason}")


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Drive]:
    """A new drive, mounted; the test may kill and mount it as it likes."""
    made = Drive(tmp_path)
    try:
        made.mount()
        yield made
    finally:
        made.end()


@pytest.fixture(scope="module")
def shared_drive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drive]:
    """A drive that the tests of a module share; each works in a folder of its own."""
    made = Drive(tmp_path_factory.mktemp("shared"))
    try:
        made.mount("allow-other") if os.getuid() == 0 else made.mount()
        yield made
    finally:
        made.end()


@pytest.fixture
def mounted(shared_drive: Drive, request: pytest.FixtureRequest) -> Path:
    """A new folder on the mount."""
    folder = shared_drive.point / f"{abs(hash(request.node.nodeid)):x}"
    folder.mkdir()
    return folder


@pytest.fixture(params=["mount", "plain"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A new folder on the mount, and then one on the disk: what a test says must hold on both alike."""
    if request.param == "plain":
        return tmp_path
    folder: Path = request.getfixturevalue("mounted")
    return folder
