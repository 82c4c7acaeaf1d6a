"""A directory that is read bit by bit while it changes."""

from dataclasses import dataclass, field


@dataclass
class Listing:
    """`always` are the names that were there all the time, `ever` those that were there at any; `given` by place."""

    number: int
    always: set[bytes]
    ever: set[bytes]
    given: list[list[bytes]] = field(default_factory=lambda: [[], []])
