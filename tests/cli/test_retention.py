"""Retention as a user meets it: rules set with attributes and commands, on a mount."""

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .machine import Machine

pytestmark = pytest.mark.mount
KEEP = "user.hyperfs.keep"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    try:
        machine.run("mount", machine.store, machine.point)
        yield machine
    finally:
        machine.end()


def write(machine: Machine, path: Path, text: str) -> int:
    """A state of a file, that is listed: in a second of its own. The version's number."""
    time.sleep(1.1)  # of a third version within one second .versions lists none
    path.write_text(text)
    machine.run("snapshot", machine.point, f"s{time.time_ns()}")
    names = os.listdir(machine.point / ".versions")
    for name in names:
        if name.startswith("s"):
            os.rmdir(machine.point / ".versions" / name)
    version: int = machine.facts("status", machine.point)["version"]
    return version


def listed(folder: Path) -> list[str]:
    return sorted(os.listdir(folder / ".versions"))


def test_a_wrong_rule_is_refused_and_changes_nothing(machine: Machine) -> None:
    folder = machine.point / "d"
    folder.mkdir()
    os.setxattr(folder, KEEP, b"30d")
    for wrong in (b"30 days", b"", b"forever", b"\xff"):
        with pytest.raises(OSError, match="Invalid") as refused:
            os.setxattr(folder, KEEP, wrong)
        assert refused.value.errno == errno.EINVAL
    assert os.getxattr(folder, KEEP) == b"30d"
    with pytest.raises(OSError, match="not supported"):
        os.setxattr(folder, "user.hyperfs.version", b"7")
    machine.run("policy", "set", folder, "keep=some", code=2)
    machine.run("policy", "set", folder, "colour=red", code=2)


def test_policy_says_what_holds_and_where_it_comes_from(machine: Machine) -> None:
    (machine.point / "a" / "b").mkdir(parents=True)
    folder = machine.point / "a" / "b"
    assert machine.facts("policy", "show", folder)["policies"]["keep"]["value"] is None
    machine.run("policy", "set", machine.point / "a", "keep=10 versions")
    assert os.getxattr(machine.point / "a", KEEP) == b"10 versions"
    found = machine.facts("policy", "show", folder)["policies"]["keep"]
    assert found == {"value": "10 versions", "words": "the last 10 versions", "from": "a", "own": False}
    assert "from a" in machine.run("policy", "show", folder).stdout
    machine.run("policy", "unset", machine.point / "a", "keep")
    assert machine.facts("policy", "show", folder)["policies"]["keep"]["from"] is None
    machine.run("policy", "unset", machine.point / "a", "keep", code=2)
    machine.run("policy", "set", machine.point, "history-share=30%")
    assert machine.facts("policy", "show", folder)["policies"]["history-share"]["value"] == "30%"
    machine.run("policy", "set", machine.point, "history-share=0%", code=2)


def test_what_a_program_is_refused_is_explained_and_what_is_allowed_is_told(machine: Machine) -> None:
    (machine.point / "a" / "b").mkdir(parents=True)
    file = machine.point / "a" / "b" / "f"
    file.write_text("one")
    for policy, why in (("protect=lock", "nothing may go or be replaced, for root too"), ("class=archive", "stay")):
        name, _, value = policy.partition("=")
        machine.run("policy", "set", machine.point / "a", policy)
        with pytest.raises(PermissionError) as refused:
            file.unlink()
        assert refused.value.errno == errno.EPERM
        [told] = [line for line in machine.run("policy", "show", file).stdout.splitlines() if line.startswith(name)]
        assert told.startswith(f"{name:<7} {value}: ")
        assert why in told
        assert told.endswith("(from a)")
        machine.run("policy", "unset", machine.point / "a", name)
    assert machine.facts("policy", "allow", "rsync", machine.point) == {"allowed": ["rsync"]}
    assert machine.facts("policy", "allow", "--revoke", "rsync", machine.point) == {"allowed": []}
    machine.run("policy", "allow", "--revoke", "rsync", machine.point, code=1)


