"""Changes are heard of as they happen, those of folders that are new included."""

import logging
import os
import threading
from pathlib import Path

import pytest

from hyperfs.follow.changes import Changes
from hyperfs.follow.facts import Parts


class Heard:
    def __init__(self, folder: Path) -> None:
        self.paths: set[Parts] = set()
        self.unwatched: list[str] = []
        self.changes = Changes(folder, self.unwatched.append)

    def until(self, wanted: set[Parts]) -> None:
        while not wanted <= self.paths:
            self.changes.wait(5.0)
            self.paths |= set(self.changes.take())


def test_every_kind_of_change_is_heard_of(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("x")
    heard = Heard(tmp_path)
    with heard.changes as changes:
        changes.begin_rescan()
        assert changes.watched
        (tmp_path / "a" / "b").mkdir(parents=True)
        (tmp_path / "a" / "b" / "new").write_text("x")
        os.chmod(tmp_path / "old", 0o600)
        heard.until({(b"a", b"b", b"new"), (b"old",)})
        os.rename(tmp_path / "old", tmp_path / os.fsdecode(b"\xff"))
        heard.until({(b"\xff",)})
        os.unlink(tmp_path / "a" / "b" / "new")
        heard.paths.clear()
        heard.until({(b"a", b"b", b"new")})
        assert not changes.lost()


def test_reading_is_no_change(tmp_path: Path) -> None:
    (tmp_path / "read").write_text("x")
    heard = Heard(tmp_path)
    with heard.changes as changes:
        changes.begin_rescan()
        (tmp_path / "read").read_text()
        os.listdir(tmp_path)
        (tmp_path / "written").write_text("x")
        heard.until({(b"written",)})
    assert (b"read",) not in heard.paths


def test_a_warning_of_watchdogs_means_that_everything_is_compared(tmp_path: Path) -> None:
    with Heard(tmp_path).changes as changes:
        changes.begin_rescan()
        assert not changes.lost()
        logging.getLogger("watchdog.observers.inotify_c").warning("Inotify queue overflowed")
        assert changes.lost()
        changes.begin_rescan()
        assert not changes.lost()
        assert changes.watched


def test_a_folder_that_can_not_be_watched_is_told_of(tmp_path: Path) -> None:
    heard = Heard(tmp_path / "missing")
    with heard.changes as changes:
        changes.begin_rescan()
        assert not changes.watched
    assert heard.unwatched == ["No such file or directory"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_watching_thread_that_dies_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Heard(tmp_path)
    lost = threading.Event()
    with heard.changes as changes:
        changes.begin_rescan()
        monkeypatch.setattr("watchdog.observers.inotify.InotifyWatchGroup.on_event", _full)
        (tmp_path / "new").mkdir()
        while not changes.lost():
            lost.wait(0.05)
        changes.begin_rescan()
        assert not changes.watched
    assert len(heard.unwatched) == 1
    assert "max_user_watches" in heard.unwatched[0]


def _full(*_: object) -> None:
    raise OSError(28, "inotify watch limit reached")
