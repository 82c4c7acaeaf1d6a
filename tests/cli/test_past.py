"""Commands about old versions: versions, log, diff, cat, restore, snapshot; mounted and not."""

import os
import shutil
import stat
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from .machine import COMMAND, Machine

pytestmark = pytest.mark.mount

STRANGE = b"\xff new\nline \x1b[2J\xc3\xa9"


@pytest.fixture
def folder(shared: Machine, request: pytest.FixtureRequest) -> Path:
    """A folder of the test's own in the shared drive."""
    made = shared.point / f"{abs(hash(request.node.nodeid)):x}"
    made.mkdir()
    return made


def version_now(machine: Machine) -> int:
    """Makes the present a version."""
    name = f"s{len(os.listdir(machine.point / '.versions'))}-{os.urandom(4).hex()}"
    return int(machine.facts("snapshot", machine.point, name)["version"])


def write_states(machine: Machine, path: Path, *states: str) -> list[int]:
    versions = []
    for state in states:
        path.write_text(state)
        versions.append(version_now(machine))
    return versions


def test_versions_of_a_file_newest_first_with_what_changed(shared: Machine, folder: Path) -> None:
    path = folder / "file"
    numbers = write_states(shared, path, "one", "three", "three!")
    path.rename(folder / "renamed")
    version_now(shared)
    found = shared.facts("versions", folder / "renamed")
    assert [version["version"] for version in found[1:]] == numbers[::-1]
    assert [version["size"] for version in found] == [6, 6, 5, 3]
    assert "renamed from file" in found[0]["change"]
    assert found[-1]["change"] == "created"
    for version in found:
        assert set(version) >= {"version", "time", "size", "device", "name"}
        assert datetime.fromisoformat(version["time"]).tzinfo == UTC
    assert found[-1]["name"].startswith("s")
    text = shared.run("versions", folder / "renamed").stdout
    assert len(text.splitlines()) == 5


def test_a_time_that_versions_tells_means_that_version(shared: Machine, folder: Path) -> None:
    path = folder / "file"
    write_states(shared, path, "one", "two")
    texts = set()
    for version in shared.facts("versions", path):  # where the machine is slow the moment before a write is one too
        text = shared.run("cat", path, "--at", version["time"]).stdout
        assert text == shared.run("cat", path, "--at", str(version["version"])).stdout
        texts.add(text)
    assert {"one", "two"} <= texts


def test_a_deleted_file_has_its_history_and_can_be_restored(shared: Machine, folder: Path) -> None:
    path = folder / "doomed"
    number = write_states(shared, path, "alive")[0]
    path.unlink()
    version_now(shared)
    assert [v["change"] for v in shared.facts("versions", path)] == ["deleted", "created"]
    assert shared.run("cat", path, "--at", str(number)).stdout == "alive"
    shared.run("restore", path, "--at", str(number))
    assert path.read_text() == "alive"


def test_log_counts_what_changed_in_a_folder(shared: Machine, folder: Path) -> None:
    write_states(shared, folder / "a", "1", "2")
    (folder / "a").unlink()
    version_now(shared)
    found = shared.facts("log", folder)
    assert [(c["added"], c["changed"], c["removed"]) for c in found[:2]] == [(0, 0, 1), (0, 1, 0)]
    assert len(shared.facts("log", shared.point, "-n", "2")) == 2
    assert "1 removed" in shared.run("log", folder).stdout


def test_diff_of_two_versions_and_with_the_present(shared: Machine, folder: Path) -> None:
    (folder / "stays").touch()
    old = write_states(shared, folder / "edited", "short")[0]
    (folder / "moved").write_text("m")
    new = write_states(shared, folder / "edited", "longer now")[0]
    found = shared.facts("diff", str(old), str(new), folder)
    kinds = {os.path.basename(d["path"]): (d["kind"], d["old_size"], d["new_size"]) for d in found["differences"]}
    assert kinds == {"edited": ("changed", 5, 10), "moved": ("added", None, 1)}
    (folder / "moved").rename(folder / "there")
    said = shared.run("diff", str(new), "now", folder).stdout
    assert "R " in said
    assert "there" in said


