"""A drive of dictionaries, for the three-way comparison: its operations, its sides, and how a plan is carried out."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field

from hyperfs.volume.differing import Differing, Scope, select
from hyperfs.volume.sides import Name, Thing
from hyperfs.volume.three_way import plan
from hyperfs.volume.undo_plan import Plan

ROOT = 1
FOLDER, FILE = 0o040755, 0o100644
Seen = tuple[Thing, tuple[bytes, ...]]


@dataclass
class Drive:
    """Inodes and names. Every change takes a time of its own."""

    things: dict[int, Thing] = field(default_factory=lambda: {ROOT: Thing(FOLDER, 0, 0, 0, 0, None, ())})
    dentries: dict[Name, int] = field(default_factory=dict)
    next_ino: int = 2
    clock: int = 0

    def copy(self) -> "Drive":
        return deepcopy(self)

    # A side

    def thing(self, ino: int) -> Thing | None:
        return self.things.get(ino)

    def names(self, ino: int) -> list[Name]:
        return sorted(name for name, other in self.dentries.items() if other == ino)

    def parent(self, ino: int) -> int:
        return next((directory for directory, _ in self.names(ino)), 0)

    def entry(self, directory: int, name: bytes) -> int | None:
        return self.dentries.get((directory, name))

    def entries(self, directory: int) -> Iterator[tuple[bytes, int]]:
        return ((name, ino) for (where, name), ino in sorted(self.dentries.items()) if where == directory)

    def links(self, ino: int) -> int:
        return len(self.names(ino))

    # What programs do. What makes no sense does nothing.

    def find(self, path: bytes) -> int | None:
        ino: int | None = ROOT
        for name in filter(None, path.split(b"/")):
            ino = self.entry(ino, name) if ino is not None else None
        return ino

    def _spot(self, path: bytes) -> Name | None:
        above, _, name = path.rpartition(b"/")
        directory = self.find(above)
        if directory is None or not self.things[directory].is_directory or not name:
            return None
        return directory, name

    def _now(self) -> int:
        self.clock += 1
        return self.clock

    def _touch(self, ino: int, **fields: object) -> None:
        self.things[ino] = self.things[ino]._replace(mtime_ns=self._now(), **fields)  # type: ignore[arg-type]

    def _make(self, path: bytes, mode: int, content: object) -> None:
        spot = self._spot(path)
        if spot is None or spot in self.dentries:
            return
        self.things[self.next_ino] = Thing(mode, 0, 0, 0, self._now(), content, ())  # type: ignore[arg-type]
        self.dentries[spot] = self.next_ino
        self.next_ino += 1
        self._touch(spot[0])

    def mkdir(self, path: bytes) -> None:
        self._make(path, FOLDER, None)

    def write(self, path: bytes, content: object) -> None:
        ino = self.find(path)
        if ino is None:
            self._make(path, FILE, content)
        elif not self.things[ino].is_directory:
            self._touch(ino, content=content)

    def chmod(self, path: bytes, mode: int) -> None:
        ino = self.find(path)
        if ino is not None:
            self.things[ino] = self.things[ino]._replace(mode=self.things[ino].mode & ~0o777 | mode)

    def set_xattr(self, path: bytes, name: bytes, value: bytes | None) -> None:
        ino = self.find(path)
        if ino is not None:
            xattrs = dict(self.things[ino].xattrs) | ({} if value is None else {name: value})
            if value is None:
                xattrs.pop(name, None)
            self.things[ino] = self.things[ino]._replace(xattrs=tuple(sorted(xattrs.items())))

    def link(self, old: bytes, new: bytes) -> None:
        ino, spot = self.find(old), self._spot(new)
        if ino is None or spot is None or spot in self.dentries or self.things[ino].is_directory:
            return
        self.dentries[spot] = ino
        self._touch(spot[0])

    def remove(self, path: bytes) -> None:
        """With all below it."""
        spot = self._spot(path)
        if spot is None or spot not in self.dentries:
            return
        ino = self.dentries[spot]
        if self.things[ino].is_directory:
            for name, _ in list(self.entries(ino)):
                self.remove(path + b"/" + name)
        del self.dentries[spot]
        if not self.names(ino):
            del self.things[ino]
        self._touch(spot[0])

    def rename(self, old: bytes, new: bytes) -> None:
        source, target = self._spot(old), self._spot(new)
        if source is None or target is None or source not in self.dentries:
            return
        ino, at = self.dentries[source], target[0]
        if self.things[ino].is_directory:
            while at:
                if at == ino:
                    return
                at = self.parent(at)
        if self.dentries.get(target) == ino or (target in self.dentries and self.things[ino].is_directory):
            return
        if target in self.dentries and self.things[self.dentries[target]].is_directory:
            return
        self.remove(new)
        self.dentries[target] = self.dentries.pop(source)
        self._touch(source[0])
        self._touch(target[0])

    # What can be seen

    def view(self, below: bytes = b"") -> dict[bytes, Seen]:
        """By path what is there, with all paths of the same inode. Fails where the drive makes no sense."""
        paths: dict[bytes, int] = {b"": ROOT}
        waiting = [(ROOT, b"")]
        while waiting:
            ino, path = waiting.pop()
            assert self.things[ino].is_directory
            for name, child in self.entries(ino):
                at = path + b"/" + name if path else name
                assert len(paths) < 1000, "a folder inside itself"
                paths[at] = child
                if self.things[child].is_directory:
                    waiting.append((child, at))
        assert set(paths.values()) == set(self.things), "something hangs on no name"
        assert len(paths) == len(self.dentries) + 1, "a name in a folder that is not there"
        folders = [ino for ino in paths.values() if self.things[ino].is_directory]
        assert len(folders) == len(set(folders)), "a folder with two names"
        twins: dict[int, list[bytes]] = {}
        for path, ino in paths.items():
            twins.setdefault(ino, []).append(path)
        return {
            path: (self.things[ino], tuple(sorted(twins[ino])))
            for path, ino in paths.items()
            if not below or path == below or path.startswith(below + b"/")
        }


def everything(start: Drive, goal: Drive) -> Differing:
    names = {
        name: (start.dentries.get(name), goal.dentries.get(name))
        for name in start.dentries.keys() | goal.dentries.keys()
        if start.dentries.get(name) != goal.dentries.get(name)
    }
    both = start.things.keys() & goal.things.keys()
    return Differing(names, {ino for ino in both if start.things[ino] != goal.things[ino]})


def changes_below(before: Drive, after: Drive, path: bytes) -> Differing:
    """What a step changed at and below a path, in the direction of an undo."""
    if not path:
        return everything(after, before)
    above, _, name = path.rpartition(b"/")
    directory = after.find(above) or before.find(above)
    assert directory is not None
    return select(
        everything(after, before), after, before, Scope(after.find(path), before.find(path), (directory, name))
    )


def undone(before: Drive, after: Drive, now: Drive, path: bytes = b"") -> tuple[Drive, Plan]:
    """`now` without what changed below the path from `before` to `after`."""
    made = plan(after, before, now, changes_below(before, after, path))
    return carried_out(made, now, before), made


def redone(before: Drive, after: Drive, now: Drive, path: bytes = b"") -> tuple[Drive, Plan]:
    made = plan(before, after, now, changes_below(before, after, path).reversed())
    return carried_out(made, now, after), made


def carried_out(made: Plan, now: Drive, goal: Drive) -> Drive:
    result = now.copy()
    numbers: dict[int, int] = {}

    def new(thing: Thing) -> int:
        result.things[result.next_ino] = thing
        result.next_ino += 1
        return result.next_ino - 1

    def number(ino: int) -> int:
        if ino < 0 and ino not in numbers:
            numbers[ino] = new(goal.things[-ino])
        return numbers.get(ino, ino)

    for ino, rewrite in made.rewrites.items():
        numbers[ino] = new(rewrite.thing)
        for name in now.names(ino):
            result.dentries[name] = numbers[ino]
    for (directory, name), ino in made.names.items():
        if ino is None:
            result.dentries.pop((number(directory), name), None)
        else:
            result.dentries[number(directory), name] = number(ino)
    for directory, _ in made.names:
        if directory > 0:
            result._touch(directory)
    for ino, thing in made.attributes.items():
        result.things[ino] = thing
    for ino in {*made.dying, *made.rewrites}:
        del result.things[ino]
    return result
