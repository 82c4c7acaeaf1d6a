"""What protection refuses: decisions on names, from what is known of them. Pure.

docs/policies.md has the rules in plain words.
"""

import re
from typing import Final, NamedTuple

NONE: Final = b"none"
NODELETE: Final = b"nodelete"
LOCK: Final = b"lock"
ARCHIVE: Final = b"archive"

_LOCK_FILE: Final = re.compile(
    rb"""
      \.~lock\..+\#                  # LibreOffice
    | ~\$.+                          # Microsoft Office
    | \.\#.+ | \#.+\#                # Emacs: lock, autosave
    | \.(.+\.)?sw[a-p] | \.(.+\.)?un~  # vim
    | .+\.kate-swp
    | \.goutputstream-[A-Z0-9]{6}    # GLib
    | \.sb-[0-9a-f]{8}-[A-Za-z0-9]{6}  # macOS, through Samba
    | .+\.(tmp|TMP|part|crdownload)
    """,
    re.DOTALL | re.VERBOSE,
)
_BACKUP: Final = re.compile(rb"(?P<name>.+?)(\.~[0-9]+~|~|\.bak|\.orig)", re.DOTALL)
_RSYNC: Final = re.compile(rb"\.(?P<name>.+)\.[A-Za-z0-9]{6}", re.DOTALL)


def is_temporary(name: bytes) -> bool:
    """Whether programs make and remove files of this name beside the one that somebody works on."""
    return _LOCK_FILE.fullmatch(name) is not None


def backed_up(name: bytes) -> bytes | None:
    """Of which name an editor's backup has this one; None for no backup."""
    found = _BACKUP.fullmatch(name)
    return None if found is None else found["name"]


def is_passing_backup(name: bytes) -> bool:
    """Whether programs remove the backup themselves once they have saved; others are people's to keep."""
    return name.endswith(b"~")


def received(name: bytes) -> bytes | None:
    """The name that a file is going to have which rsync receives under this one; None for any other."""
    found = _RSYNC.fullmatch(name)
    return None if found is None else found["name"]


class Standing(NamedTuple):
    """What is known of a name. `passing`: no version has it, or it is of a kind that comes and goes."""

    protect: bytes
    archived: bool
    own_class: bool  # its class is set on itself, and goes with it
    folder: bool
    passing: bool


def why_not_go(it: Standing) -> bytes | None:
    """The value that refuses unlink or rmdir; None where it may go."""
    if it.protect == LOCK:
        return LOCK
    if it.archived and not it.folder:
        return ARCHIVE
    return NODELETE if it.protect == NODELETE and not it.passing else None


def why_not_replace(it: Standing) -> bytes | None:
    """The value that refuses something else under its name. With `nodelete` that is an edit."""
    if it.protect == LOCK:
        return LOCK
    return ARCHIVE if it.archived and not it.folder else None


def why_not_move(it: Standing, into_archive: bool) -> bytes | None:
    """The value that refuses another name. From one archive into another bytes stay what they are."""
    if it.protect == LOCK:
        return LOCK
    if it.archived and not it.own_class and not into_archive:
        return ARCHIVE
    return NODELETE if it.protect == NODELETE and not it.passing else None


def why_not_exchange(it: Standing, same_folder: bool) -> bytes | None:
    """The value that refuses to exchange it with something else: an edit of both, where no folder leaves its place."""
    replaced = why_not_replace(it)
    if replaced is not None:
        return replaced
    if it.archived and not it.own_class and not same_folder:
        return ARCHIVE
    return NODELETE if it.protect == NODELETE and (it.folder or not same_folder) else None


def may_save(name: bytes, new_name: bytes) -> bool:
    """Whether to rename a file so, within its folder, is a step of saving: a backup, or what rsync has received."""
    return backed_up(new_name) == name or received(name) == new_name
