"""What differs between two trees in a part of them: the changes that a step made below a folder.

Pure. A name belongs to the part where its directory lies in it, in either tree. A thing that was moved into it or out
of it belongs to it with both its names, or taking the move back would lose it, or leave it twice.
"""

from dataclasses import dataclass, field

from hyperfs.volume.sides import Name, Side

Pair = tuple[int | None, int | None]
"""What a name meant in the one tree and means in the other."""


@dataclass
class Differing:
    """Names that mean another inode, and inodes that both trees have and that are not the same thing in both.

    Of the inodes some may turn out to differ in nothing that a `Thing` says.
    """

    names: dict[Name, Pair] = field(default_factory=dict)
    inodes: set[int] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.names or self.inodes)

    def reversed(self) -> "Differing":
        return Differing({name: (goal, start) for name, (start, goal) in self.names.items()}, set(self.inodes))


class Part:
    """Which directories of a tree lie at or below one of them; where there is no such, none does."""

    def __init__(self, side: Side, top: int | None) -> None:
        self._side = side
        self.top = top
        self._known: dict[int, bool] = {} if top is None else {top: True}
        self._known[0] = top == 0

    def has(self, directory: int) -> bool:
        climbed = []
        at = directory
        while at not in self._known:
            self._known[at] = False  # a circle, which no tree has, ends here
            climbed.append(at)
            at = self._side.parent(at)
        answer = self._known[at]
        for at in climbed:
            self._known[at] = answer
        return answer


@dataclass(frozen=True)
class Scope:
    """A path as two trees have it: the inode that it means in each, and in which directory under which name.

    `spot` is None for the root.
    """

    start: int | None
    goal: int | None
    spot: Name | None


def select(whole: Differing, start: Side, goal: Side, scope: Scope) -> Differing:
    """Of all that differs, what belongs to a path: what lies below it, and the path itself.

    One exception: that a folder at the path itself came into being stays, so that whoever stands in it and takes back
    all he did finds himself in an empty folder and not in one that is gone.
    """
    parts = (Part(start, scope.start), Part(goal, scope.goal))
    found = Differing()
    for name, pair in whole.names.items():
        if any(part.has(name[0]) for part in parts) or (name == scope.spot and _counts(pair, start, goal)):
            found.names[name] = pair
    _add_moves(found, whole)
    for ino in whole.inodes:
        if any(_lies_in(ino, side, part) for side, part in zip((start, goal), parts, strict=True)):
            found.inodes.add(ino)
    return found


def _counts(pair: Pair, start: Side, goal: Side) -> bool:
    """Whether the path's own name counts: not where a folder is there on one side only, unless it is to come back."""
    old, new = pair
    if new is None and old is not None:
        thing = start.thing(old)
        return thing is None or not thing.is_directory
    return True


def _add_moves(found: Differing, whole: Differing) -> None:
    """The other names of what lost one here and got one there, or the reverse; and so on for what these displaced."""
    by_ino: dict[int, list[Name]] = {}
    for name, pair in whole.names.items():
        if name not in found.names:
            for ino in pair:
                if ino is not None:
                    by_ino.setdefault(ino, []).append(name)
    waiting = [(ino, side) for pair in found.names.values() for side, ino in enumerate(pair) if ino is not None]
    while waiting and by_ino:
        ino, side = waiting.pop()
        for name in by_ino.get(ino, ()):
            pair = whole.names[name]
            if name not in found.names and pair[1 - side] == ino:
                found.names[name] = pair
                waiting += [(other, at) for at, other in enumerate(pair) if other is not None]


def _lies_in(ino: int, side: Side, part: Part) -> bool:
    """By the directory that its record names: looking for further names would mean to walk the drive."""
    return ino == part.top or part.has(side.parent(ino))
