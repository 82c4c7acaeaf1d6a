"""Any command line ends with a documented code and a message, never with a fault of the code."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tally
from tests.cli.machine import Machine

LONG = os.environ.get("HYPERFS_ALL") == "1"
COMMANDS = int(os.environ.get("HYPERFS_FUZZ_COMMANDS", "1000" if LONG else "60"))
SEED = os.environ.get("HYPERFS_FUZZ_SEED", "1")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.end()


@pytest.mark.timeout(120 + COMMANDS * 3)
def test_no_arguments_make_a_command_fail_in_its_code(machine: Machine) -> None:
    folder = machine.folder / "here"
    folder.mkdir()
    reading, writing = os.pipe()
    # What the commands say goes to a file: a pipe that nobody reads would fill up, and all would stand still.
    with open(reading) as told, (machine.folder / "said").open("w+b") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.arguments", SEED, str(COMMANDS), str(writing)],
            env=machine.environment | {"PYTHONPATH": str(ROOT)},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            pass_fds=(writing,),
            start_new_session=True,
        )
        os.close(writing)
        messages = [json.loads(line) for line in told]
        code = process.wait()
        said.seek(0)
        assert code == 0, said.read().decode(errors="replace")[-3000:]
    faults = [message for message in messages if "fault" in message]
    assert not faults, "\n".join(f"{fault['words']}\n{fault['fault']}" for fault in faults[:5])
    codes = messages[-1]["codes"]
    assert sum(codes.values()) == COMMANDS
    assert len(codes) > 1, "all commands ended alike: do they run at all?"
    tally.add("command lines", COMMANDS, seed=SEED)
