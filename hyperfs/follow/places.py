"""From two paths to a follow: what makes no sense is refused, and INTO gets its mark."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import platformdirs

from hyperfs.daemon import mounts
from hyperfs.errors import BadRequest, ReadOnlyDrive, Refused, Unreachable
from hyperfs.follow import mark as marks
from hyperfs.follow.facts import Facts, Identity
from hyperfs.follow.mark import Mark
from hyperfs.follow.tree import Tree

VERSIONS: Final = ".versions"


@dataclass(frozen=True)
class Follow:
    """Two absolute paths, and what says that INTO is this follow's."""

    folder: Path
    into: Path
    mark: Mark

    @property
    def state(self) -> Path:
        return state_folder() / f"{self.mark.name}.sqlite"


def state_folder() -> Path:
    return Path(platformdirs.user_state_path("hyperfs")) / "follow"


def prepare(folder: Path, into: Path, force: bool) -> Follow:
    """Makes and marks INTO where it is new. Raises BadRequest, Refused, Unreachable, ReadOnlyDrive, OSError."""
    folder, into = Path(os.path.realpath(folder)), Path(os.path.realpath(into))
    mount = _mount_of(into)
    _check_folder(folder, into, mount)
    if os.statvfs(mount.point).f_flag & os.ST_RDONLY:
        raise ReadOnlyDrive(f"the drive of {into} is mounted read-only: nothing can be copied to it")
    if into.exists() and not into.is_dir():
        raise BadRequest(f"{into} is no folder")
    _check_ways(into, mount)
    if not folder.is_dir() and not into.is_dir():
        raise Unreachable(f"there is no folder {folder}, and no copy of it {into}: nothing was done")
    into.mkdir(parents=True, exist_ok=True)
    with Tree(into) as copy:
        found = marks.read(copy.top.fd)
        if found is not None and (found.folder == folder or force):
            mark = Mark(found.name, found.key, folder)
        elif found is not None:
            raise Refused(f"{into} is the copy of {found.folder}: choose another, or --force makes it that of {folder}")
        elif not folder.is_dir():
            raise Unreachable(f"there is no folder {folder}, and {into} is not its copy yet: nothing was done")
        elif copy.top.names() and not force:
            raise Refused(
                f"{into} is not empty and no copy of {folder}: choose a new folder in it ('{into / folder.name}'), or "
                "--force makes it the copy, and what else is in it goes (into history)"
            )
        else:
            mark = Mark.new(folder)
        if mark != found:
            marks.write(copy.top.fd, mark)
    return Follow(folder, into, mark)


def _mount_of(into: Path) -> mounts.MountPoint:
    mount = mounts.containing(os.fsencode(into))
    if mount is None or not mount.is_hyperfs:
        raise BadRequest(f"{into} lies in no mounted drive: mount one first ('hyperfs mount'), and name a folder in it")
    if mounts.is_dead(Path(os.fsdecode(mount.point))):
        point = os.fsdecode(mount.point)
        raise Unreachable(f"the process that served {point} is gone: 'hyperfs mount' mounts it again")
    if VERSIONS in into.parts:
        raise BadRequest(f"{into} is in the past: name a folder of the present")
    return mount


def _check_folder(folder: Path, into: Path, mount: mounts.MountPoint) -> None:
    point = Path(os.fsdecode(mount.point))
    if folder.exists() and not folder.is_dir():
        raise BadRequest(f"{folder} is no folder: a folder is followed")
    if into.is_relative_to(folder) or point.is_relative_to(folder):
        raise BadRequest(f"{into} lies within {folder}: the copy would be copied")
    if folder.is_relative_to(point):
        raise BadRequest(f"{folder} lies in the drive itself, which keeps all its versions already")
    if folder.is_relative_to(mount.store):
        raise BadRequest(f"{folder} lies in the drive's own store")


def _check_ways(into: Path, mount: mounts.MountPoint) -> None:
    """Within another copy it would be removed as what is not in that folder."""
    point = Path(os.fsdecode(mount.point))
    for above in into.parents:
        if not above.is_relative_to(point):
            return
        if not above.is_dir():
            continue
        with Tree(above) as tree:
            found = marks.read(tree.top.fd)
        if found is not None:
            raise Refused(f"{into} lies in {above}, which is the copy of {found.folder}: choose a folder outside of it")


def never_copied(into: Path) -> set[Identity]:
    """Inodes that each version would change again: the store, its log file, and the follows' own state."""
    mount = mounts.containing(os.fsencode(into))
    paths = [state_folder()]
    if mount is not None and mount.is_hyperfs:
        paths += [mount.store, Path(f"{mount.store}.log")]
    return {Facts.of(os.lstat(path)).identity for path in paths if path.exists()}
