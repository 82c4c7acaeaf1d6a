"""GLib's `gio`, whose calls are those of GNOME's and Xfce's programs, on a drive at `~/Hyper`."""

import os
import re
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from tests import tally
from tests.cli.machine import NOBODY

from .session import ALL, Session, until

UID = NOBODY if os.geteuid() == 0 else os.geteuid()
ODD_NAMES = [b"new\nline", b"no \xff\xfe utf-8", b" spaces ", b"-rf", b"50%41", "你好 ü.txt".encode(), b".hidden"]
MANY_FILES = 2000 if ALL else 100


def trash_of(session: Session) -> Path:
    return session.drive / f".Trash-{UID}"


def make_odd(session: Session, folder: Path) -> None:
    names = (name.decode("latin-1") for name in ODD_NAMES)
    session.ask("[open(os.fsencode(a[0]) + b'/' + n.encode('latin-1'), 'x') and n for n in a[1:]]", folder, *names)


def odd(folder: Path, name: bytes) -> bytes:
    return os.fsencode(folder) + b"/" + name


def versions_of(session: Session, folder: Path) -> list[str]:
    return [name.decode() for name in session.names_in(folder / ".versions") if name.startswith(b"20")]


# Copying and moving


def test_copy_in_and_out_with_progress_keeps_bytes_times_and_attributes(session: Session, folder: Path) -> None:
    size = (200 << 20) if ALL else (10 << 20)
    outside, inside, back = session.home / "big", folder / "big", session.home / "back"
    session.ask("Path(a[0]).write_bytes(os.urandom(1 << 20) * int(a[1]))", outside, str(size >> 20))
    session.ask("os.setxattr(a[0], 'user.colour', b'blue')", outside)
    session.ask("os.utime(a[0], ns=(10**18 + 1, 10**18 + 7))", outside)
    said = session.run("gio", "copy", "--progress", "--preserve", outside, inside).stdout
    assert f"Transferred {size / 1e6:.1f}" in said
    session.run("gio", "copy", "--progress", "--preserve", inside, back)
    session.run("cmp", outside, inside)
    session.run("cmp", outside, back)
    for path in (inside, back):
        assert session.ask("os.getxattr(a[0], 'user.colour')", path) == "blue"
        # GLib copies microseconds.
        assert session.ask("os.stat(a[0]).st_mtime_ns // 1000", path) == (10**18 + 7) // 1000


def test_move_within_the_drive_is_a_rename(session: Session, folder: Path) -> None:
    session.write_file(folder / "a", b"moved")
    session.run("mkdir", folder / "below")
    number = session.ask("os.stat(a[0]).st_ino", folder / "a")
    session.run("gio", "move", folder / "a", folder / "below" / "b")
    assert session.ask("os.stat(a[0]).st_ino", folder / "below" / "b") == number
    session.run("gio", "move", folder / "below" / "b", session.home / "out")
    assert session.read_file(session.home / "out") == b"moved"
    assert session.names_in(folder / "below") == []


def test_a_folder_of_many_files_is_listed_whole(session: Session, folder: Path) -> None:
    session.ask("[Path(a[0], str(n)).write_text(str(n)) for n in range(int(a[1]))]", folder, str(MANY_FILES))
    listed = session.run("gio", "list", folder).stdout.split()
    assert sorted(map(int, listed)) == list(range(MANY_FILES))


def test_backup_on_copy_and_save_keep_the_old_bytes_in_both_places(session: Session, folder: Path) -> None:
    """`gio save` replaces as editors do: a new file renamed over the old one."""
    session.write_file(folder / "text", b"one")
    session.run("gio", "save", "--backup", folder / "text", stdin="two")
    assert session.read_file(folder / "text") == b"two"
    assert session.read_file(folder / "text~") == b"one"


def test_odd_names_are_renamed(session: Session, folder: Path) -> None:
    make_odd(session, folder)
    for number, name in enumerate(ODD_NAMES):
        session.run("gio", "rename", odd(folder, name), f"plain {number}")
    assert session.names_in(folder) == [b"plain %d" % number for number in range(len(ODD_NAMES))]


# What is told of the drive


def test_free_space_is_the_stores_disk_without_the_reserve(session: Session) -> None:
    def free_at(path: Path) -> int:
        said = session.run("gio", "info", "-f", path).stdout
        return int(re.search(r"filesystem::free: (\d+)", said)[1])  # type: ignore[index]

    def told() -> bool:
        before = free_at(session.machine.store)
        drive = free_at(session.drive)
        after = free_at(session.machine.store)
        # The reserve is a file of the store: the disk's own figure is without it already. Bytes on their way are not.
        return min(before, after) - (64 << 20) <= drive <= max(before, after)

    until("free space as the store's disk has it", told)
    said = session.run("gio", "info", "-f", session.drive).stdout
    total = session.ask("(s := os.statvfs(a[0])).f_blocks * s.f_frsize", session.machine.store)
    assert f"filesystem::size: {total}" in said
    assert "filesystem::remote: FALSE" in said  # thumbnails are made of what is local


def test_programs_hear_of_changes(session: Session, folder: Path) -> None:
    watcher = session.start("gio", "monitor", folder, log="monitor.log")
    log = session.home / "monitor.log"
    try:
        # It does not say when it has begun to watch.
        until("the watch", lambda: session.run("touch", folder / "begun") and "begun" in log.read_text())
        session.write_file(folder / "a", b"1")
        session.run("mv", folder / "a", folder / "b")
        session.run("rm", folder / "b")
        for words in (r"/a: created", r"/a: changes done", r"/a: renamed to .*/b", r"/b: deleted"):
            until(words, lambda words=words: re.search(words, log.read_text()))  # type: ignore[misc]
    finally:
        watcher.terminate()
        watcher.wait(20)


