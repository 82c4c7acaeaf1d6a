"""The three-way comparison: how `now` becomes what it would be without a step, when more may have changed since.

Pure: three sides in, a plan out; `undo.py` carries it out. `start` is the tree as the step left it, `goal` the tree as
it was before, `differing` what of their differences the step counts for. For each name and for each property of an
inode: where `now` says what `start` says, it gets what `goal` says; where it says so already, nothing is to be done;
else somebody has changed it since, which is a conflict. All else in `now` stays.
"""

from collections import Counter
from typing import TypeVar

from hyperfs.values import ROOT_INO
from hyperfs.volume.differing import Differing
from hyperfs.volume.sides import Name, Side, Thing, Xattrs
from hyperfs.volume.twins import Twins, is_directory
from hyperfs.volume.undo_plan import Plan, Rewrite, Why

T = TypeVar("T")

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
        self._twins = Twins(start, goal, now, differing.names, self.plan)
        self._lost: dict[int, list[Name]] = {}
        self._gained: Counter[int] = Counter()

    def _result(self, ino: int | None) -> int | None:
        """What a name that means `ino` in `goal` will mean."""
        if ino is None:
            return None
        thing = self._goal.thing(ino)
        if thing is not None and thing.is_directory:
            return self._twins.home(ino)
        twin = self._twins.twin(ino)
        return -ino if twin is None else twin

    # Names

    def plan_names(self) -> None:
        for (directory, name), (old, new) in self._differing.names.items():
            home = self._twins.home(directory)
            if home is None:
                continue  # its folder is gone, and what was in it
            wanted = self._result(new)
            found = self._now.entry(home, name) if home > 0 else None
            expected = self._twins.twin(old) if old is not None else None
            if found == wanted or self._is_already(found, wanted):
                if found != wanted:
                    self.plan.names.pop((home, name), None)
                continue
            if found != expected or (old is not None and expected is None):
                self.plan.add_conflict("renamed" if found is not None else "gone", directory, name)
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
            old, new, twin = self._start.thing(ino), self._goal.thing(ino), self._twins.twin(ino)
            if old is None or new is None or old == new:
                continue
            here = self._now.thing(twin) if twin is not None else None
            if twin is None or here is None:
                if self._twins.homes.get(ino) is None and not self._is_made(ino):
                    self._conflict_at("gone", ino)
                continue
            merged = self._merge(ino, old, new, here)
            if here.is_directory:
                self.plan.attributes[twin] = merged  # even if it is that already: its names may change its times
            elif merged != here:
                self.plan.rewrites[twin] = Rewrite(merged, ino if merged.content != here.content else None)

    def _is_made(self, ino: int) -> bool:
        return any(self.plan.names.get((self._twins.homes.get(d) or 0, n)) == -ino for d, n in self._goal.names(ino))

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
            if ino in self._twins.stands_for and not is_directory(self._now, ino):
                self._check_unchanged(ino)  # another file than the one that was there: is it the same thing?
        dying = self.plan.dying
        waiting = list(self._lost)
        for ino in waiting:  # grows while it is gone through
            if ino in dying or not self._dies(ino):
                continue
            dying.add(ino)
            self._check_unchanged(ino)
            if is_directory(self._now, ino):
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

    def _empty(self, directory: int) -> list[int]:
        """What is in a directory that goes, goes too, but for what is moved out. Returns whom that took a name."""
        more: list[int] = []
        for name, ino in self._now.entries(directory):
            if (directory, name) in self.plan.names:
                continue
            self.plan.add_conflict("added", directory, name)
            self.plan.names[directory, name] = None
            self._take((directory, name), ino)
            more.append(ino)
        return more

    def _check_unchanged(self, ino: int) -> None:
        """What goes must be what the step made: else bytes would go that it does not count for."""
        origin = ino if self._start.thing(ino) is not None else self._twins.stands_for.get(ino)
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
            if not is_directory(self._now, ino) or ino in self._lost:
                continue
            for name in self._now.names(ino):
                self.plan.add_conflict("renamed", *name)
                self.plan.names[name] = None
                self._take(name, ino)

    def _check_places(self) -> None:
        """Every directory must hang on the root still."""
        above: dict[int, int] = {}
        for (directory, name), wanted in self.plan.names.items():
            if wanted is not None:
                if directory in self.plan.dying:
                    self.plan.add_conflict("inside itself", directory, name)
                above[wanted] = directory
        for (directory, name), wanted in self.plan.names.items():
            seen = set()
            at = wanted if wanted is not None else ROOT_INO
            while at not in (ROOT_INO, 0) and at not in seen:
                seen.add(at)
                at = above[at] if at in above else self._now.parent(at)
            if at in seen:
                self.plan.add_conflict("inside itself", directory, name)

    # Conflicts

    def _conflict_at(self, why: Why, ino: int) -> None:
        self.plan.add_conflict(why, *next(iter(self._start.names(ino)), (ROOT_INO, b"")))

    def _conflict_now(self, why: Why, ino: int) -> None:
        names = self._lost.get(ino) or self._now.names(ino)
        self.plan.add_conflict(why, *next(iter(names), (ROOT_INO, b"")))
