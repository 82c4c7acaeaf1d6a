"""Folders as losses see them: what stands of them now, and whether what goes in them is a loss."""

from dataclasses import dataclass
from typing import Final

from hyperfs.policy.made_again import KEEPERS, MADE_AGAIN, WORKED_ON
from hyperfs.values import ROOT_INO
from hyperfs.volume.inode import Inode
from hyperfs.volume.name_finder import NameFinder
from hyperfs.volume.touched import Pace
from hyperfs.volume.trash import in_trash
from hyperfs.volume.tree import Tree

FOLDER: Final = 4  # as d_type


@dataclass(frozen=True)
class Place:
    """A folder of an older tree.

    `stands`: it and those above it that are there now, nearest first. `now`: itself, or the folder that was made anew
    under its path; 0 for none.
    """

    stands: tuple[int, ...] = ()
    now: int = 0
    made_again: bool = False
    worked_on: bool = False


class Places:
    """Keeps what it has found out: for one piece of work. A folder counts as it was when it was first asked for."""

    def __init__(self, newest: Tree, pace: Pace) -> None:
        self._newest = newest
        self._pace = pace
        self._known: dict[int, Place] = {}
        self._names = NameFinder()

    def of(self, tree: Tree, directory: int) -> Place:
        above: list[Inode] = []
        at = directory
        while at and at not in self._known and (inode := tree.inode(at)) is not None:
            above.append(inode)
            at = inode.parent if at != ROOT_INO else 0
        place = self._known.get(at, Place())
        for inode in reversed(above):
            self._pace()
            place = self._known[inode.ino] = self._in(tree, inode, place)
        return place

    def _in(self, tree: Tree, folder: Inode, above: Place) -> Place:
        stands = self._newest.inode(folder.ino) is not None
        return Place(
            (folder.ino, *above.stands) if stands else above.stands,
            folder.ino if stands else self._made_anew(tree, folder, above),
            above.made_again or _is_called(tree, folder, MADE_AGAIN) or in_trash(tree, folder.ino),
            above.worked_on
            or _is_called(tree, folder, KEEPERS)
            or any(tree.dentry(folder.ino, name) is not None for name in WORKED_ON),
        )

    def _made_anew(self, tree: Tree, folder: Inode, above: Place) -> int:
        name = self._names.name(tree, folder) if above.now else None
        dentry = self._newest.dentry(above.now, name[1]) if name is not None else None
        return dentry[0] if dentry is not None and dentry[1] == FOLDER else 0


def _is_called(tree: Tree, folder: Inode, names: frozenset[bytes]) -> bool:
    """Whether a folder has one of these names. It doesn't know its own: its parent is asked for each."""
    if folder.ino == ROOT_INO:
        return False
    dentries = (tree.dentry(folder.parent, name) for name in names)
    return any(found is not None and found[0] == folder.ino for found in dentries)