def test_a_folder_with_a_rule_of_its_own(machine: Machine) -> None:
    """What its rule let go is absent everywhere, and nothing is damaged; what others keep is whole."""
    short, other = machine.point / "short", machine.point / "other"
    short.mkdir()
    other.mkdir()
    versions = []
    for number in range(4):
        write(machine, short / "f", f"short {number}" * 2000)
        versions.append(write(machine, other / "f", f"other {number}" * 2000))
    machine.run("policy", "set", short, "keep=1 version")
    before = listed(other)
    old = machine.point / ".versions" / f"@{versions[0]}"
    assert (old / "short" / "f").read_text() == "short 0" * 2000
    announced = machine.facts("prune", machine.point, "--dry-run")
    done = machine.facts("prune", machine.point)
    assert done["versions"] == announced["versions"]
    assert set(before) <= {*listed(other), *before}
    assert (old / "other" / "f").read_text() == "other 0" * 2000
    assert sorted(os.listdir(old)) == ["other"]
    for gone in (old / "short", old / "short" / "f", short / ".versions" / f"@{versions[0]}"):
        with pytest.raises(FileNotFoundError):
            os.stat(gone)
    assert machine.run("cat", short / "f", "--at", f"@{versions[0]}", code=1).stdout == ""
    assert machine.run("cat", other / "f", "--at", f"@{versions[0]}").stdout == "other 0" * 2000
    machine.run("restore", short / "f", "--at", f"@{versions[0]}", code=1)
    (left,) = machine.facts("versions", short / "f")
    assert left["let_go"] == 3
    assert machine.run("cat", short / "f", "--at", f"@{left['version']}").stdout == "short 3" * 2000
    assert (short / "f").read_text() == "short 3" * 2000
    assert machine.facts("verify", machine.point)["damage"] == []
    machine.run("unmount", machine.point)
    assert machine.facts("verify", machine.store)["damage"] == []


def test_what_was_deleted_is_there_after_a_prune_and_comes_back_whole(machine: Machine) -> None:
    machine.run("policy", "set", machine.point, "keep=1 version")
    path = machine.point / "f"
    write(machine, path, "to be deleted" * 3000)
    os.setxattr(path, "user.note", b"mine")
    os.chmod(path, 0o640)
    os.utime(path, ns=(1_700_000_000_000_000_000, 1_700_000_000_000_000_000))
    write(machine, machine.point / "g", "1")
    path.unlink()
    write(machine, machine.point / "g", "2")
    machine.run("prune", machine.point)
    deleted = machine.point / ".versions" / ".deleted" / "f"
    assert deleted.read_text() == "to be deleted" * 3000
    assert os.getxattr(deleted, "user.note") == b"mine"
    facts = deleted.stat()
    assert (facts.st_mode & 0o777, facts.st_mtime_ns) == (0o640, 1_700_000_000_000_000_000)
    told = [version["change"] for version in machine.facts("versions", path)]
    assert told == ["deleted", "as it was last, kept for 30 days"]
    (found,) = machine.facts("find", "--deleted", machine.point)
    assert machine.run("cat", path, "--at", str(found["version"])).stdout == "to be deleted" * 3000
    state = machine.point / ".versions" / ".files" / "f" / f"@{found['version']}"
    assert state.read_text() == "to be deleted" * 3000
    assert listed(machine.point)[-1:] == listed(machine.point)
    assert machine.facts("verify", machine.point)["damage"] == []


def test_who_reads_in_a_version_that_goes_reads_to_the_end(machine: Machine) -> None:
    path = machine.point / "f"
    first = write(machine, path, "first" * 100_000)
    for number in range(3):
        write(machine, path, f"{number}" * 100_000)
    machine.run("policy", "set", machine.point, "keep=1 version")
    with (machine.point / ".versions" / f"@{first}" / "f").open() as old:
        assert old.read(5) == "first"
        assert machine.facts("prune", machine.point)["in_use"] == [first]
        assert old.read() == "first" * 99_999
    machine.run("prune", machine.point)
    with pytest.raises(FileNotFoundError):
        os.stat(machine.point / ".versions" / f"@{first}")