def test_diff_tells_names_and_then_what_changed_in_them(shared: Machine, folder: Path) -> None:
    (folder / "gone").write_text("gone\n")
    (folder / "data").write_bytes(b"\0" * 2000)
    old = write_states(shared, folder / "text", "one\ntwo\n")[0]
    (folder / "gone").unlink()
    (folder / "data").write_bytes(b"\0" * 3000)
    new = write_states(shared, folder / "text", "one\n2\n")[0]
    said = shared.run("diff", str(old), str(new), folder).stdout
    top = folder.name
    assert said.splitlines()[:3] == [
        f"M {top}/data  (2.0 KiB -> 2.9 KiB)",
        f"- {top}/gone",
        f"M {top}/text  (8 B -> 6 B)",
    ]
    assert f"{top}/data @{new}: 2.0 KiB -> 2.9 KiB" in said
    assert f"--- {top}/text @{old}\n+++ {top}/text @{new}\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n" in said
    assert f"--- {top}/gone @{old}\n+++ /dev/null\n@@ -1 +0,0 @@\n-gone\n" in said
    assert "\x1b" not in said
    assert "@@" not in shared.run("diff", str(old), str(new), folder, "--stat").stdout
    assert shared.run("diff", str(old), str(new), folder, "--names").stdout.splitlines()[0] == f"M {top}/data"


def test_log_says_in_words_what_changed(shared: Machine, folder: Path) -> None:
    write_states(shared, folder / "letter", "one", "two")
    found = [commit["change"] for commit in shared.facts("log", folder)]
    assert found[0] == f"1 changed: {folder.name}/letter"
    assert "added: " in found[1]


def test_a_deleted_folder_comes_back_as_it_was_last_without_a_version(shared: Machine, folder: Path) -> None:
    tree = folder / "tree"
    (tree / "deep").mkdir(parents=True)
    write_states(shared, tree / "deep/file", "first", "last")
    shared.run("restore", tree, code=2)
    (tree / "deep/file").unlink()
    version_now(shared)
    (tree / "deep").rmdir()
    tree.rmdir()
    version_now(shared)
    trial = shared.facts("restore", tree, "--dry-run")
    assert (trial["files"], trial["folders"]) == (1, 2)
    coming = {os.path.relpath(d["path"], folder.name) for d in trial["differences"]}
    assert coming == {"tree", "tree/deep", "tree/deep/file"}
    assert not tree.exists()
    shared.run("restore", tree)
    assert (tree / "deep/file").read_text() == "last"
    shared.run("restore", folder / "never", code=1)


def test_the_trial_of_a_restore_tells_what_would_change(shared: Machine, folder: Path) -> None:
    number = write_states(shared, folder / "file", "old")[0]
    write_states(shared, folder / "file", "newer")
    (folder / "extra").touch()
    said = shared.run("restore", folder, "--at", str(number), "--dry-run").stdout
    assert f"M {folder.name}/file  (5 B -> 3 B)" in said
    assert f"- {folder.name}/extra" in said
    assert (folder / "file").read_text() == "newer"


def test_cat_gives_every_byte_of_a_large_old_file(shared: Machine, folder: Path) -> None:
    data = os.urandom(3_500_000)
    (folder / "large").write_bytes(data)
    number = version_now(shared)
    (folder / "large").write_bytes(b"")
    done = subprocess.run(
        [*COMMAND, "cat", folder / "large", "--at", str(number)],
        env=shared.environment,
        capture_output=True,
        check=True,
    )
    assert done.stdout == data


