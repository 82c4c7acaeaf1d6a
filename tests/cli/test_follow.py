"""hyperfs follow on a mounted drive: equal in the end, each state at rest in history, killed and gone on with."""

import json
import os
import random
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import tally
from tests.follow.two_trees import assert_equal

from .machine import COMMAND, Machine

pytestmark = pytest.mark.mount

LONG = os.environ.get("HYPERFS_ALL") == "1"
STATES = int(os.environ.get("HYPERFS_FOLLOW_STATES", "60" if LONG else "6"))
KILLS = int(os.environ.get("HYPERFS_FOLLOW_KILLS", "100" if LONG else "5"))
SEED = int(os.environ.get("HYPERFS_FOLLOW_SEED", random.randrange(1 << 30)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "plain"
    made.mkdir()
    return made


class Following:
    """The command in the background, and what it says."""

    def __init__(self, machine: Machine, folder: Path, into: Path, *options: str) -> None:
        words = ["follow", str(folder), str(into), "--json", *options]
        self.process = subprocess.Popen(
            [*machine.prefix, *COMMAND, *words], env=machine.environment, cwd=machine.folder, stdout=subprocess.PIPE
        )

    def events(self) -> Iterator[dict[str, Any]]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            yield json.loads(line)

    def until(self, event: str) -> dict[str, Any]:
        """The next one of that kind."""
        for facts in self.events():
            if facts["event"] == event:
                return facts
        raise AssertionError("it ended")

    def until_copied(self, copy: Path, text: str) -> None:
        """Batches go by until a copy holds this."""
        while not (copy.exists() and copy.read_text() == text):
            self.until("batch")

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=60)
        return self.process.returncode


@contextmanager
def following(machine: Machine, folder: Path, into: Path, *options: str) -> Iterator[Following]:
    started = Following(machine, folder, into, *options)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.communicate()


def once(machine: Machine, folder: Path, into: Path, *options: str, code: int = 0) -> list[dict[str, Any]]:
    said = machine.run("follow", folder, into, "--once", "--json", *options, code=code).stdout
    return [json.loads(line) for line in said.splitlines()]


@pytest.mark.timeout(3600)
def test_a_folder_under_constant_change_ends_equal_and_history_has_each_state_at_rest(
    mounted: Machine, folder: Path
) -> None:
    """Some files come to rest now and then, others never do until the end."""
    print(f"seed {SEED}")
    chance, stop = random.Random(SEED), threading.Event()
    into = mounted.point / "deep" / "copy"
    (folder / "calm").mkdir()
    (folder / "busy").mkdir()
    noise = threading.Thread(target=make_noise, args=(folder / "busy", stop, random.Random(SEED)))
    seen: list[tuple[int, dict[str, bytes]]] = []
    with following(mounted, folder, into) as follow:
        follow.until("batch")
        noise.start()
        try:
            for number in range(STATES):
                change_calm(folder / "calm", chance, number)
                wanted = contents(folder / "calm")
                while True:
                    version = follow.until("batch")["version"]
                    if contents(into / ".versions" / f"@{version}" / "calm") == wanted:
                        break
                seen.append((version, wanted))
        finally:
            stop.set()
            noise.join()
        assert follow.end() == 0
    once(mounted, folder, into)
    assert_equal(folder, into)
    for version, wanted in seen:
        assert contents(into / ".versions" / f"@{version}" / "calm") == wanted
    tally.add("states at rest of a followed folder found in history", len(seen), seed=SEED)


def change_calm(folder: Path, chance: random.Random, number: int) -> None:
    for _ in range(chance.randrange(1, 5)):
        path = folder / f"{chance.randrange(5)}"
        what = chance.choice(["write", "write", "append", "replace", "rename", "remove"])
        if what == "write" or not path.exists():
            path.write_bytes(chance.randbytes(chance.choice([10, 1000, 300_000])))
        elif what == "append":
            with open(path, "ab") as file:
                file.write(b"more")
        elif what == "replace":
            beside = folder / "beside"
            beside.write_bytes(chance.randbytes(2000))
            os.rename(beside, path)
        elif what == "rename":
            os.rename(path, folder / f"{chance.randrange(5)}")
        else:
            path.unlink()
    (folder / "number").write_text(f"{number}")


def make_noise(folder: Path, stop: threading.Event, chance: random.Random) -> None:
    while not stop.wait(0.02):
        path = folder / f"{chance.randrange(3)}" / f"{chance.randrange(4)}"
        path.parent.mkdir(exist_ok=True)
        what = chance.random()
        if what < 0.6:
            path.write_bytes(chance.randbytes(chance.randrange(5000)))
        elif what < 0.8 and path.exists():
            os.rename(path, path.with_name(f"{chance.randrange(4)}"))
        elif what < 0.9:
            shutil.rmtree(path.parent)
        with open(folder / "log", "ab") as log:
            log.write(b"never at rest\n")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.timeout(3600)
def test_killed_at_any_time_it_goes_on(mounted: Machine, folder: Path) -> None:
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    into = mounted.point / "copy"
    for number in range(KILLS):
        for _ in range(40):
            path = folder / f"{chance.randrange(20)}" / f"{chance.randrange(20)}"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(chance.randbytes(chance.choice([10, 50_000])))
        if number % 2:
            os.rename(path.parent, folder / f"moved {number}")
        follow = Following(mounted, folder, into)
        try:
            follow.process.wait(timeout=chance.uniform(0.5, 2.5))
        except subprocess.TimeoutExpired:
            follow.process.kill()
        follow.process.communicate()
    once(mounted, folder, into)
    assert_equal(folder, into)
    last = once(mounted, folder, into)[1]
    assert (last["event"], last["taken"], last["changed"], last["removed"]) == ("batch", 0, 0, 0)
    tally.add("follows killed", KILLS, seed=SEED)


def test_a_folder_that_vanishes_deletes_nothing_and_is_waited_for(mounted: Machine, folder: Path) -> None:
    into = mounted.point / "copy"
    (folder / "file").write_text("x")
    with following(mounted, folder, into) as follow:
        follow.until_copied(into / "file", "x")
        os.rename(folder, folder.with_name("away"))
        assert "is not there" in follow.until("waiting")["why"]
        folder.mkdir()
        assert "is empty" in follow.until("waiting")["why"]
        (folder / "stranger").write_text("another disk")
        assert "another folder" in follow.until("waiting")["why"]
        assert os.listdir(into) == ["file"]
        shutil.rmtree(folder)
        os.rename(folder.with_name("away"), folder)
        (folder / "file").write_text("back")
        follow.until_copied(into / "file", "back")
        # And it is watched again.
        (folder / "new").write_text("seen at once")
        follow.until_copied(into / "new", "seen at once")
    shutil.rmtree(folder)
    once(mounted, folder, into, code=4)
    assert sorted(os.listdir(into)) == ["file", "new"]


def test_a_drive_that_is_unmounted_is_waited_for_and_nothing_is_written_in_its_place(
    mounted: Machine, folder: Path
) -> None:
    into = mounted.point / "copy"
    (folder / "file").write_text("x")
    with following(mounted, folder, into) as follow:
        follow.until_copied(into / "file", "x")
        mounted.unmount()
        (folder / "file").write_text("while it was away")
        follow.until("waiting")
        assert os.listdir(mounted.point) == []
        mounted.mount()
        follow.until_copied(into / "file", "while it was away")


def test_what_makes_no_sense_is_refused(mounted: Machine, folder: Path) -> None:
    inside, into = mounted.point / "inside", mounted.point / "copy"
    inside.mkdir()
    (folder / "file").write_text("x")
    for source, target, code, why in [
        (inside, into, 2, "the drive itself"),
        (folder, mounted.folder / "elsewhere", 2, "no mounted drive"),
        (mounted.folder, into, 2, "within"),
        (folder / "file", into, 2, "no folder"),
        (folder, mounted.point / ".versions" / "@1", 2, "past"),
        (mounted.store / "logs", into, 2, "store"),
        (folder / "missing", into, 4, "no folder"),
    ]:
        assert why in mounted.run("follow", source, target, "--once", code=code).stderr
    assert os.listdir(mounted.point) == ["inside"]
    (inside / "foreign").touch()
    assert "not empty" in mounted.run("follow", folder, inside, "--once", code=5).stderr
    once(mounted, folder, into)
    assert "lies in" in mounted.run("follow", folder, into / "deeper", "--once", code=5).stderr
    other = mounted.folder / "other"
    other.mkdir()
    assert "is the copy of" in mounted.run("follow", other, into, "--once", code=5).stderr
    once(mounted, folder, inside, "--force")
    assert os.listdir(inside) == ["file"]
    with following(mounted, folder, into) as follow:
        follow.until("batch")
        assert "another process" in mounted.run("follow", folder, into, "--once", code=5).stderr


def test_two_follows_at_once_and_a_store_in_the_folder_are_fine(mounted: Machine) -> None:
    home = mounted.folder / "home"
    (home / "documents").mkdir(parents=True)
    (home / "documents" / "letter").write_text("x")
    mounted.unmount()
    os.rename(mounted.store, home / "store")
    mounted.store = home / "store"
    mounted.mount()
    with (
        following(mounted, home, mounted.point / "one") as one,
        following(mounted, home / "documents", mounted.point / "two") as two,
    ):
        for text in ("x", "dear diary"):
            (home / "documents" / "letter").write_text(text)
            one.until_copied(mounted.point / "one" / "documents" / "letter", text)
            two.until_copied(mounted.point / "two" / "letter", text)
    assert os.listdir(mounted.point / "one") == ["documents"]


def test_an_ignore_file_and_what_can_not_be_copied_are_told_of(mounted: Machine, folder: Path) -> None:
    into, patterns = mounted.point / "copy", mounted.folder / "patterns"
    patterns.write_text("*.tmp\n")
    (folder / "a.tmp").touch()
    (folder / "b").touch()
    (folder / ".versions").mkdir()
    said = once(mounted, folder, into, "--ignore-file", str(patterns), code=1)
    assert [facts["path"] for facts in said if facts["event"] == "note"] == [".versions"]
    assert os.listdir(into) == ["b"]


def test_an_ordinary_user_can_follow_folders_that_are_closed_for_writing(anybody: Machine) -> None:
    anybody.mount()
    source, into = anybody.folder / "plain", anybody.point / "copy"
    closed = source / "closed"
    anybody.program("sh", "-c", f"mkdir -p {closed} && echo x >{closed}/file && chmod 500 {closed}")
    once(anybody, source, into)
    anybody.program("sh", "-c", f"chmod 700 {closed} && echo y >{closed}/more && chmod 500 {closed}")
    once(anybody, source, into)
    assert anybody.program("ls", "-A", into / "closed").split() == ["file", "more"]
    assert anybody.program("stat", "-c", "%a", into / "closed").strip() == "500"
