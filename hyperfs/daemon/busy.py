"""Who uses a mounted drive: read from /proc, so of other users' processes only root sees what they have open."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

MOST_PATHS: Final = 20
"""Of one process: a shell in a folder has one, a build may have thousands."""


class User(NamedTuple):
    """A process and something of the drive that it has."""

    program: str
    pid: int
    path: str


def users_of(point: Path, proc: Path = Path("/proc"), drive_pid: int | None = None) -> list[User]:
    """Every process with a file open or mapped below a mount point, or with its working or root folder there.

    Not the children of the drive's own process, which nobody can be asked to close: they let go within moments.
    """
    found = []
    for name in sorted(filter(str.isdigit, os.listdir(proc)), key=int):
        if drive_pid is not None and _parent(proc / name) == drive_pid:
            continue
        paths = sorted(set(_paths_of(proc / name, os.fspath(point))))
        program = _program(proc / name)
        found += [User(program, int(name), path) for path in paths[:MOST_PATHS]]
    return found


def _paths_of(process: Path, point: str) -> Iterator[str]:
    try:
        links = [process / "cwd", process / "root", process / "exe", *(process / "fd").iterdir()]
    except OSError:
        return  # ended, or not ours to look at
    for link in links:
        try:
            path = os.readlink(link)
        except OSError:
            continue
        if _below(path, point):
            yield path
    try:
        lines = os.fsdecode((process / "maps").read_bytes()).split("\n")  # a name may hold any other line end
    except OSError:
        return
    for line in lines:
        fields = line.split(None, 5)
        if len(fields) == 6 and _below(fields[5], point):
            yield fields[5]


def _parent(process: Path) -> int | None:
    try:
        # The name before it may hold anything, but what stands behind the last bracket is fixed.
        return int((process / "stat").read_bytes().rpartition(b")")[2].split()[1])
    except OSError:
        return None  # ended


def _below(path: str, point: str) -> bool:
    return path == point or path.startswith(point.rstrip("/") + "/")


def _program(process: Path) -> str:
    try:
        return (process / "comm").read_text(errors="replace").strip()
    except OSError:
        return "?"
