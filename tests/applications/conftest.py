"""Applications on a mounted drive: they must do there what they do on a disk."""

import shutil
from pathlib import Path

import pytest

from tests.mount.conftest import _can_mount, drive

from .programs import LIBRARY, SLICES

__all__ = ["_can_mount", "drive"]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slice of the standard library: some hundred real files."""
    folder = tmp_path_factory.mktemp("library") / "slice"
    for name in SLICES:
        shutil.copytree(LIBRARY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "test*"))
    return folder
