"""Any calls in any order see the same on the drive as on the machine's own filesystem."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.mount.drive import Drive

from .machine import Machine

ALL = os.environ.get("HYPERFS_ALL") == "1"
EXAMPLES = int(os.environ.get("HYPERFS_MOUNTED_EXAMPLES", "150" if ALL else "12"))
SEED = int(os.environ.get("HYPERFS_SEED", "1"))
STEPS = 50
PHASES = [phase for phase in Phase if phase is not Phase.shrink or "HYPERFS_MODEL_NO_SHRINK" not in os.environ]


@pytest.fixture
def _usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.timeout(300 if EXAMPLES < 20 else 0)
@pytest.mark.usefixtures("_usual_umask")
def test_the_mount_is_what_ext4_is(drive: Drive, plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    Machine.drive, Machine.plain, Machine.label = drive, plain, SEED
    run_state_machine_as_test(
        seed(SEED)(Machine),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=PHASES,
            suppress_health_check=list(HealthCheck),
        ),
    )
