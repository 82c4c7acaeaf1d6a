"""At a terminal: passphrases are asked for, unseen, and progress is shown."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .machine import Machine

pytestmark = pytest.mark.skipif(shutil.which("script") is None, reason="needs the program script, for a terminal")


def at_terminal(machine: Machine, arguments: str, *talk: tuple[str, str]) -> tuple[int, str]:
    """Exit code and all that the terminal showed. `talk`: what is typed once each prompt has come."""
    command = f"{sys.executable} -c 'from hyperfs.cli.main import main; main()' {arguments}"
    with subprocess.Popen(
        ["script", "--quiet", "--return", "--command", command, "/dev/null"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=machine.environment,
        text=True,
        bufsize=0,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        shown = ""
        for prompt, answer in talk:
            said = ""
            while prompt not in said and (character := process.stdout.read(1)):
                said += character
            shown += said
            process.stdin.write(f"{answer}\n")
        shown += process.stdout.read()
    return process.returncode, shown


def test_a_new_passphrase_is_typed_twice_and_asked_for_afterwards(machine: Machine) -> None:
    twice = [("New passphrase:", "correct horse"), ("Repeat for confirmation:", "correct horse")]
    code, shown = at_terminal(machine, f"init --passphrase {machine.store}", *twice)
    assert code == 0, shown
    assert "correct horse" not in shown
    code, shown = at_terminal(machine, f"status {machine.store}", ("Passphrase of the store", "correct horse"))
    assert code == 0, shown
    code, shown = at_terminal(machine, f"status {machine.store}", ("Passphrase of the store", "battery staple"))
    assert code == 5, shown
    assert "does not open" in shown


def test_a_recovery_key_is_asked_for(machine: Machine) -> None:
    machine.init()
    key = machine.facts("key", "show", machine.store)["recovery_key"]
    code, shown = at_terminal(machine, f"key confirm {machine.store}", ("Recovery key", key))
    assert code == 0, shown


def test_an_invite_is_drawn_too(machine: Machine) -> None:
    """As a code for a camera: two rows of squares in a line."""
    code, shown = at_terminal(machine, f"peer invite --store {machine.folder}/peer --public cloud.example:4717")
    assert code == 0, shown
    assert "hyperfs peer add CODE" in shown
    assert len([line for line in shown.splitlines() if set(line) & set("▀▄█")]) >= 10


def test_progress_is_shown_for_long_work_only(machine: Machine, tmp_path: Path) -> None:
    work = (
        "import sys, time\nfrom hyperfs.cli import output\noutput.SHOW_AFTER_SECONDS = float(sys.argv[1])\n"
        "with output.progress() as tell:\n    for step in range(20):\n"
        "        tell('reading', step, 20)\n        time.sleep(0.02)\n"
    )
    (tmp_path / "work.py").write_text(work)
    for after, expected in (("0", True), ("60", False)):
        done = subprocess.run(
            ["script", "--quiet", "--command", f"{sys.executable} {tmp_path}/work.py {after}", "/dev/null"],
            env=machine.environment | {"TERM": "xterm"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        )
        assert bool(re.search("reading", done.stdout)) is expected
    plain = subprocess.run([sys.executable, tmp_path / "work.py", "0"], capture_output=True, text=True, check=True)
    assert plain.stderr == plain.stdout == ""
