"""Editors on a drive: whichever way one saves, each state that stood is in the file's one history."""

import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests import tally
from tests.cli.machine import Machine
from tests.mount.drive import LONG, until

from .programs import need
from .saving import BY_EDITORS, BY_HAND, Save

SAVES = 8 if LONG else 2


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """With a new drive, mounted by the command."""
    made = Machine(tmp_path)
    try:
        made.mount()
        yield made
    finally:
        made.end()


def ways() -> dict[str, Save]:
    """All ways of saving that are known here. In the long run no editor may be missing."""
    here = dict(BY_HAND)
    for name, (program, save) in BY_EDITORS.items():
        if LONG:
            need(program)
        if shutil.which(program):
            here[name] = save
    return here


def holds(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


@pytest.mark.timeout(900)
def test_a_file_s_history_goes_on_whichever_way_it_is_saved(machine: Machine) -> None:
    root = machine.point
    files = {name: root / f"way{number}" / "letter.txt" for number, name in enumerate(ways())}
    for path in files.values():
        path.parent.mkdir()
    for number in range(SAVES):
        text = f"state {number} of the letter\n"
        for name, save in ways().items():
            save(files[name], text)
            assert files[name].read_text() == text, name
        now = root / ".versions" / "now"
        for name, path in files.items():
            until(f"a version of it: {name}", partial(holds, now / path.relative_to(root), text))
    for name, path in files.items():
        history = []
        for version in machine.facts("versions", path):
            kept = root / ".versions" / f"@{version['version']}" / path.relative_to(root)
            if kept.exists():  # it was deleted just then, or still had the name under which its editor wrote it
                history.append(kept.read_text())
        states = [text for text in history if text.startswith("state ")]
        wanted = [f"state {number} of the letter\n" for number in reversed(range(SAVES))]
        assert [text for index, text in enumerate(states) if states[:index].count(text) == 0] == wanted, name
        tally.add("saves of files by editors, each in the file's history", SAVES)
    missing = sorted({program for program, _ in BY_EDITORS.values() if not shutil.which(program)})
    if missing:
        pytest.skip(f"tried without editors that are not installed: {', '.join(missing)}")


@pytest.mark.timeout(900)
def test_editors_save_in_a_nodelete_folder_without_noticing(machine: Machine) -> None:
    """But for the ways that remove what was saved, which is what is refused there."""
    may = {name: save for name, save in ways().items() if name not in ("unlink_then_write", "link_backup")}
    files = {name: machine.point / f"way{number}" / "letter.txt" for number, name in enumerate(may)}
    for path in files.values():
        path.parent.mkdir()
        path.write_text("before\n")
    os.setxattr(machine.point, "user.hyperfs.protect", b"nodelete")
    for number in range(3):
        machine.run("snapshot", machine.point, f"s{number}")
        for name, save in may.items():
            save(files[name], f"state {number} of the letter\n")
            assert files[name].read_text() == f"state {number} of the letter\n", name
    for path in files.values():
        with pytest.raises(PermissionError):
            path.unlink()
    tally.add("saves by editors in folders from which nothing may be deleted", 3 * len(may))


def test_what_an_editor_leaves_beside_a_file_is_what_it_left_on_a_disk(machine: Machine, tmp_path: Path) -> None:
    """Backups and lock files that an editor keeps are kept, those that it removes are gone."""
    disk = tmp_path / "disk"
    disk.mkdir()
    for number, (name, save) in enumerate(ways().items()):
        left = {}
        for place in (machine.point, disk):
            folder = place / f"way{number}"
            folder.mkdir()
            (folder / "letter.txt").write_text("before\n")
            save(folder / "letter.txt", "after\n")
            left[place] = {path.name: path.read_text() for path in folder.rglob("*") if path.is_file()}
        assert left[machine.point] == left[disk], name
        assert left[disk]["letter.txt"] == "after\n", name
