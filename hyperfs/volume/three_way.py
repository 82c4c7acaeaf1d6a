"""The three-way comparison: how `now` becomes what it would be without a step, when more may have changed since.

Pure: three sides in, a plan out; `undo.py` carries it out. `start` is the tree as the step left it, `goal` the tree as
it was before, `differing` what of their differences the step counts for. For each name and for each property of an
inode: where `now` says what `start` says, it gets what `goal` says; where it says so already, nothing is to be done;
else somebody has changed it since, which is a conflict. All else in `now` stays.

Inode numbers are never given out twice, so what an earlier undo brought back has another number than `start` knows.
The **twin** of an inode is itself where it still is, else what stands in its place now.

In a plan a number below 0 is that of an inode of `goal`, negated, which is to be made.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeVar

from hyperfs.values import ROOT_INO
from hyperfs.volume.differing import Differing
from hyperfs.volume.sides import Name, Side, Thing, Xattrs

T = TypeVar("T")

Why = Literal["changed", "renamed", "added", "gone", "inside itself"]
"""What has happened since: its bytes or attributes changed; the name means something else; it was made in a folder that
is to go; it went; or (which no force helps) a folder would have to be inside itself."""


class Conflict(NamedTuple):
    """Something that changed since the step. The directory's number is of any of the three sides."""

    why: Why
    directory: int
    name: bytes


class Rewrite(NamedTuple):
    """What is no directory and becomes another thing: a new inode under all its names.

    `content` is the inode of `goal` whose bytes it gets, None where it keeps its own.
    """

    thing: Thing
    content: int | None


@dataclass
class Plan:
    """What is to be done. Nothing in it names anything that is not touched."""

    names: dict[Name, int | None] = field(default_factory=dict)
    rewrites: dict[int, Rewrite] = field(default_factory=dict)
    attributes: dict[int, Thing] = field(default_factory=dict)  # of directories that stay
    dying: set[int] = field(default_factory=set)  # to whom no name is left
    conflicts: dict[Conflict, None] = field(default_factory=dict)  # an ordered set

    def __bool__(self) -> bool:
        return bool(self.names or self.rewrites or self.attributes)


def plan(start: Side, goal: Side, now: Side, differing: Differing) -> Plan:
    """The plan that holds in spite of its conflicts, which are for the caller to refuse: what was changed since goes
    there too. A conflict 'inside itself' has no such plan."""
    planner = _Planner(start, goal, now, differing)
    planner.plan_names()
    planner.plan_values()
    planner.plan_ends()
    return planner.plan


