"""The ways in which editors save a file: those of the editors that are installed, and the rest done by hand."""

import os
import pty
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.waiting import readable

from .programs import run

Save = Callable[[Path, str], None]


def in_place(path: Path, text: str) -> None:
    """Truncated and written anew: echo, many small editors, vim's backupcopy=yes."""
    path.write_text(text)


def rename_over(path: Path, text: str) -> None:
    """A new file, synced, with the old one's mode, renamed over it: GLib's, Qt's and KDE's safe saving."""
    new = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with new.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    if path.exists():
        shutil.copystat(path, new)
    new.replace(path)


def rename_away(path: Path, text: str) -> None:
    """The old file becomes the backup, a new one takes its name, the backup goes: vim's backupcopy=no."""
    backup = path.with_name(path.name + "~")
    if path.exists():
        path.rename(backup)
    path.write_text(text)
    backup.unlink(missing_ok=True)


def backup_stays(path: Path, text: str) -> None:
    """The old file becomes the backup and stays: emacs, once in a session."""
    if path.exists():
        path.replace(path.with_name(path.name + "~"))
    path.write_text(text)


def link_backup(path: Path, text: str) -> None:
    """A hard link keeps the old bytes, a new file is renamed over the name: gedit of old, safe-save of others."""
    backup = path.with_name(path.name + ".bak")
    backup.unlink(missing_ok=True)
    if path.exists():
        os.link(path, backup)
    rename_over(path, text)


def copy_then_rewrite(path: Path, text: str) -> None:
    """The backup is a copy, the file is written in place: emacs' backup-by-copying, vim's backupcopy=yes."""
    if path.exists():
        shutil.copy2(path, path.with_name(path.name + "~"))
    in_place(path, text)


def unlink_then_write(path: Path, text: str) -> None:
    """The name goes, then a new file gets it: patch, unzip -o, some office programs."""
    path.unlink(missing_ok=True)
    path.write_text(text)


def from_elsewhere(path: Path, text: str) -> None:
    """Written in another folder of the drive and moved here: programs with a folder for what is unfinished."""
    folder = path.parent / "unfinished"
    folder.mkdir(exist_ok=True)
    (folder / path.name).write_text(text)
    (folder / path.name).replace(path)


BY_HAND: dict[str, Save] = {
    way.__name__: way
    for way in (
        in_place,
        rename_over,
        rename_away,
        backup_stays,
        link_backup,
        copy_then_rewrite,
        unlink_then_write,
        from_elsewhere,
    )
}


def vim(*settings: str) -> Save:
    def save(path: Path, text: str) -> None:
        path.touch()
        words = ["vim", "-u", "NONE", "-i", "NONE", "-N", "-es", "-c", f"set {' '.join(settings)}", "-c", "%d"]
        run(*words, "-c", f"call setline(1, '{text.strip()}')", "-c", "wq", path)

    return save


def emacs(*forms: str) -> Save:
    def save(path: Path, text: str) -> None:
        edit = f'(progn (find-file "{path}") (erase-buffer) (insert "{text.strip()}\\n") (save-buffer))'
        run("emacs", "-Q", "--batch", *(word for form in forms for word in ("--eval", form)), "--eval", edit)

    return save


def nano(*options: str) -> Save:
    """In a terminal of its own: it has no other way."""

    def save(path: Path, text: str) -> None:
        ours, its = pty.openpty()
        command: list[str | Path] = ["nano", "--ignorercfiles", "--saveonexit", *options, path]
        environment = os.environ | {"TERM": "xterm"}
        with subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=environment, cwd="/") as process:
            os.close(its)
            try:
                _read_until_quiet(ours)
                cut_to_the_end, leave = b"\x1bT", b"\x18"
                os.write(ours, cut_to_the_end + text.strip().encode() + leave)
                while process.poll() is None:
                    _read_until_quiet(ours)
            finally:
                process.kill()
                os.close(ours)
        assert process.returncode == 0

    return save


def _read_until_quiet(terminal: int) -> None:
    """Takes what the program draws, so that it goes on; returns when nothing has come for a moment."""
    while readable([terminal], 0.3):
        try:
            if not os.read(terminal, 4096):
                return
        except OSError:  # the program has closed its side
            return


def ed(path: Path, text: str) -> None:
    path.exists() or path.write_text("x\n")
    subprocess.run(["ed", "-s", path], input=f",c\n{text.strip()}\n.\nw\nq\n", text=True, check=True, timeout=60)


def sed(path: Path, text: str) -> None:
    path.exists() or path.write_text("x\n")
    run("sed", "-i", f"s/.*/{text.strip()}/", path)


def perl(path: Path, text: str) -> None:
    path.exists() or path.write_text("x\n")
    run("perl", "-i.orig", "-pe", f"s/.+/{text.strip()}/", path)


BY_EDITORS: dict[str, tuple[str, Save]] = {
    "vim, swap file, renames the old file away": ("vim", vim("swapfile", "writebackup", "backupcopy=no")),
    "vim, swap file, writes in place": ("vim", vim("swapfile", "writebackup", "backupcopy=yes")),
    "vim, keeps backups, syncs": ("vim", vim("backup", "backupcopy=auto", "fsync")),
    "emacs, renames the old file to a backup": ("emacs", emacs("(setq make-backup-files t)")),
    "emacs, backup by copying": ("emacs", emacs("(setq backup-by-copying t)")),
    "emacs, writes a new file and renames it": ("emacs", emacs("(setq file-precious-flag t)")),
    "nano": ("nano", nano()),
    "nano, with a backup and a lock file": ("nano", nano("--backup", "--locking")),
    "ed": ("ed", ed),
    "sed -i": ("sed", sed),
    "perl -i": ("perl", perl),
}
"""What each is called, the program, and the way."""
