"""The soak, briefly; HYPERFS_ALL=1: three minutes; HYPERFS_SOAK_MINUTES: as many as it says."""

import os
from pathlib import Path

import pytest

from tests import tally
from tests.cli.machine import Machine

from .soak import soak
from .watching import MIB

MINUTES = float(os.environ.get("HYPERFS_SOAK_MINUTES", "3" if os.environ.get("HYPERFS_ALL") else "0.2"))
SEED = os.environ.get("HYPERFS_SOAK_SEED", "1")
SLOPE_MOST_MIB_PER_HOUR = 1.0
RSS_MOST = (320 if MINUTES < 100 else 400) * MIB
"""Hours fill the caches to their bounds and leave holes in the heap (docs/reliability.md has the parts)."""


@pytest.mark.mount
@pytest.mark.timeout(MINUTES * 90 + 600)
def test_a_drive_under_all_kinds_of_work_loses_nothing_and_grows_no_memory(machine: Machine, tmp_path: Path) -> None:
    figures = soak(machine, MINUTES * 60, SEED, tmp_path)
    print(figures)
    tally.add("soak operations", figures.operations, SEED)
    tally.add("soak seconds", round(figures.seconds), SEED)
    assert not figures.faults
    assert figures.operations > 10 * MINUTES
    assert figures.most["rss"] < RSS_MOST
    if MINUTES >= 100:  # before that the caches are still filling
        assert figures.slope < SLOPE_MOST_MIB_PER_HOUR
