"""rsync, tar, cp, zip: what comes back from a drive is what went in."""

import os
import random
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests import tally
from tests.mount.drive import LONG, Drive
from tests.mount.test_versions import state_of

from .programs import hashes, need, run
from .trees import HOLE_BYTES, strange_tree

STATES = 10 if LONG else 3
SEEDS = range(3) if LONG else range(1)
RSYNC = ["rsync", "-aHXS", "--devices", "--specials", "--modify-window=-1", "--delete"]


def edited(folder: Path, rng: random.Random) -> None:
    """The next state of a project: some files edited, some new, some gone, some moved."""
    files = sorted(path for path in folder.rglob("*.py") if path.is_file())
    for path in rng.sample(files, 12):
        lines = path.read_bytes().splitlines(keepends=True)
        place = rng.randrange(len(lines) + 1)
        lines[place:place] = [b"# edited %d\n" % rng.randrange(10**6)]
        path.write_bytes(b"".join(lines))
    for path in rng.sample(files, 3):
        if path.exists():
            path.rename(path.with_name(f"moved_{rng.randrange(10**6)}.py"))
    for path in rng.sample(files, 2):
        path.unlink(missing_ok=True)
    new = folder / f"new{rng.randrange(10**6)}"
    new.mkdir()
    (new / "data.bin").write_bytes(rng.randbytes(rng.randrange(300_000)))


def give_acls(folder: Path, drive: Drive) -> list[str]:
    """Puts ACLs on some entries, where the drive can hold them; the option with which rsync takes them along."""
    probe = drive.point / "acl-probe"
    probe.mkdir()
    setting: list[str | Path] = ["setfacl", "-m", "u:1234:rwx", probe]
    if LONG:
        need("setfacl")
    kept = shutil.which("setfacl") and subprocess.run(setting, check=False, stderr=subprocess.DEVNULL).returncode == 0
    probe.rmdir()
    if not kept:
        return []
    for number, path in enumerate([folder / "f0", folder / "d0", folder / "d0" / "d1" / "f3"]):
        run("setfacl", "-m", f"u:{1001 + number}:rw,g:1003:r", path)
    run("setfacl", "-m", "d:u:1004:rwx", folder / "d0" / "d1")
    return ["-A"]


@pytest.mark.parametrize("seed", SEEDS)
def test_rsync_takes_everything_there_and_back(drive: Drive, tmp_path: Path, seed: int) -> None:
    need("rsync")
    source = tmp_path / "source"
    strange_tree(source, seed)
    options = [*RSYNC, *give_acls(source, drive)]
    expected = state_of(source)
    there, back = drive.point / "there", tmp_path / "back"
    run(*options, f"{source}/", f"{there}/")
    assert state_of(there) == expected
    assert (there / "sparse").stat().st_blocks * 512 < HOLE_BYTES // 4, "rsync -S made no holes"
    again = run(*options, "--checksum", "--itemize-changes", "--stats", f"{source}/", f"{there}/")
    assert "Number of regular files transferred: 0" in again
    drive.snapshot("there")
    drive.kill()
    drive.mount()
    run(*options, f"{there}/", f"{back}/")
    assert state_of(back) == expected
    assert (back / "sparse").stat().st_blocks * 512 < HOLE_BYTES // 4
    if "-A" in options:
        assert run("getfacl", "-R", ".", cwd=back) == run("getfacl", "-R", ".", cwd=source)
    tally.add("entries that rsync brought to a drive and back, as they were", len(expected), seed)


@pytest.mark.parametrize("detection", ["raw", "seek"])
def test_tar_takes_everything_there_and_back(drive: Drive, tmp_path: Path, detection: str) -> None:
    source = tmp_path / "source"
    strange_tree(source, 7)
    acls = give_acls(source, drive)
    expected = {name: facts for name, facts in state_of(source).items() if name != "links/socket"}  # tar leaves it out
    options = ["--format=posix", "--xattrs", "--xattrs-include=*", "--sparse", f"--hole-detection={detection}"]
    options += ["--acls"] if acls else []
    run("tar", *options, "-cf", drive.point / "a.tar", "-C", source, ".")
    there, back = drive.point / "there", tmp_path / "back"
    for archive, folder in ((drive.point / "a.tar", there), (tmp_path / "b.tar", back)):
        folder.mkdir()
        if folder is back:
            drive.remount()
            run("tar", *options, "-cf", archive, "-C", there, ".")
        run("tar", *options, "-xpf", archive, "-C", folder)
        run("tar", *options, "-df", archive, "-C", folder)
        assert state_of(folder) == expected
    tally.add("entries that tar brought to a drive and back, as they were", len(expected), 7)


