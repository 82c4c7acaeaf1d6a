"""A user's session with a mounted drive in the home folder. Skipped where nothing can be mounted."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import why_no_mount
from tests.cli.machine import NOBODY, Machine

from .session import ALL, Session, has, has_gvfs

SCREEN_PROGRAMS = ("Xvfb", "openbox", "xdotool", "import", "dbus-daemon", "org.a11y.Bus", "org.gtk.vfs.Daemon")


def make_session() -> Session:
    """Of an ordinary user. The drive is at `~/Hyper`, where file managers show what users mount."""
    # Not below pytest's folder, into which it lets nobody but the user who runs it.
    machine = Machine(Path(tempfile.mkdtemp(prefix="hyperfs-desktop-")), ordinary_user=os.geteuid() == 0)
    machine.point.rmdir()
    machine.point = machine.folder / "Hyper"
    machine.point.mkdir()
    if machine.prefix:
        os.chown(machine.point, NOBODY, NOBODY)
    return Session(machine)


@pytest.fixture(autouse=True, scope="session")
def _can_mount() -> None:
    reason = why_no_mount()
    if reason:
        pytest.skip(f"no mount: {reason}")
    if not has("gio"):
        pytest.skip("there is no gio here (Debian's libglib2.0-bin)")


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    """With GLib's programs, which the tests of a module share; gvfs only where it is installed."""
    made = make_session()
    try:
        made.machine.mount()
        if has_gvfs():
            made.start_bus()
        yield made
    finally:
        made.end()


@pytest.fixture
def gvfs() -> None:
    """For tests that need more than GLib."""
    if not has_gvfs():
        pytest.skip("NOT RUN: gvfs is missing; packaging/suites installs it" if ALL else "there is no gvfs here")


@pytest.fixture
def folder(session: Session, request: pytest.FixtureRequest) -> Path:
    """A new folder on the drive."""
    made = session.drive / f"{abs(hash(request.node.nodeid)):x}"
    session.run("mkdir", made)
    return made


def has_binding() -> bool:
    look = ["/usr/bin/python3", "-c", "import gi; gi.require_version('Atspi', '2.0')"]
    return has(look[0]) and subprocess.run(look, check=False, capture_output=True).returncode == 0


def need(*programs: str) -> None:
    """For the long tests: skips where they are not wanted, and loudly where they can't be."""
    if not ALL:
        pytest.skip("a screen is only made with HYPERFS_ALL=1")
    missing = [program for program in (*SCREEN_PROGRAMS, *programs) if not has(program)]
    if not has_binding():
        missing.append("the binding of AT-SPI for /usr/bin/python3")
    if missing:
        pytest.skip(f"NOT RUN: {', '.join(missing)} missing; packaging/suites installs it")
