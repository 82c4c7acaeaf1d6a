"""hyperfs undo and redo as a user meets them: what was removed is back at once, and what others did stays."""

import os
import shutil
import stat
import threading
import time
from pathlib import Path

import pytest

from .machine import Machine

pytestmark = pytest.mark.mount

LONG = os.environ.get("HYPERFS_ALL") == "1"
REMOVAL_SECONDS = 60.0 if LONG else 6.0
PAUSE_SECONDS = 5.6
"""Between two steps."""


def grow(folder: Path, folders: int, files: int) -> None:
    """A tree with modes, times, attributes, hard links, symlinks and a sparse file."""
    for number in range(folders):
        inner = folder / f"d{number}" / "deep"
        inner.mkdir(parents=True)
        for count in range(files):
            path = inner / f"f{count}"
            path.write_bytes(os.urandom(100 * (count + 1)))
            path.chmod(0o600 + count)
            os.utime(path, ns=(count * 10**9, 10**18 + count))
            os.setxattr(path, "user.number", b"%d" % count)
        os.link(inner / "f0", inner.parent / "twin")
        os.symlink("deep/f0", inner.parent / "symlink")
        with (inner.parent / "sparse").open("wb") as sparse:
            sparse.seek(5_000_000)
            sparse.write(b"end")


def look(folder: Path) -> dict[str, object]:
    """All that can be seen but inode numbers and times of access and change."""
    found: dict[str, object] = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        s = path.lstat()
        content: object = None
        if stat.S_ISREG(s.st_mode):
            content = path.read_bytes()
        elif stat.S_ISLNK(s.st_mode):
            content = os.readlink(path)
        names = os.listxattr(path, follow_symlinks=False)
        xattrs = {name: os.getxattr(path, name, follow_symlinks=False) for name in names}
        facts = (s.st_mode, s.st_uid, s.st_nlink, s.st_mtime_ns, s.st_size)
        found[str(path.relative_to(folder))] = (*facts, content, xattrs)
    return found