def test_tar_and_cp_give_back_what_they_got(drive: Drive, library: Path, tmp_path: Path) -> None:
    run("tar", "--format=posix", "-cf", tmp_path / "a.tar", "-C", library, ".")
    (drive.point / "t").mkdir()
    run("tar", "-xf", tmp_path / "a.tar", "-C", drive.point / "t")
    run("cp", "-a", library, drive.point / "c")
    expected = state_of(library)
    assert state_of(drive.point / "t") == expected
    assert state_of(drive.point / "c") == expected
    drive.remount()
    assert state_of(drive.point / "t") == expected
    run("tar", "--format=posix", "-cf", tmp_path / "b.tar", "-C", drive.point / "c", ".")
    (tmp_path / "back").mkdir()
    run("tar", "-xf", tmp_path / "b.tar", "-C", tmp_path / "back")
    assert state_of(tmp_path / "back") == expected
    assert run("tar", "-df", tmp_path / "a.tar", "-C", drive.point / "t") == ""


def test_states_laid_over_one_another_by_rsync_are_all_there(drive: Drive, library: Path, tmp_path: Path) -> None:
    need("rsync")
    rng = random.Random(3)
    source = tmp_path / "project"
    shutil.copytree(library, source)
    states: list[dict[str, tuple[object, ...]]] = []
    for number in range(STATES):
        run("rsync", "-aHAX", "--delete", "--modify-window=-1", f"{source}/", f"{drive.point}/project/")
        drive.snapshot(f"state{number}")
        states.append(state_of(source))
        assert state_of(drive.point / "project") == states[-1]
        edited(source, rng)

    def check() -> None:
        for number, state in enumerate(states):
            assert state_of(drive.versions() / f"state{number}" / "project") == state, f"state {number}"
        assert state_of(drive.point / "project") == states[-1]

    check()
    drive.remount()
    check()
    drive.kill()
    drive.mount()
    check()


def test_zip_and_unzip(drive: Drive, library: Path, tmp_path: Path) -> None:
    need("zip")
    need("unzip")
    there = drive.point / "there"
    shutil.copytree(library, there)
    os.symlink("json", there / "soft")
    (there / "caf\u00e9 \U0001f600").write_bytes(b"named strangely")
    (there / "json").chmod(0o750)
    expected = hashes(there)
    run("zip", "-qry", drive.point / "a.zip", ".", cwd=there)
    run("zip", "-T", drive.point / "a.zip")
    for place in (drive.point / "out", tmp_path / "out"):
        run("unzip", "-q", drive.point / "a.zip", "-d", place, environment={"LC_ALL": "C.UTF-8"})
        assert hashes(place) == expected
        assert os.readlink(place / "soft") == "json"
        assert (place / "json").stat().st_mode == (there / "json").stat().st_mode
    run("zip", "-qd", drive.point / "a.zip", "asyncio/*")  # in place: written beside it and renamed over it
    with zipfile.ZipFile(drive.point / "a.zip") as archive:
        assert archive.testzip() is None
        assert not any(name.startswith("asyncio/") for name in archive.namelist())
    run("zip", "-qry", drive.point / "a.zip", "asyncio", cwd=there)
    drive.snapshot("zipped")
    drive.kill()
    drive.mount()
    run("unzip", "-tq", drive.point / "a.zip")


@pytest.mark.timeout(1800 if LONG else 300)
def test_a_tree_of_the_library_is_the_same_live_remounted_and_after_a_kill(drive: Drive) -> None:
    library = Path(os.__file__).parent
    source = library if LONG else library / "encodings"
    run("cp", "-a", source, drive.point / "copy", seconds=900)
    expected = hashes(source)
    assert hashes(drive.point / "copy") == expected
    drive.remount()
    assert hashes(drive.point / "copy") == expected
    drive.kill()
    drive.mount()
    assert hashes(drive.point / "copy") == expected
    assert hashes(drive.versions() / "now" / "copy") == expected
