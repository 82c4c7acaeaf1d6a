"""Xfce's Thunar on a drive, as a user sees it. With HYPERFS_ALL=1 only; HYPERFS_SCREENSHOTS keeps pictures of it."""

import hashlib
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tally

from .conftest import make_session, need
from .session import Session, until
from .test_gio import trash_of
from .test_unmounting import processes, wait_for_end
from .thunar import Thunar

PROGRESS = "^File Operation Progress$"


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    need("thunar", "org.xfce.Tumbler.Thumbnailer1")
    made = make_session()
    try:
        made.machine.mount()
        made.start_screen()
        made.start_bus()
        yield made
    finally:
        made.end()


@pytest.fixture(scope="module")
def window(session: Session) -> Thunar:
    """At the drive's top."""
    made = Thunar(session)
    made.open(session.drive)
    return made


@pytest.fixture
def thunar(window: Thunar, folder: Path, request: pytest.FixtureRequest) -> Iterator[Thunar]:
    """In a new folder."""
    window.go(folder)
    yield window
    window.pause()
    window.session.shot(request.node.name)


@pytest.fixture
def folder(session: Session, request: pytest.FixtureRequest) -> Path:
    made: Path = session.drive / request.node.name.removeprefix("test_")
    session.run("mkdir", made)
    return made


