"""A drive that is mounted for a whole module, and a plain folder beside it on the machine's own disk."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mount.drive import Drive, why_no_mount


@pytest.fixture(autouse=True, scope="session")
def _can_mount() -> None:
    reason = why_no_mount()
    if reason:
        pytest.skip(f"no mount: {reason}")


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drive]:
    """A drive for the tests of a module, which may kill and mount it as they like."""
    made = Drive(tmp_path_factory.mktemp("drive"))
    try:
        made.mount("allow-other") if os.getuid() == 0 else made.mount()
        yield made
    finally:
        made.end()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plain")
