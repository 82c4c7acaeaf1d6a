"""Office documents on a drive: lock files by which programs keep out of each other's way, and LibreOffice itself."""

import errno
import getpass
import multiprocessing
import os
import socket
import zipfile
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from tests import tally
from tests.mount.drive import LONG, Drive, until

from .programs import need, run

TAKERS = 6


def lock_file(document: Path) -> Path:
    """Where LibreOffice says that it has the document open; Microsoft's programs use `~$name` in the same way."""
    return document.with_name(f".~lock.{document.name}#")


def take(document: Path, who: str) -> bool:
    """Opens a document as LibreOffice does: the lock file is made only if it is not there."""
    try:
        made = os.open(lock_file(document), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    os.write(made, f",{who},{socket.gethostname()},21.11.2026 10:00,file:///home/{who};".encode())
    os.fsync(made)
    os.close(made)
    return True


def save(document: Path, text: bytes) -> None:
    """As LibreOffice saves: a new file beside it, complete and synced, then renamed over the document."""
    new = document.with_name(f"lu{os.getpid()}.tmp")
    with new.open("wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(document)


def _compete(document: Path, start: Barrier, rounds: int, wins: Path) -> None:
    who = f"{getpass.getuser()}-{os.getpid()}"
    won = 0
    for _ in range(rounds):
        start.wait(60)
        if take(document, who):
            won += 1
            assert who in lock_file(document).read_text()
            before = int(document.read_bytes())
            save(document, b"%d" % (before + 1))
        start.wait(60)
        lock_file(document).unlink(missing_ok=True)
        start.wait(60)
    wins.write_text(str(won))


def test_of_several_who_open_a_document_at_once_one_gets_the_lock(drive: Drive, tmp_path: Path) -> None:
    document = drive.point / "letter.odt"
    document.write_bytes(b"0")
    rounds = 200 if LONG else 15
    context = multiprocessing.get_context("fork")
    start = context.Barrier(TAKERS)
    processes = [
        context.Process(target=_compete, args=(document, start, rounds, tmp_path / str(number)))
        for number in range(TAKERS)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    assert sum(int((tmp_path / str(number)).read_text()) for number in range(TAKERS)) == rounds
    assert document.read_bytes() == b"%d" % rounds
    assert os.listdir(drive.point) == ["letter.odt"]
    tally.add("lock files that one of six got", rounds)


def test_a_lock_file_of_a_crashed_program_is_there_after_a_crash_of_the_drive_too(drive: Drive) -> None:
    document = drive.point / "letter.odt"
    save(document, b"first")
    assert take(document, "me")
    save(document, b"second")
    until("a version has both", (drive.versions() / "now" / lock_file(document).name).exists)
    drive.snapshot("open")
    drive.kill()
    drive.mount()
    assert not take(document, "you")
    assert b"me" in lock_file(document).read_bytes()
    assert document.read_bytes() == b"second"
    lock_file(document).unlink()
    assert take(document, "you")
    old = drive.versions() / "open" / "letter.odt"
    assert old.read_bytes() == b"second"
    # A document of a version is opened read-only: its lock can't be taken, and the program is told why.
    with pytest.raises(OSError, match="Read-only") as refused:
        take(old.with_name("other.odt"), "me")
    assert refused.value.errno == errno.EROFS


SAVING = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE script:module PUBLIC "-//OpenOffice.org//DTD OfficeDocument 1.0//EN" "module.dtd">
<script:module xmlns:script="http://openoffice.org/2000/script" script:name="Module1" script:language="StarBasic">
Sub Save(path As String, words As String)
  Dim options(0) As New com.sun.star.beans.PropertyValue
  Dim document As Object, number As Integer
  options(0).Name = "Hidden"
  options(0).Value = True
  document = StarDesktop.loadComponentFromURL(ConvertToURL(path), "_blank", 0, options())
  For number = 1 To 3
    document.Text.insertString(document.Text.End, words &amp; number, False)
    document.store()
  Next
  document.close(True)
End Sub
</script:module>
"""
"""What somebody does who opens a document, saves it three times and closes it."""


def test_libreoffice_saves_in_a_nodelete_folder_without_noticing(drive: Drive, tmp_path: Path) -> None:
    if not LONG:
        pytest.skip("LibreOffice takes half a minute: HYPERFS_ALL=1")
    need("soffice")
    folder, profile = drive.point / "d", tmp_path / "profile"
    folder.mkdir()
    office = ["soffice", f"-env:UserInstallation=file://{profile}", "--headless", "--norestore"]
    (tmp_path / "letter.txt").write_text("Dear reader,\n")
    run(*office, "--convert-to", "odt", "--outdir", folder, tmp_path / "letter.txt", seconds=300)
    (profile / "user/basic/Standard/Module1.xba").write_text(SAVING)  # the first start has made the profile
    drive.snapshot("first")
    os.setxattr(folder, "user.hyperfs.protect", b"nodelete")
    for word in ("one", "two", "three"):
        run(*office, f"macro:///Standard.Module1.Save({folder}/letter.odt,{word})", seconds=300)
        drive.snapshot(word)
        with zipfile.ZipFile(folder / "letter.odt") as document:
            assert f"{word}3" in document.read("content.xml").decode()
    assert os.listdir(folder) == ["letter.odt"]
    with pytest.raises(PermissionError):
        (folder / "letter.odt").unlink()
    tally.add("times that LibreOffice saved in a folder from which nothing may be deleted", 9)


def test_libreoffice_converts_on_a_drive_with_its_profile_there(drive: Drive) -> None:
    if not LONG:
        pytest.skip("LibreOffice takes half a minute: HYPERFS_ALL=1")
    need("soffice")
    (drive.point / "letter.txt").write_text("Dear reader,\n" + "a line of text\n" * 200)
    profile = f"-env:UserInstallation=file://{drive.point}/profile"
    convert = ["soffice", profile, "--headless", "--norestore", "--convert-to"]
    for kind, source in (
        ("odt", "letter.txt"),
        ("pdf", "letter.odt"),
        ("docx", "letter.odt"),
        ("txt:Text", "letter.docx"),
    ):
        run(*convert, kind, "--outdir", drive.point, drive.point / source, seconds=300)
    assert (drive.point / "letter.pdf").read_bytes().startswith(b"%PDF")
    assert (drive.point / "letter.txt").read_text(encoding="utf-8-sig").count("a line of text") == 200
    for name in ("letter.odt", "letter.docx"):
        with zipfile.ZipFile(drive.point / name) as document:
            assert document.testzip() is None
    drive.snapshot("converted")
    drive.kill()
    drive.mount()
    run(*convert, "pdf", "--outdir", drive.point / "again", drive.point / "letter.odt", seconds=300)
    assert (drive.point / "again" / "letter.pdf").read_bytes().startswith(b"%PDF")
    assert not list(drive.point.glob(".~lock*"))
    tally.add("documents that LibreOffice converted on a drive", 5)
