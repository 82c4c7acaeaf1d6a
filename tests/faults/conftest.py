"""Makes the sample drive of this folder importable, and builds it once for all tests."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from sample_drive import Sample, build_sample, ticking  # the path has to be there first

from hyperfs.volume.options import Options


@pytest.fixture(scope="session")
def fast_folder() -> Iterator[Path]:
    """A folder in memory where there is one: these tests lay out thousands of stores."""
    parent = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="hyperfs-faults-", dir=parent) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def sample(fast_folder: Path) -> Sample:
    """Read only: lay it out to use it. Its index folder is empty."""
    return build_sample(fast_folder / "memory", Options(memory_index=True, wall_ns=ticking()))


@pytest.fixture(scope="session")
def indexed_sample(fast_folder: Path) -> Sample:
    """The same with RocksDB's files."""
    return build_sample(fast_folder / "rocks", Options(wall_ns=ticking()))
