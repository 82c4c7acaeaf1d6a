"""git on a drive: a project's life, and git's own tests."""

import os
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import tally
from tests.mount.drive import LONG, Drive

from .programs import hashes, need, need_source, run
from .test_archives import edited

COMMITS = 20 if LONG else 4
SCRIPTS = os.environ.get("HYPERFS_GIT_TESTS", "t0*.sh t10*.sh t30*.sh t53*.sh").split()
GROUPS = sorted({pattern[:2] for pattern in SCRIPTS})
BUILD_OPTIONS = ["NO_CURL=1", "NO_EXPAT=1", "NO_GETTEXT=1", "NO_TCLTK=1", "NO_OPENSSL=1", "CFLAGS=-O1"]
SCRIPT_SECONDS = 3600

NOT_ON_A_DRIVE: dict[str, str] = {}
"""Assertions of git's tests ("t0000-basic.sh 12") that a drive may fail though a disk does not, with the reason."""

IDENTITY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "A"), ("EMAIL", "a@example.org"))
} | {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}


def git(folder: Path, *words: str) -> str:
    return run("git", *words, cwd=folder, environment=IDENTITY)


def test_git_clones_commits_collects_and_finds_nothing_wrong(drive: Drive, library: Path, tmp_path: Path) -> None:
    need("git")
    rng = random.Random(4)
    origin = tmp_path / "origin"
    shutil.copytree(library, origin)
    git(origin, "init", "-q", "-b", "main")
    for number in range(3):
        git(origin, "add", "-A")
        git(origin, "commit", "-q", "-m", f"state {number}")
        edited(origin, rng)
    git(origin, "checkout", "-q", "-f", "main")
    git(origin, "clean", "-fdq")
    work = drive.point / "work"
    run("git", "clone", "-q", origin, work, environment=IDENTITY)
    drive.snapshot("cloned")
    cloned = hashes(work)
    git(work, "checkout", "-q", "-b", "topic")
    for number in range(COMMITS):
        edited(work, rng)
        git(work, "add", "-A")
        git(work, "commit", "-q", "-m", f"on the mount {number}")
    git(work, "checkout", "-q", "main")
    assert git(work, "status", "--porcelain") == ""
    git(work, "merge", "-q", "--no-edit", "topic")
    git(work, "gc", "-q", "--aggressive", "--prune=now")
    git(work, "fsck", "--strict")
    head, listing = git(work, "rev-parse", "HEAD"), hashes(work)
    drive.snapshot("done")  # git itself syncs only its objects
    drive.kill()
    drive.mount()
    git(work, "fsck", "--strict")
    assert git(work, "rev-parse", "HEAD") == head
    assert hashes(work) == listing
    assert git(work, "status", "--porcelain") == ""
    assert hashes(drive.versions() / "cloned" / "work") == cloned
    shutil.copytree(drive.versions() / "cloned" / "work", tmp_path / "old", symlinks=True)
    git(tmp_path / "old", "fsck", "--strict")


# git's own tests


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """git's source with what its tests need, built on the disk. The checkout itself, if it is built."""
    source = need_source("GIT_SOURCE", "git's own tests on a drive")
    if not LONG and "HYPERFS_GIT_TESTS" not in os.environ:
        pytest.skip("git's own tests take an hour: HYPERFS_ALL=1, or HYPERFS_GIT_TESTS names some")
    if (source / "t" / "helper" / "test-tool").exists():
        return source
    need("make")
    need("gcc")
    place = tmp_path_factory.mktemp("git") / "built"
    place.mkdir()
    archive = place.with_suffix(".tar")
    run("git", "-c", "safe.directory=*", "-C", source, "archive", "-o", archive, "HEAD")
    run("tar", "-xf", archive, "-C", place)
    run("make", "-j2", *BUILD_OPTIONS, "all", cwd=place, seconds=3000)
    return place


def run_script(built: Path, name: str, root: Path, results: Path) -> dict[str, str]:
    """Each assertion's number, and `ok`, `skip`, `todo` or `failed`; also `exit` if the script did not end well.

    All that the script writes is below `root`; its results are not.
    """
    root.mkdir()
    results.mkdir(parents=True, exist_ok=True)
    (results / "home").mkdir(exist_ok=True)
    environment = os.environ | {"TEST_OUTPUT_DIRECTORY": str(results), "HOME": str(results / "home")}
    try:
        done = subprocess.run(
            [f"./{name}", f"--root={root}"],
            cwd=built / "t",
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SCRIPT_SECONDS,
            check=False,
        )
        said, code = done.stdout.decode(errors="replace"), done.returncode
    except subprocess.TimeoutExpired:
        said, code = "", -1
    shutil.rmtree(root, ignore_errors=True)
    found = {} if code == 0 else {"exit": f"code {code}"}
    for line in said.splitlines():
        told = re.match(r"(not )?ok (\d+)( # skip)?(.*# TODO)?", line)
        if told:
            failed, number, skipped, todo = told.groups()
            found[number] = "todo" if todo else "skip" if skipped else "failed" if failed else "ok"
    return found


def scripts(built: Path, group: str) -> list[str]:
    wanted = {path.name for pattern in SCRIPTS if pattern[:2] == group for path in (built / "t").glob(pattern)}
    return sorted(name for name in wanted if "http" not in name)  # those want a web server


@pytest.mark.timeout(6 * 3600)
@pytest.mark.parametrize("group", GROUPS)
def test_git_s_own_tests_end_as_they_do_on_a_disk(drive: Drive, tmp_path: Path, built: Path, group: str) -> None:
    worse: list[str] = []
    for name in scripts(built, group):
        disk = run_script(built, name, tmp_path / "disk", tmp_path / "results-disk")
        mount = run_script(built, name, drive.point / "root", tmp_path / "results-mount")
        for number in sorted(disk | mount):
            was, found = disk.get(number, "absent"), mount.get(number, "absent")
            if found != was and found != "ok" and f"{name} {number}" not in NOT_ON_A_DRIVE:
                worse.append(f"{name} {number}: {found}, on the disk {was}")
        tally.add("scripts of git's own tests", 1)
        tally.add("assertions of git's own tests that hold on a drive", list(mount.values()).count("ok"))
        tally.add("assertions of git's own tests that hold on the disk", list(disk.values()).count("ok"))
    assert worse == []
