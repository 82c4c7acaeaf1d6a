"""The brake as a user meets it: on a real mount, with what it is there for and what it must let pass."""

import os
import shutil
import signal
import subprocess
import time
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from tests.cli.machine import Machine
from tests.web.conftest import start

pytestmark = pytest.mark.mount
FILES = 560
PATIENCE_SECONDS = 120


def write_documents(folder: Path) -> dict[str, str]:
    folder.mkdir()
    letters = {f"{number}.txt": f"Letter {number}\n" + "Nothing is new.\n" * 30 for number in range(FILES)}
    for name, text in letters.items():
        (folder / name).write_text(text)
    return letters


def encrypt(folder: Path) -> None:
    for name in os.listdir(folder):
        path = folder / name
        path.write_bytes(os.urandom(path.stat().st_size))
        path.rename(path.with_name(name + ".locked"))


def comes_on(machine: Machine) -> dict[str, Any]:
    """By itself: nobody asks it to look."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not (facts := machine.facts("status", machine.point))["brake"]["on"]:
        assert time.monotonic() < until
        time.sleep(0.2)
    found: dict[str, Any] = facts
    return found


def test_from_the_attack_to_the_restore(mounted: Machine) -> None:
    documents = mounted.point / "My documents"
    letters = write_documents(documents)
    mounted.run("snapshot", mounted.point, "good")
    encrypt(documents)
    facts = comes_on(mounted)
    brake = facts["brake"]
    assert (brake["folder"], brake["of"]) == ("My documents", FILES)
    assert 500 < brake["lost"] <= FILES  # it may have been seen before it was over
    assert facts["warnings"][0].startswith("THE BRAKE IS ON since 20")
    assert "THE BRAKE IS ON" in Path(f"{mounted.store}.log").read_text()
    assert "THE BRAKE IS ON" in mounted.run("brake", "show", mounted.point).stdout
    assert "brake release" in mounted.run("prune", mounted.point, code=5).stderr
    mounted.run("prune", mounted.point, "--keep-last", "1", code=5)
    page = start(mounted, mounted.point)
    try:
        shown = unescape(page.get("files", p="").text)
        assert "THE BRAKE IS ON" in shown
        assert "Put all back" in shown
        assert "THE BRAKE IS ON" in unescape(page.get("drive", p="").text)
    finally:
        page.end()
    os.kill(mounted.drive_pid(), signal.SIGKILL)
    mounted.run("mount", mounted.store, mounted.point)
    assert comes_on(mounted)["brake"] == brake
    mounted.run("restore", documents, "--at", f"@{brake['restore']}")
    assert {path.name: path.read_text() for path in documents.iterdir()} == letters
    assert mounted.facts("brake", "release", mounted.point)["was_on"]
    assert not mounted.facts("brake", "release", mounted.point)["was_on"]
    assert "off" in mounted.run("brake", cwd=mounted.point).stdout
    mounted.run("prune", mounted.point, "--keep-last", "1")
    mounted.unmount()
    assert not mounted.facts("brake", "show", mounted.store)["on"]
    mounted.run("brake", "stop", mounted.store, code=2)


def test_programs_that_work_on_much(mounted: Machine) -> None:
    """`git gc`, another branch, `make clean`, and a folder of modules that is removed."""
    project = mounted.point / "project"
    letters = write_documents(project)

    def git(*words: str) -> None:
        identity = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "gc.auto=0"]
        subprocess.run(["git", *identity, *words], cwd=project, check=True, capture_output=True)

    git("init", "-b", "main")
    git("add", ".")
    git("commit", "-m", "all")
    for number in range(FILES):
        (project / f"{number}.txt").write_text(f"Changed {number}\n" * 40)
    git("commit", "-am", "changed")
    mounted.run("snapshot", mounted.point, "before")
    git("gc", "--prune=now")
    git("checkout", "-b", "empty")
    git("rm", "-r", ".")
    git("commit", "-m", "nothing")
    git("checkout", "main")
    for name in letters:
        (project / name).with_suffix(".o").write_bytes(b"\x7fELF" + os.urandom(400))
    mounted.run("snapshot", mounted.point, "built")
    for name in letters:
        (project / name).with_suffix(".o").unlink()
    modules = mounted.point / "site" / "node_modules"
    for number in range(FILES):
        (modules / f"m{number}").mkdir(parents=True)
        (modules / f"m{number}" / "index.js").write_text("module.exports = 1\n" * 20)
    mounted.run("snapshot", mounted.point, "installed")
    shutil.rmtree(modules)
    assert not mounted.facts("brake", "show", mounted.point)["on"]
