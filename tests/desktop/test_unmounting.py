"""A drive that is taken away by other programs than ours, as file managers do it: nothing of it is lost."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tally
from tests.waiting import readable

from .conftest import make_session
from .session import ALL, Session, has, has_gvfs, until

FILES = 2000 if ALL else 300
FUSERMOUNT = ["fusermount3", "-u"]
LAZILY = ["fusermount3", "-u", "-z"]
UMOUNT = ["umount"]
GIO = ["gio", "mount", "--unmount"]
WAYS = [FUSERMOUNT, GIO, UMOUNT, LAZILY] if ALL else [FUSERMOUNT, GIO]


@pytest.fixture
def session() -> Iterator[Session]:
    """With a drive of its own, served in the background under its supervisor."""
    made = make_session()
    try:
        made.machine.mount()
        yield made
    finally:
        made.end()


def processes(session: Session) -> list[int]:
    """Descriptors of the drive's process and of its supervisor: readable when they have ended."""
    worker = session.machine.drive_pid()
    supervisor = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])
    assert b"hyperfs.daemon" in Path(f"/proc/{supervisor}/cmdline").read_bytes()
    return [os.pidfd_open(worker), os.pidfd_open(supervisor)]


def wait_for_end(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        ended = readable([descriptor], 60)
        os.close(descriptor)
        assert ended, "the drive's process has not ended a minute after it was taken away"


def fill(session: Session) -> None:
    """Writes that nobody syncs: the kernel and the drive's process hold them when the drive goes."""
    write = "[Path(a[0], str(n)).write_bytes(b'%d ' % n * 1000) for n in range(int(a[1]))]"
    session.ask(write, session.drive, str(FILES))
    session.ask("os.setxattr(a[0], 'user.colour', b'blue')", session.drive / "0")


def assert_all_is_in_the_newest_version(session: Session) -> None:
    """It mounts what was committed and nothing else: a journal that was left over is in no version."""
    newest = session.machine.facts("log", session.machine.store)[0]["version"]
    session.machine.mount("--at", f"@{newest}")
    whole = "all(Path(a[0], str(n)).read_bytes() == b'%d ' % n * 1000 for n in range(int(a[1])))"
    assert session.ask(whole, session.drive, str(FILES))
    tally.add("unsynced files found in a version after others had unmounted the drive", FILES)
    assert session.ask("os.getxattr(a[0], 'user.colour')", session.drive / "0") == "blue"


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
def test_its_process_commits_all_and_ends_for_good(session: Session, way: list[str]) -> None:
    if way == GIO and not has("gio"):
        pytest.skip("there is no gio here")
    if way == GIO and has_gvfs():
        session.start_bus()
    fill(session)
    processes_of_it = processes(session)
    session.run(*way, session.drive)
    wait_for_end(processes_of_it)
    assert not session.machine.has_mounted(session.drive)
    said = session.machine.store.with_name("store.log").read_text()
    assert said.rstrip().endswith("INFO unmounted"), said
    assert "killed" not in said
    assert_all_is_in_the_newest_version(session)


def writer_of(session: Session, path: Path) -> subprocess.Popen[bytes]:
    """A program that has the file open and writes to it, once, what it is told."""
    words = ["sh", "-c", 'exec > "$0"; echo ready >&2; read line; echo $line', str(path)]
    writer = subprocess.Popen(
        [*session.prefix, *words], env=session.environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert writer.stderr is not None
    assert writer.stderr.readline() == b"ready\n"
    return writer


def test_in_use_it_stays_and_whoever_asked_is_told(session: Session) -> None:
    writer = writer_of(session, session.drive / "open")
    for way in (FUSERMOUNT, UMOUNT):
        command = " ".join([*way, str(session.drive)])
        assert "busy" in session.run("sh", "-c", f"{command} 2>&1 || true").stdout
    writer.communicate(b"still there\n", timeout=60)
    assert session.read_file(session.drive / "open") == b"still there\n"


def test_taken_away_lazily_it_serves_those_who_hold_it(session: Session) -> None:
    ended = processes(session)
    writer = writer_of(session, session.drive / "late")
    session.run(*LAZILY, session.drive)
    assert not session.machine.has_mounted(session.drive)
    writer.communicate(b"written after it was gone\n", timeout=60)
    wait_for_end(ended)
    session.machine.mount()
    assert session.read_file(session.drive / "late") == b"written after it was gone\n"


def test_it_can_be_mounted_again_at_once(session: Session) -> None:
    """The kernel lets a FUSE drive go before its process has ended: the next mount waits for that."""
    fill(session)
    ended = processes(session)
    session.run(*FUSERMOUNT, session.drive)
    session.machine.mount()
    wait_for_end(ended)
    until("all names", lambda: len(session.names_in(session.drive)) == FILES)