def test_restore_of_a_tree_stores_nothing_again_and_can_be_undone(shared: Machine, folder: Path) -> None:
    tree = folder / "tree"
    (tree / "deep").mkdir(parents=True)
    (tree / "deep/data").write_bytes(os.urandom(500_000))
    os.link(tree / "deep/data", tree / "link")
    os.symlink("deep/data", tree / "symlink")
    before = {p.relative_to(tree): p.lstat() for p in tree.rglob("*")}
    number = version_now(shared)
    content = shared.facts("status", shared.point)["logs"][1]["byte_length"]
    shutil.rmtree(tree)
    (folder / "tree").mkdir()
    (folder / "tree/newer").write_text("n")
    newer = version_now(shared)
    done = shared.facts("restore", tree, "--at", str(number))
    assert done["version"] == number
    after = {p.relative_to(tree): p.lstat() for p in tree.rglob("*")}
    assert after.keys() == before.keys()
    for path, old in before.items():
        new = after[path]
        assert (new.st_mode, new.st_mtime_ns, new.st_size, new.st_nlink) == (
            old.st_mode,
            old.st_mtime_ns,
            old.st_size,
            old.st_nlink,
        )
    assert (tree / "link").stat().st_ino == (tree / "deep/data").stat().st_ino
    assert shared.facts("status", shared.point)["logs"][1]["byte_length"] - content < 25_000
    shared.run("restore", tree, "--at", str(newer))
    assert os.listdir(tree) == ["newer"]


def test_restore_brings_back_modes_and_acls_of_the_top_folder_too(machine: Machine, fuse: None) -> None:
    """Though the kernel has just looked at what is there."""
    access, default = "system.posix_acl_access", "system.posix_acl_default"
    owner, user, group, mask = "01000700ffffffff", "0200050007000000", "04000500ffffffff", "10000700ffffffff"
    masked = bytes.fromhex(f"02000000 {owner} {user} {group} {mask} 20000100ffffffff")
    plain = bytes.fromhex(f"02000000 {owner} {group} 20000500ffffffff")
    machine.mount()
    root = machine.point
    (root / "d" / "sub").mkdir(parents=True)
    os.setxattr(root, default, masked)
    os.setxattr(root, access, masked)
    os.setxattr(root / "d", access, masked)
    number = version_now(machine)
    os.setxattr(root, access, plain)
    os.removexattr(root, default)
    shutil.rmtree(root / "d")
    (root / "d").mkdir()
    assert (stat.S_IMODE(root.stat().st_mode), os.listxattr(root), os.listxattr(root / "d")) == (0o755, [], [])
    machine.run("restore", root, "--at", str(number))
    assert (stat.S_IMODE(root.stat().st_mode), root.stat().st_nlink) == (0o771, 3)
    assert (stat.S_IMODE((root / "d").stat().st_mode), (root / "d").stat().st_nlink) == (0o771, 3)
    assert os.getxattr(root, access) == os.getxattr(root / "d", access) == os.getxattr(root, default) == masked


def test_restore_to_another_place_leaves_the_present_alone(shared: Machine, folder: Path) -> None:
    path = folder / "file"
    number = write_states(shared, path, "old", "new")[0]
    shared.run("restore", path, "--at", str(number), "--to", folder / "copy")
    assert (path.read_text(), (folder / "copy").read_text()) == ("new", "old")
    shared.run("restore", path, "--at", str(number), "--to", "/tmp/elsewhere", code=2)
    shared.run("restore", path, "--at", str(number), "--to", folder / "no/folder", code=1)


def test_an_open_file_goes_on_when_it_is_restored(shared: Machine, folder: Path) -> None:
    path = folder / "file"
    number = write_states(shared, path, "old", "new")[0]
    with path.open() as held:
        shared.run("restore", path, "--at", str(number))
        assert held.read() == "new"
    assert path.read_text() == "old"


def test_snapshots_are_kept_listed_and_forgotten(shared: Machine, folder: Path) -> None:
    (folder / "file").write_text("kept")
    shared.run("snapshot", folder, "before")
    (folder / "file").write_text("changed")
    assert (folder / ".versions/before/file").read_text() == "kept"
    assert shared.run("cat", folder / "file", "--at", "before").stdout == "kept"
    shared.run("snapshot", folder, "before", "--delete")
    assert not (folder / ".versions/before").exists()
    shared.run("cat", folder / "file", "--at", "before", code=1)


def test_what_was_written_before_a_snapshot_is_in_it(shared: Machine, folder: Path) -> None:
    with (folder / "open").open("w") as file:
        file.write("written, not closed")
        file.flush()
        shared.run("snapshot", folder, "now-or-never")
    assert (folder / ".versions/now-or-never/open").read_text() == "written, not closed"


