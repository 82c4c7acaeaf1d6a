"""The command itself: how quickly it starts, its completion, its help, its manners."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .machine import COMMAND, Machine

HEAVY = ("trio", "pyfuse3", "rich", "rocksdict", "cryptography", "nacl", "hyperfs.volume", "hyperfs.fuse")


@pytest.mark.parametrize("command", ["--help", "--version"])
def test_help_imports_nothing_heavy(machine: Machine, command: str) -> None:
    code = (
        "import sys\nfrom hyperfs.cli.main import run\n"
        f"run([{command!r}])\nprint([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=machine.environment, capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() == "[]"


def test_asking_a_mounted_drive_imports_no_event_loop() -> None:
    code = "import sys, hyperfs.cli.status\nprint([m for m in ('trio', 'pyfuse3', 'rich') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(machine: Machine, shell: str) -> None:
    assert "_HYPERFS_COMPLETE" in machine.run("completion", shell).stdout


def test_completion_completes_commands(machine: Machine) -> None:
    asked = {"_HYPERFS_COMPLETE": "bash_complete", "COMP_WORDS": "hyperfs unm", "COMP_CWORD": "1"}
    done = subprocess.run(COMMAND, env=machine.environment | asked, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "plain,unmount"


def test_output_into_a_closed_pipe_ends_in_silence(machine: Machine) -> None:
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -c 'from hyperfs.cli.main import main; main()' --help | true"],
        env=machine.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""


def test_doctor_finds_a_machine_that_can_mount(machine: Machine, fuse: None) -> None:
    done = subprocess.run([*COMMAND, "doctor", "--json"], env=machine.environment, capture_output=True, check=False)
    found = [finding for finding in json.loads(done.stdout) if finding["what"] != "mount"]  # others may have dead ones
    assert {finding["what"] for finding in found} == {"FUSE", "fusermount3", "libraries", "clock", "store", "space"}
    assert not [finding for finding in found if finding["good"] is False]


def test_every_exit_code_stands_in_the_documentation() -> None:
    from hyperfs.cli.main import COMMANDS
    from hyperfs.daemon import exit_codes

    text = (Path(__file__).parents[2] / "docs/cli.md").read_text()
    for name in COMMANDS:
        assert f"hyperfs {name}" in text
    for error in exit_codes.TABLE:
        assert f"`{error.__name__}`" in text
