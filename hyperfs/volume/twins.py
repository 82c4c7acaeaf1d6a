"""Who is who in the three-way comparison: which inode of `now` is what an inode of `start` or `goal` has become. Pure.

Inode numbers are never given out twice, so what an earlier undo brought back has another number than `start` knows.
The **twin** of an inode is itself where it still is, else what stands in its place now.
"""

from hyperfs.volume.differing import Pair
from hyperfs.volume.sides import Name, Side
from hyperfs.volume.undo_plan import Plan


class Twins:
    """Remembers what it has found. Directories that must be made are put into the plan as they are asked for."""

    def __init__(self, start: Side, goal: Side, now: Side, names: dict[Name, Pair], plan: Plan) -> None:
        """`names`: those of the step, with what they mean in `start` and `goal`."""
        self._start, self._goal, self._now = start, goal, now
        self._names = names
        self._plan = plan
        self._of: dict[int, int | None] = {}
        self.homes: dict[int, int | None] = {}
        self.stands_for: dict[int, int] = {}
        """By number in `now`, of twins that are another inode."""

    def twin(self, ino: int) -> int | None:
        """What an inode of `start` or `goal` is in `now`, if it is there."""
        if ino in self._of:
            return self._of[ino]
        if self._now.thing(ino) is not None:
            self._of[ino] = ino
            return ino
        self._of[ino] = None
        if self._start.thing(ino) is not None:
            for directory, name in self._start.names(ino):
                home = self.home(directory)
                found = self._standing(ino, home, name) if home is not None else None
                if found is not None:
                    self._of[ino] = found
                    self.stands_for[found] = ino
                    break
        return self._of[ino]

    def _standing(self, ino: int, home: int, name: bytes) -> int | None:
        """What has the name of a lost inode of `start` now, if it can stand for it."""
        found = self._now.entry(home, name) if home > 0 else None
        if found is None or self._start.thing(found) is not None:
            return None  # one that was there at `start` stands for itself only
        here, there = self._now.thing(found), self._start.thing(ino)
        return found if here is not None and there is not None and here.mode >> 12 == there.mode >> 12 else None

    def home(self, directory: int) -> int | None:
        """The directory that will be what `directory` is in `start` or `goal`: one of `now`, one to be made, or none,
        where it is gone for good. One to be made gets its name, and so do all above it."""
        waiting = [directory]
        begun: set[int] = set()
        while waiting:
            at = waiting[-1]
            if at not in self.homes and self._now.thing(at) is not None:
                self.homes[at] = at
            if at not in self.homes:
                missing = [] if at in begun else [up for up in self._above(at) if up not in self.homes.keys() | begun]
                begun.add(at)
                if missing:
                    waiting += missing
                    continue
                self.homes[at] = self._settle(at)
            waiting.pop()
        return self.homes[directory]

    def _above(self, directory: int) -> list[int]:
        return [name[0] for side in (self._start, self._goal) for name in side.names(directory)[:1]]

    def _settle(self, directory: int) -> int | None:
        """The home of a directory that is not in `now`, when those of the ones above it are known."""
        for side in (self._start, self._goal):
            for name in side.names(directory)[:1]:
                found = self._merged(directory, name)
                if found is not None:
                    self.stands_for.setdefault(found, directory)
                    return found
        names = self._goal.names(directory)
        above = self.homes.get(names[0][0]) if names else None
        if above is None:
            return None
        name = names[0]
        if self._start.thing(directory) is not None:
            self._plan.add_conflict("gone", *name)
        elif above > 0 and name not in self._names and self._now.entry(above, name[1]) is not None:
            self._plan.add_conflict("renamed", *name)
        self._plan.names[above, name[1]] = -directory
        return -directory

    def _merged(self, directory: int, name: Name) -> int | None:
        """The directory that has the name now: brought back before, or made anew by somebody; what comes goes in there.
        None where it is another one's."""
        above = self.homes.get(name[0])
        found = self._now.entry(above, name[1]) if above is not None and above > 0 else None
        stood, _ = self._names.get(name, (directory, None))
        if found is None or self._start.thing(found) is not None or stood not in (None, directory):
            return None
        return found if is_directory(self._now, found) else None


def is_directory(side: Side, ino: int) -> bool:
    thing = side.thing(ino)
    return thing is not None and thing.is_directory
