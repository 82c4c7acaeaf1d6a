"""A folder and its copy, both plain: how the two are compared needs no drive. And whether two trees are equal."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hyperfs.follow.comparing import Comparing, Wishes
from hyperfs.follow.deeds import Deeds
from hyperfs.follow.facts import Facts, Parts
from hyperfs.follow.ignoring import Ignoring
from hyperfs.follow.records import Records
from hyperfs.follow.report import Report
from hyperfs.follow.tree import Tree
from hyperfs.follow.walking import Walking

KEY = bytes(range(64))
LATER = 1e12
"""A clock at which every file has been at rest for long."""


class TwoTrees:
    """In a folder of the test's own. Records stay between batches, as those of a process that was killed and started
    again; `lose_records` makes it one whose state was lost."""

    def __init__(self, folder: Path) -> None:
        self.source, self.copy = folder / "source", folder / "copy"
        self.state = folder / "state.sqlite"
        for made in (self.source, self.copy):
            made.mkdir()
        self.ignore = b""
        self.into_is_root = False
        self.clock = LATER
        self.restless: list[Parts] = []
        self.report = Report(lambda path, why: None)

    def compare(self, paths: Iterable[Parts] | None = None, whole: Iterable[Parts] = (), force: bool = False) -> Report:
        """Everything, or some paths. Returns what was done."""
        self.report = Report(lambda path, why: None)
        self.restless = []
        with Tree(self.source) as source, Tree(self.copy) as copy, Records(self.state, KEY) as records:
            if records.top() is None:
                records.put_top(source.top.own_facts())
            walking = self._walking(source, copy, records, force)
            for _ in walking.everything() if paths is None else walking.paths(paths, whole):
                pass
            records.commit()
        return self.report

    def _walking(self, source: Tree, copy: Tree, records: Records, force: bool) -> Walking:
        ignoring = Ignoring(source, self.ignore, (), self.report)
        deeds = Deeds(copy, records, self.report, lambda: self.clock)
        wishes = Wishes(self.into_is_root, force)
        return Walking(Comparing(source, copy, records, ignoring, deeds, wishes), self.restless.append, force)

    def lose_records(self) -> None:
        self.state.unlink()

    def inode(self, name: str) -> int:
        return os.lstat(self.copy / name).st_ino


def described(top: Path) -> dict[str, Any]:
    """Everything that a copy must have: by path, and hard links as the first path of each inode."""
    found: dict[str, Any] = {}
    first: dict[tuple[int, int], str] = {}
    for folder, folders, files in os.walk(top):
        for name in sorted([*folders, *files]):
            path = os.path.join(folder, name)
            found[os.path.relpath(path, top)] = _describe(path, os.path.relpath(path, top), first)
    found["."] = _describe(str(top), ".", first)
    return found


def _describe(path: str, shown: str, first: dict[tuple[int, int], str]) -> tuple[object, ...]:
    facts = Facts.of(os.lstat(path))
    names = [name for name in os.listxattr(path, follow_symlinks=False) if not name.startswith("user.hyperfs")]
    extended = {name: os.getxattr(path, name, follow_symlinks=False) for name in names}
    content: object = None
    if facts.is_file:
        content = Path(path).read_bytes()
    elif facts.kind == stat.S_IFLNK:
        content = os.readlink(path)
    leader = shown if facts.is_folder else first.setdefault(facts.identity, shown)
    return facts.kind, facts.mode, facts.uid, facts.gid, facts.mtime_ns, extended, content, leader


def assert_equal(one: Path, other: Path) -> None:
    left, right = described(one), described(other)
    assert sorted(left) == sorted(right)
    for path, facts in left.items():
        assert facts == right[path], path