def picture(width: int = 200, height: int = 150) -> bytes:
    """A PNG in one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + b"\xd0\x40\x20" * width) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_the_drive_stands_at_the_side_by_its_folders_name(thunar: Thunar) -> None:
    thunar.sees("Hyper")


def test_free_space_is_what_df_says(thunar: Thunar, session: Session) -> None:
    def free() -> str:
        return f"{session.ask('(s := os.statvfs(a[0])).f_bavail * s.f_frsize', session.drive) / (1 << 30):.1f} GiB"

    def told() -> bool:
        thunar.session.press("F5")
        return f"Free space: {free()}" in thunar.status()

    until("free space as df has it", told)


def test_what_others_change_is_seen_at_once(thunar: Thunar, session: Session, folder: Path) -> None:
    session.write_file(folder / "made", b"1")
    thunar.sees("made")
    session.run("mv", folder / "made", folder / "renamed")
    thunar.sees("renamed")
    session.run("rm", folder / "renamed")
    thunar.sees_no_more("renamed")


def test_a_folder_of_2000_files_is_copied_with_progress(thunar: Thunar, session: Session, folder: Path) -> None:
    outside = session.home / "photos"
    session.run("mkdir", outside)
    session.ask("[Path(a[0], f'{n}.txt').write_bytes(b'%d ' % n * 4000) for n in range(2000)]", outside)
    thunar.go(session.home)
    thunar.sees("photos")
    thunar.select("photos")
    session.press("ctrl+c")
    thunar.go(folder)
    session.press("ctrl+v")
    session.window(PROGRESS)
    session.shot("progress")
    until("the copy's end", lambda: not session.has_window(PROGRESS), 300)
    session.run("diff", "-r", outside, folder / "photos")
    tally.add("files copied onto a drive by file managers and compared", 2000)
    thunar.sees("photos")


def test_rename(thunar: Thunar, session: Session, folder: Path) -> None:
    session.write_file(folder / "before", b"1")
    thunar.sees("before")
    rename(thunar, "before", "after")
    assert session.names_in(folder) == [b"after"]


def rename(thunar: Thunar, pattern: str, new: str) -> None:
    thunar.select(pattern)
    thunar.session.press("F2")
    thunar.session.window("^Rename")
    thunar.session.press("ctrl+a")
    thunar.session.write(new)
    thunar.session.press("Return")
    thunar.sees(new)


def test_names_that_are_no_text_are_shown_and_renamed(thunar: Thunar, session: Session, folder: Path) -> None:
    session.ask("[open(os.fsencode(a[0]) + n, 'x') and 1 for n in (b'/one\\nline', b'/not \\xff utf')]", folder)
    until("both", lambda: sum("utf" in name or "line" in name for name in thunar.names()) >= 2)
    thunar.pause()
    session.shot("odd-names")
    rename(thunar, "not*", "text")
    rename(thunar, "one*", "single")
    assert session.names_in(folder) == [b"single", b"text"]


def test_to_the_trash_and_back(thunar: Thunar, session: Session, folder: Path) -> None:
    session.write_file(folder / "wanted", b"again")
    thunar.sees("wanted")
    thunar.select("wanted")
    session.press("Delete")
    thunar.sees_no_more("wanted")
    assert session.read_file(trash_of(session) / "files" / "wanted") == b"again"
    session.start("thunar", "trash:///")
    trash = session.window("^Trash - Thunar$")
    session.run("xdotool", "windowactivate", "--sync", trash)
    thunar.sees("wanted")
    thunar.select("wanted")
    thunar.pause()
    session.shot("trash")
    thunar.answer("Restore Selected Items")
    until("it at its place", lambda: session.names_in(folder) == [b"wanted"])
    assert session.read_file(folder / "wanted") == b"again"
    assert session.names_in(trash_of(session) / "info") == []
    session.press("ctrl+w")
    thunar.go(folder)
    thunar.sees("wanted")


def test_a_picture_with_attributes_gets_its_thumbnail(thunar: Thunar, session: Session, folder: Path) -> None:
    path = folder / "beach.png"
    session.write_file(path, picture())
    session.ask("os.setxattr(a[0], 'user.xdg.comment', b'summer')", path)
    thunar.sees("beach.png")
    name = hashlib.md5(path.as_uri().encode()).hexdigest() + ".png"  # the specification's own choice
    kept = session.home / ".cache/thumbnails"

    def thumbnail() -> bytes:
        found = session.ask("[str(p) for p in Path(a[0]).rglob(a[1])]", kept, name)
        return session.read_file(Path(found[0])) if found else b""

    data = until("a thumbnail", thumbnail)
    assert b"Thumb::URI\0" + path.as_uri().encode() in data
    changed = session.ask("int(os.stat(a[0]).st_mtime)", path)
    assert b"Thumb::MTime\0%d" % changed in data


def test_the_past_is_entered_by_its_name_and_copied_from(thunar: Thunar, session: Session, folder: Path) -> None:
    session.write_file(folder / "report", b"as it was")
    past = folder / ".versions"
    with_it = "[n for n in os.listdir(a[0]) if os.path.exists(f'{a[0]}/{n}/report')]"
    version = until("a version with it", lambda: session.ask(with_it, past))[-1]
    session.write_file(folder / "report", b"as it is")
    thunar.go(past)
    thunar.sees(version)
    thunar.pause()
    session.shot("versions")
    thunar.go(past / version)
    thunar.sees("report")
    thunar.pause()
    session.shot("a-version")
    thunar.select("report")
    session.press("ctrl+c")
    session.run("mkdir", folder / "copy")
    thunar.go(folder / "copy")
    session.press("ctrl+v")
    thunar.sees("report")
    assert session.read_file(folder / "copy" / "report") == b"as it was"
    assert ".versions" not in thunar.names()


def test_the_past_can_not_be_trashed(thunar: Thunar, session: Session, folder: Path) -> None:
    session.write_file(folder / "kept", b"1")
    past = folder / ".versions"
    with_it = "[n for n in os.listdir(a[0]) if os.path.exists(f'{a[0]}/{n}/kept')]"
    version = until("a version with it", lambda: session.ask(with_it, past))[-1]
    thunar.go(past / version)
    thunar.sees("kept")
    thunar.select("kept")
    session.press("Delete")
    session.window("^Attention$")
    thunar.pause()
    session.shot("refused")
    thunar.answer("Yes")  # to the question whether it shall go for good
    session.window("^Error$")
    thunar.pause()
    session.shot("refused-again")
    session.press("Escape")
    assert session.read_file(past / version / "kept") == b"1"


def test_last_the_drive_is_ejected_with_all_that_was_written(window: Thunar, session: Session) -> None:
    window.go(session.home)
    session.write_file(session.drive / "last words", b"not lost")
    ended = processes(session)
    window.unmount("Hyper")
    window.pause()
    session.shot("ejecting")
    wait_for_end(ended)
    window.pause()
    session.shot("ejected")
    assert not session.machine.has_mounted(session.drive)
    until("it gone from the side", lambda: window.names().count("Hyper") == 1)  # the folder that it was mounted at
    session.machine.mount()
    assert session.read_file(session.drive / "last words") == b"not lost"
    window.session.shot("mounted-again")