class Noise:
    """Another program: it writes, renames and deletes in a folder of its own until it is told to stop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.kept: dict[str, bytes] = {}

    def _run(self) -> None:
        number = 0
        while not self._stop.wait(0.05):
            number += 1
            data = os.urandom(number % 3000)
            temporary = self._folder / "temporary"
            temporary.write_bytes(data)
            temporary.rename(self._folder / f"n{number % 40}")
            self.kept[f"n{number % 40}"] = data
            if number % 7 == 0:
                name = f"n{number * 3 % 40}"
                (self._folder / name).unlink(missing_ok=True)
                self.kept.pop(name, None)

    def __enter__(self) -> "Noise":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def found(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self._folder.iterdir()}


def remove_slowly(folder: Path, seconds: float) -> None:
    """rm -rf, spread over so long."""
    paths = sorted(folder.rglob("*"), key=lambda p: len(p.parts), reverse=True)
    for path in paths:
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        time.sleep(seconds / len(paths))
    folder.rmdir()


def test_a_removal_that_took_its_time_is_taken_back_at_once_while_another_program_writes(
    machine: Machine, fuse: None
) -> None:
    machine.mount()
    work, other = machine.point / "work", machine.point / "other"
    (work / "tree").mkdir(parents=True)
    other.mkdir()
    grow(work / "tree", 4, 5)
    (work / "stays").write_text("stays")
    machine.run("snapshot", machine.point, "grown")
    before = look(work)
    time.sleep(PAUSE_SECONDS)
    content = machine.facts("status", machine.point)["logs"][1]["byte_length"]
    with Noise(other) as noise:
        remove_slowly(work / "tree", REMOVAL_SECONDS)
        empty = look(work)
        trial = machine.facts("undo", work, "--dry-run")
        assert trial["version"] is None
        assert look(work) == empty
        done = machine.facts("undo", work)
        assert done["conflicts"] == []
        assert look(work) == before
        machine.run("redo", work)
        assert look(work).keys() == empty.keys()
        machine.run("undo", work)
        assert look(work) == before
    assert noise.found() == noise.kept
    spent = machine.facts("status", machine.point)["logs"][1]["byte_length"] - content
    assert spent < 3000 * 500, "more than the other program wrote"
    assert machine.facts("verify", machine.point)["damage"] == []
    machine.unmount()
    machine.mount()
    assert look(work) == before
    assert noise.found() == noise.kept


def test_steps_are_listed_in_words_and_go_back_one_by_one(machine: Machine, fuse: None) -> None:
    machine.mount()
    work = machine.point / "work"
    work.mkdir()
    (work / "letter").write_text("Dear Sir")
    time.sleep(PAUSE_SECONDS)
    (work / "letter").write_text("Dear Madam")
    time.sleep(PAUSE_SECONDS)
    (work / "letter").unlink()
    (work / "folder").mkdir()
    work.chmod(0o711)
    listed = machine.facts("undo", work, "--list")
    assert [step["change"] for step in listed][:2] == [
        "removed work/letter; added work/folder; attributes of work",
        "changed work/letter",
    ]
    assert "removed work/letter" in machine.run("undo", "--list", work).stdout
    with (work / "folder").joinpath("held").open("w") as held:
        held.write("a folder that is in use")
        held.flush()
        said = machine.run("undo", work).stdout
    assert "+ work/letter" in said
    assert (work / "letter").read_text() == "Dear Madam"
    assert not (work / "folder").exists()
    assert stat.S_IMODE(work.stat().st_mode) == 0o755
    machine.run("undo", work)
    assert (work / "letter").stat().st_size == len("Dear Sir"), "the kernel still has the other file"
    assert (work / "letter").read_text() == "Dear Sir"
    listed = machine.facts("undo", work, "--list")
    assert [(step["taken_back"], step["redo"]) for step in listed] == [(True, False), (True, True), (False, False)]
    machine.run("undo", work)
    assert os.listdir(work) == []
    machine.run("undo", work, code=1)
    for expected in ("Dear Sir", "Dear Madam"):
        machine.run("redo", work)
        assert (work / "letter").stat().st_size == len(expected)
        assert (work / "letter").read_text() == expected
    assert not (work / "folder").exists()
    machine.run("redo", work)
    assert (work / "folder").is_dir()
    assert not (work / "letter").exists()
    (work / "new").write_text("a new change ends the line")
    assert "nothing is to be done again" in machine.run("redo", work, code=1).stderr


def test_what_has_changed_since_is_listed_and_refused(machine: Machine, fuse: None) -> None:
    machine.mount()
    work, other = machine.point / "work", machine.point / "other"
    work.mkdir()
    other.mkdir()
    (work / "f").write_text("mine")
    time.sleep(PAUSE_SECONDS)
    (work / "f").rename(other / "f")
    machine.run("snapshot", machine.point, "moved")
    (other / "f").unlink()
    (other / "f").write_text("another one")
    said = machine.run("undo", work, code=5)
    assert "other/f: was changed since" in said.stderr
    assert os.listdir(work) == []
    found = machine.facts("undo", work, "--dry-run")
    assert [conflict["path"] for conflict in found["conflicts"]] == ["other/f"]
    machine.run("undo", work, "--force")
    assert os.listdir(work) == ["f"]


def test_from_within_the_folder_and_with_a_store_that_is_not_mounted(machine: Machine, fuse: None) -> None:
    machine.mount()
    work = machine.point / "work"
    work.mkdir()
    (work / "f").write_text("1")
    (work / "sub").mkdir(0o755)
    time.sleep(PAUSE_SECONDS)
    (work / "f").write_text("2")
    (work / "sub").chmod(0o700)
    assert stat.S_IMODE((work / "sub").stat().st_mode) == 0o700
    shutil.copytree(work, machine.point / "copy")
    machine.run("undo", cwd=work)
    assert (work / "f").read_text() == "1"
    assert stat.S_IMODE((work / "sub").stat().st_mode) == 0o755
    assert (machine.point / "copy/f").read_text() == "2"
    machine.unmount()
    machine.run("redo", "work", "--store", machine.store)
    machine.mount()
    assert (work / "f").read_text() == "2"
