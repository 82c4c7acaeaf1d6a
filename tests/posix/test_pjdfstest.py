"""pjdfstest, the POSIX suite of the FreeBSD and ZFS people, on a mount and on the plain disk beside it.

PJDFSTEST names a checkout of github.com/pjd/pjdfstest, which is copied and built in a temporary folder. On a
filesystem whose type it does not know the suite leaves out some cases (on FUSE, whether a rename changes the ctime,
29 of 8,827): so it runs a second time on the mount, told that it stands on the plain disk's type.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import tally
from tests.mount.conftest import _can_mount
from tests.mount.drive import Drive

__all__ = ["_can_mount"]

VARIABLE = "PJDFSTEST"
TOOLS = ("autoreconf", "automake", "make", "gcc", "prove", "openssl")
JOBS = 8
"""Most of its time the suite sleeps, waiting for the next second."""
RUN_SECONDS = 1500

pytestmark = [pytest.mark.slow, pytest.mark.mount, pytest.mark.timeout(5 * RUN_SECONDS)]


class Outcome(NamedTuple):
    """Files and assertions that were run; `said` is what prove says of them."""

    files: int
    assertions: int
    passed: bool
    said: str


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Not below pytest's own, into which the suite's users could not come."""
    with tempfile.TemporaryDirectory(prefix="hyperfs-pjdfstest-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def suite(folder: Path) -> Path:
    checkout = os.environ.get(VARIABLE)
    if not checkout:
        pytest.skip(f"NOT RUN: pjdfstest: set {VARIABLE} to a checkout of it")
    if os.getuid():
        pytest.skip(f"NOT RUN: pjdfstest ({VARIABLE}) acts as several users: only root can")
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"NOT RUN: pjdfstest ({VARIABLE}) needs {', '.join(missing)}: packaging/suites installs them")
    built = folder / "suite"
    shutil.copytree(checkout, built, symlinks=True, ignore=shutil.ignore_patterns(".git"))
    for command in (["autoreconf", "-ifs"], ["./configure", "-q"], ["make", "-s", "pjdfstest"]):
        done = subprocess.run(command, cwd=built, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return built


@pytest.fixture(scope="module")
def mounted(folder: Path) -> Iterator[Path]:
    place = folder / "drive"
    place.mkdir()
    drive = Drive(place)
    try:
        drive.mount("allow-other")
        os.chmod(drive.point, 0o755)
        yield drive.point
        drive.unmount()
    finally:
        drive.end()


def told(suite: Path, kind: str) -> Path:
    """A copy of the suite that does not ask for the type of the filesystem."""
    copy = suite.with_name(f"suite-{kind}")
    shutil.copytree(suite, copy)
    with (copy / "tests" / "conf").open("a") as conf:
        conf.write(f"\nfs={kind}\n")
    return copy


def run(suite: Path, place: Path) -> Outcome:
    place.mkdir()
    command = ["prove", "--recurse", "--norc", "--nocolor", f"--jobs={JOBS}", suite / "tests"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
    lines = [line for line in done.stdout.splitlines() if not re.search(r"\.\. (ok|skipped.*)$", line)]
    counted = re.search(r"^Files=(\d+), Tests=(\d+),", done.stdout, re.MULTILINE)
    assert counted is not None, done.stdout + done.stderr
    passed = done.returncode == 0 and "All tests successful." in lines and "Result: PASS" in lines
    return Outcome(int(counted[1]), int(counted[2]), passed, "\n".join(lines)[-8000:])


def type_of(place: Path) -> str:
    """As the suite asks for it."""
    said = subprocess.check_output(["df", "-PT", place], text=True, timeout=20)
    return said.splitlines()[-1].split()[1].upper()


def test_all_assertions_hold_on_a_mount_as_on_a_plain_disk(suite: Path, folder: Path, mounted: Path) -> None:
    assert type_of(mounted) == "FUSE.HYPERFS"
    on_mount = run(suite, mounted / "itself")
    assert on_mount.passed, on_mount.said
    tally.add("assertions of pjdfstest held on a mount", on_mount.assertions)
    plain = run(suite, folder / "plain")
    kind = type_of(folder)
    tally.add(f"assertions of pjdfstest run on the plain disk ({kind.lower()}) for comparison", plain.assertions)
    assert plain.passed or kind != "EXT4", f"the plain disk itself fails:\n{plain.said}"
    as_plain = run(told(suite, kind), mounted / "told")
    assert as_plain.passed or not plain.passed, as_plain.said
    assert (as_plain.files, as_plain.assertions) == (plain.files, plain.assertions)
    tally.add(f"assertions of pjdfstest held on a mount, the suite told it was {kind.lower()}", as_plain.assertions)