def test_names_of_any_bytes(shared: Machine, folder: Path) -> None:
    path = os.fsencode(folder) + b"/" + STRANGE
    with open(path, "w") as file:
        file.write("strange")
    number = version_now(shared)
    found = shared.facts("versions", path)
    assert found[0]["size"] == 7
    assert shared.run("cat", path, "--at", str(number)).stdout == "strange"
    os.unlink(path)
    version_now(shared)
    listed = shared.run("diff", str(number), "now", folder, "--names").stdout
    assert "\x1b" not in listed
    assert len(listed.splitlines()) == 1
    shared.run("restore", path, "--at", str(number))
    assert os.listdir(os.fsencode(folder)) == [STRANGE]
    os.unlink(path)


def test_a_relative_path_and_dots(shared: Machine, folder: Path) -> None:
    write_states(shared, folder / "file", "x")
    relative = Path("mount") / folder.name / ".." / folder.name / "file"
    assert len(shared.facts("versions", relative)) == 1


@pytest.mark.slow
def test_a_store_that_is_not_mounted_answers_the_same(machine: Machine, fuse: None) -> None:
    machine.mount()
    (machine.point / "folder").mkdir()
    numbers = write_states(machine, machine.point / "folder/file", "one", "two")
    version_now(machine)
    mounted = [
        machine.facts("versions", machine.point / "folder/file"),
        machine.facts("log", machine.point)[-3:],
        machine.facts("diff", str(numbers[0]), str(numbers[1]), machine.point),
    ]
    machine.unmount()
    store = ["--store", machine.store]
    assert mounted == [
        machine.facts("versions", "folder/file", *store),
        machine.facts("log", machine.store)[-3:],
        machine.facts("diff", str(numbers[0]), str(numbers[1]), ".", *store),
    ]
    assert machine.run("cat", "folder/file", "--at", str(numbers[0]), *store).stdout == "one"
    machine.run("restore", "folder/file", "--at", str(numbers[0]), *store)
    machine.run("snapshot", "folder", "closed", *store)
    machine.run("versions", "../folder", *store, code=2)
    machine.mount()
    assert (machine.point / "folder/file").read_text() == "one"
    assert (machine.point / "folder/.versions/closed/file").read_text() == "one"


def test_what_was_deleted_is_found_and_put_back(shared: Machine, folder: Path) -> None:
    for name in ("report.odt", "notes.txt"):
        (folder / name).write_text(name)
    (folder / "sub").mkdir()
    (folder / "sub" / "deep.odt").write_text("deep")
    version_now(shared)
    (folder / "report.odt").unlink()
    shutil.rmtree(folder / "sub")
    inside = str(folder.relative_to(shared.point))
    found = shared.facts("find", "--deleted", folder)
    assert sorted((thing["path"], thing["kind"], thing["size"]) for thing in found) == [
        (f"{inside}/report.odt", "file", 10),
        (f"{inside}/sub", "folder", None),
    ]
    for thing in found:
        assert datetime.fromisoformat(thing["deleted"]).tzinfo == UTC
        assert (shared.point / thing["entry"]).exists()
    by_pattern = shared.facts("find", "--deleted", folder / "*.odt")
    assert sorted(thing["path"] for thing in by_pattern) == [f"{inside}/report.odt", f"{inside}/sub/deep.odt"]
    text = shared.run("find", "--deleted", folder / "report.odt").stdout
    assert str(folder / "report.odt") in text
    assert "notes" not in text
    version = next(thing["version"] for thing in found if thing["kind"] == "folder")
    shared.run("restore", folder / "sub", "--at", str(version))
    assert (folder / "sub" / "deep.odt").read_text() == "deep"
    assert [thing["kind"] for thing in shared.facts("find", "--deleted", folder)] == ["file"]


def test_a_word_is_looked_for_by_name(shared: Machine, folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "lost").write_text("1")
    version_now(shared)
    (folder / "sub" / "lost").unlink()
    command, environment = [*COMMAND, "find", "--deleted", "lost"], shared.environment
    found = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=60, check=True)
    assert found.stdout.decode().splitlines()[1].endswith("  sub/lost")
    assert shared.facts("find", "--deleted", folder / "nothing") == []


def test_find_wants_to_be_told_what_to_find(shared: Machine, folder: Path) -> None:
    assert shared.run("find", folder, code=2).stderr