def test_what_is_mounted_is_shown_by_its_folders_name(session: Session) -> None:
    said = session.run("gio", "mount", "--list", "--detail").stdout
    entry = re.search(rf"Mount\(\d+\): Hyper -> file://{session.drive}\n((?:  .*\n)+)", said)
    assert entry, said
    assert "can_unmount=1" in entry[1]


# The trash


def test_trash_is_made_at_the_drives_top_as_the_specification_says(session: Session, folder: Path) -> None:
    session.write_file(folder / "with 100% spaces", b"kept")
    session.run("gio", "trash", folder / "with 100% spaces")
    trash = trash_of(session)
    for part in (trash, trash / "files", trash / "info"):
        assert session.ask("oct(os.stat(a[0]).st_mode & 0o777)", part) == "0o700"
    assert session.read_file(trash / "files" / "with 100% spaces") == b"kept"
    info = session.read_file(trash / "info" / "with 100% spaces.trashinfo").decode()
    assert info.startswith(f"[Trash Info]\nPath={folder.name}/{quote('with 100% spaces')}\nDeletionDate=")


def test_odd_names_are_trashed(session: Session, folder: Path) -> None:
    make_odd(session, folder)
    session.run("gio", "trash", *(odd(folder, name) for name in ODD_NAMES))
    assert session.names_in(folder) == []
    infos = session.ask("[p.read_text() for p in Path(a[0]).iterdir()]", trash_of(session) / "info")
    paths = [unquote_to_bytes(re.search("Path=(.*)", info)[1]) for info in infos]  # type: ignore[index]
    assert {odd(Path(folder.name), name) for name in ODD_NAMES} <= set(paths)


def test_a_trashed_folder_of_many_files_is_listed_and_put_back(session: Session, folder: Path, gvfs: None) -> None:
    inner = folder / "inner"
    session.run("mkdir", inner)
    session.ask("[Path(a[0], str(n)).write_text(str(n)) for n in range(int(a[1]))]", inner, str(MANY_FILES))
    session.ask("os.setxattr(a[0], 'user.colour', b'red')", inner)
    session.run("gio", "trash", inner)
    assert not session.is_there(inner)
    place = until("it in the trash's list", lambda: in_trash(session, inner))
    session.run("gio", "trash", "--restore", place)
    assert len(session.names_in(inner)) == MANY_FILES
    assert session.read_file(inner / "7") == b"7"
    tally.add("files put into a drive's trash and back", MANY_FILES)
    assert session.ask("os.getxattr(a[0], 'user.colour')", inner) == "red"
    assert session.names_in(trash_of(session) / "info").count(b"inner.trashinfo") == 0


def in_trash(session: Session, path: Path) -> str:
    """The address in the trash of what was at `path`, empty where it is not there."""
    for line in session.run("gio", "trash", "--list").stdout.splitlines():
        address, _, was = line.partition("\t")
        if was == str(path):
            return address
    return ""


def test_emptying_the_trash_leaves_the_past(session: Session, folder: Path, gvfs: None) -> None:
    session.write_file(folder / "gone", b"once")
    until("a version with it", lambda: versions_with(session, folder, "gone"))
    session.run("gio", "trash", folder / "gone")
    session.run("gio", "trash", "--empty")
    until("an empty trash", lambda: session.names_in(trash_of(session) / "files") == [])
    old = versions_with(session, folder, "gone")[-1]
    session.run("gio", "copy", folder / ".versions" / old / "gone", folder / "again")
    assert session.read_file(folder / "again") == b"once"


def versions_with(session: Session, folder: Path, name: str) -> list[str]:
    there = (version for version in versions_of(session, folder))
    return [version for version in there if session.is_there(folder / ".versions" / version / name)]


def test_nothing_of_the_past_goes_into_the_trash(session: Session, folder: Path) -> None:
    session.write_file(folder / "f", b"1")
    version = until("a version with it", lambda: versions_with(session, folder, "f"))[-1]
    old = folder / ".versions" / version / "f"
    assert "Read-only file system" in session.run("gio", "trash", old, code=1).stderr
    assert "Read-only file system" in session.run("gio", "remove", old, code=1).stderr
    assert session.read_file(old) == b"1"


# The past


def test_the_past_is_entered_by_name_and_never_listed(session: Session, folder: Path) -> None:
    session.write_file(folder / "f", b"old")
    version = until("a version with it", lambda: versions_with(session, folder, "f"))[-1]
    session.write_file(folder / "f", b"new")
    assert session.run("gio", "list", "--hidden", folder).stdout.split() == ["f"]
    assert ".versions" not in session.run("gio", "tree", "--hidden", folder).stdout
    assert version in session.run("gio", "list", folder / ".versions").stdout.split()
    assert session.run("gio", "cat", folder / ".versions" / version / "f").stdout == "old"
    session.run("gio", "copy", "--backup", folder / ".versions" / version / "f", folder / "f")
    assert session.read_file(folder / "f") == b"old"
    assert session.read_file(folder / "f~") == b"new"


def test_a_snapshot_is_a_new_folder_in_the_past(session: Session, folder: Path) -> None:
    session.write_file(folder / "f", b"kept")
    session.run("sync", "-f", folder)
    session.run("gio", "mkdir", folder / ".versions" / "before the move")
    session.run("gio", "remove", folder / "f")
    assert session.run("gio", "cat", folder / ".versions" / "before the move" / "f").stdout == "kept"
    session.run("gio", "remove", folder / ".versions" / "before the move")
    assert b"before the move" not in session.names_in(folder / ".versions")
