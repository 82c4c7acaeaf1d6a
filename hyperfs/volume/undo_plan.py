"""What is to be done to `now` so that a step is taken back: the outcome of the three-way comparison. Pure.

A number below 0 is that of an inode of `goal`, negated, which is to be made.
"""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from hyperfs.volume.sides import Name, Thing

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

    def add_conflict(self, why: Why, directory: int, name: bytes) -> None:
        self.conflicts[Conflict(why, directory, name)] = None

    def __bool__(self) -> bool:
        return bool(self.names or self.rewrites or self.attributes)