class _Planner:
    def __init__(self, start: Side, goal: Side, now: Side, differing: Differing) -> None:
        self._start, self._goal, self._now = start, goal, now
        self._differing = differing
        self.plan = Plan()
        self._twins: dict[int, int | None] = {}
        self._homes: dict[int, int | None] = {}
        self._stands_for: dict[int, int] = {}  # by number in `now`, of twins that are another inode
        self._lost: dict[int, list[Name]] = {}
        self._gained: Counter[int] = Counter()

    # Who is who

    def _twin(self, ino: int) -> int | None:
        """What an inode of `start` or `goal` is in `now`, if it is there."""
        if ino in self._twins:
            return self._twins[ino]
        if self._now.thing(ino) is not None:
            self._twins[ino] = ino
            return ino
        self._twins[ino] = None
        if self._start.thing(ino) is not None:
            for directory, name in self._start.names(ino):
                home = self._home(directory)
                found = self._standing(ino, home, name) if home is not None else None
                if found is not None:
                    self._twins[ino] = found
                    self._stands_for[found] = ino
                    break
        return self._twins[ino]

    def _standing(self, ino: int, home: int, name: bytes) -> int | None:
        """What has the name of a lost inode of `start` now, if it can stand for it."""
        found = self._now.entry(home, name) if home > 0 else None
        if found is None or self._start.thing(found) is not None:
            return None  # one that was there at `start` stands for itself only
        here, there = self._now.thing(found), self._start.thing(ino)
        return found if here is not None and there is not None and here.mode >> 12 == there.mode >> 12 else None

    def _home(self, directory: int) -> int | None:
        """The directory that will be what `directory` is in `start` or `goal`: one of `now`, one to be made, or none,
        where it is gone for good. One to be made gets its name, and so do all above it."""
        chain: list[tuple[int, Name]] = []
        at = directory
        while at not in self._homes:
            if self._now.thing(at) is not None:
                self._homes[at] = at
                break
            side = self._goal if self._goal.thing(at) is not None else self._start
            names = side.names(at)
            if not names:
                self._homes[at] = None
                break
            chain.append((at, names[0]))
            at = names[0][0]
        for at, name in reversed(chain):
            self._homes[at] = self._settle(at, name)
        return self._homes[directory]

    def _settle(self, directory: int, name: Name) -> int | None:
        """The home of a directory that is not in `now`, when that of the one above it is known."""
        above = self._homes[name[0]]
        found = self._now.entry(above, name[1]) if above is not None and above > 0 else None
        thing = self._now.thing(found) if found is not None else None
        stood, _ = self._differing.names.get(name, (directory, None))
        free = found is not None and self._start.thing(found) is None and stood in (None, directory)
        if found is not None and thing is not None and thing.is_directory and free:
            self._stands_for.setdefault(found, directory)
            return found  # brought back before, or made anew by somebody: what comes goes in there
        if self._goal.thing(directory) is None or above is None:
            return None
        if self._start.thing(directory) is not None:
            self._conflict("gone", *name)
        elif found is not None and name not in self._differing.names:
            self._conflict("renamed", *name)
        self.plan.names[above, name[1]] = -directory
        return -directory

    def _result(self, ino: int | None) -> int | None:
        """What a name that means `ino` in `goal` will mean."""
        if ino is None:
            return None
        thing = self._goal.thing(ino)
        if thing is not None and thing.is_directory:
            return self._home(ino)
        twin = self._twin(ino)
        return -ino if twin is None else twin

    # Names

    def plan_names(self) -> None:
        for (directory, name), (old, new) in self._differing.names.items():
            home = self._home(directory)
            if home is None:
                continue  # its folder is gone, and what was in it
            wanted = self._result(new)
            found = self._now.entry(home, name) if home > 0 else None
            expected = self._twin(old) if old is not None else None
            if found == wanted or self._is_already(found, wanted):
                if found != wanted:
                    self.plan.names.pop((home, name), None)
                continue
            if found != expected or (old is not None and expected is None):
                self._conflict("renamed" if found is not None else "gone", directory, name)
            self.plan.names[home, name] = wanted

    def _is_already(self, found: int | None, wanted: int | None) -> bool:
        """Whether what is there equals what would be made there. Of directories `_home` has decided."""
        if found is None or wanted is None or wanted > 0:
            return False
        thing = self._goal.thing(-wanted)
        return thing is not None and not thing.is_directory and self._now.thing(found) == thing

    # Values

    def plan_values(self) -> None:
        for ino in self._differing.inodes:
            old, new, twin = self._start.thing(ino), self._goal.thing(ino), self._twin(ino)
            if old is None or new is None or old == new:
                continue
            here = self._now.thing(twin) if twin is not None else None
            if twin is None or here is None:
                if self._homes.get(ino) is None and not self._is_made(ino):
                    self._conflict_at("gone", ino)
                continue
            merged = self._merge(ino, old, new, here)
            if here.is_directory:
                self.plan.attributes[twin] = merged  # even if it is that already: its names may change its times
            elif merged != here:
                self.plan.rewrites[twin] = Rewrite(merged, ino if merged.content != here.content else None)

    def _is_made(self, ino: int) -> bool:
        return any(self.plan.names.get((self._homes.get(d) or 0, n)) == -ino for d, n in self._goal.names(ino))

    def _merge(self, ino: int, old: Thing, new: Thing, here: Thing) -> Thing:
        """Property by property. A time that has moved on since is no conflict: it stays, but goes with its bytes."""
        content = self._choose(ino, old.content, new.content, here.content)
        rights = self._choose(
            ino, (old.mode, old.uid, old.gid), (new.mode, new.uid, new.gid), (here.mode, here.uid, here.gid)
        )
        xattrs = self._merge_xattrs(ino, dict(old.xattrs), dict(new.xattrs), dict(here.xattrs))
        back = here.mtime_ns == old.mtime_ns or content != here.content
        return Thing(*rights, here.rdev, new.mtime_ns if back else here.mtime_ns, content, xattrs)

    def _choose(self, ino: int, old: T, new: T, here: T) -> T:
        if old == new or here == new:
            return here
        if here != old:
            self._conflict_at("changed", ino)
        return new

    def _merge_xattrs(
        self, ino: int, old: dict[bytes, bytes], new: dict[bytes, bytes], here: dict[bytes, bytes]
    ) -> Xattrs:
        for name in old.keys() | new.keys():
            value = self._choose(ino, old.get(name), new.get(name), here.get(name))
            if value is None:
                here.pop(name, None)
            else:
                here[name] = value
        return tuple(sorted(here.items()))

    # Ends: what no name is left to, and what hangs together

    def plan_ends(self) -> None:
        names = self.plan.names
        for name, wanted in list(names.items()):
            found = self._now.entry(*name) if name[0] > 0 else None
            if found == wanted:
                del names[name]
                continue
            self._take(name, found)
            if wanted is not None and wanted > 0:
                self._gained[wanted] += 1
        self._move_directories()
        for ino in self._gained:
            if ino in self._stands_for and not self._is_directory(ino):
                self._check_unchanged(ino)  # another file than the one that was there: is it the same thing?
        dying = self.plan.dying
        waiting = list(self._lost)
        for ino in waiting:  # grows while it is gone through
            if ino in dying or not self._dies(ino):
                continue
            dying.add(ino)
            self._check_unchanged(ino)
            if self._is_directory(ino):
                waiting += self._empty(ino)
        for ino in dying:
            self.plan.rewrites.pop(ino, None)
        touched = {directory for directory, _ in names}
        for ino, thing in list(self.plan.attributes.items()):
            if ino in dying or (ino not in touched and thing == self._now.thing(ino)):
                del self.plan.attributes[ino]
        self._check_places()

    def _take(self, name: Name, found: int | None) -> None:
        """The name goes."""
        if found is not None:
            self._lost.setdefault(found, []).append(name)

    def _dies(self, ino: int) -> bool:
        thing = self._now.thing(ino)
        if thing is None:
            return False
        if thing.is_directory:
            return not self._gained[ino]
        return self._now.links(ino) - len(self._lost[ino]) + self._gained[ino] <= 0

    def _is_directory(self, ino: int) -> bool:
        thing = self._now.thing(ino)
        return thing is not None and thing.is_directory

    def _empty(self, directory: int) -> list[int]:
        """What is in a directory that goes, goes too, but for what is moved out. Returns whom that took a name."""
        more: list[int] = []
        for name, ino in self._now.entries(directory):
            if (directory, name) in self.plan.names:
                continue
            self._conflict("added", directory, name)
            self.plan.names[directory, name] = None
            self._take((directory, name), ino)
            more.append(ino)
        return more

    def _check_unchanged(self, ino: int) -> None:
        """What goes must be what the step made: else bytes would go that it does not count for."""
        origin = ino if self._start.thing(ino) is not None else self._stands_for.get(ino)
        old, here = self._start.thing(origin) if origin is not None else None, self._now.thing(ino)
        if old is None or here is None:
            return  # the name of it is a conflict already
        if here.is_directory:
            here, old = here._replace(mtime_ns=0), old._replace(mtime_ns=0)
        if here != old:
            self._conflict_now("changed", ino)

    def _move_directories(self) -> None:
        """A directory has one name: one that gets another loses that which it has."""
        for ino in list(self._gained):
            if not self._is_directory(ino) or ino in self._lost:
                continue
            for name in self._now.names(ino):
                self._conflict("renamed", *name)
                self.plan.names[name] = None
                self._take(name, ino)

    def _check_places(self) -> None:
        """Every directory must hang on the root still."""
        above: dict[int, int] = {}
        for (directory, name), wanted in self.plan.names.items():
            if wanted is not None:
                if directory in self.plan.dying:
                    self._conflict("inside itself", directory, name)
                above[wanted] = directory
        for (directory, name), wanted in self.plan.names.items():
            seen = set()
            at = wanted if wanted is not None else ROOT_INO
            while at not in (ROOT_INO, 0) and at not in seen:
                seen.add(at)
                at = above[at] if at in above else self._now.parent(at)
            if at in seen:
                self._conflict("inside itself", directory, name)

    # Conflicts

    def _conflict(self, why: Why, directory: int, name: bytes) -> None:
        self.plan.conflicts[Conflict(why, directory, name)] = None

    def _conflict_at(self, why: Why, ino: int) -> None:
        self._conflict(why, *next(iter(self._start.names(ino)), (ROOT_INO, b"")))

    def _conflict_now(self, why: Why, ino: int) -> None:
        names = self._lost.get(ino) or self._now.names(ino)
        self._conflict(why, *next(iter(names), (ROOT_INO, b"")))
