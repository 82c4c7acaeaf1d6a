"""What a follow did, and what it could not."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from hyperfs.follow.facts import Parts

MOST_NOTES: Final = 1000


@dataclass
class Counts:
    """Since the last version."""

    taken: int = 0
    moved: int = 0
    linked: int = 0
    changed: int = 0
    removed: int = 0
    bytes: int = 0

    def any(self) -> bool:
        return any((self.taken, self.moved, self.linked, self.changed, self.removed))

    def sum(self) -> int:
        return self.taken + self.moved + self.linked + self.changed + self.removed


@dataclass
class Report:
    """Collects; `told` hears of a note when it is new. Owned by the thread that compares."""

    told: Callable[[Parts, str], None]
    alive: Callable[[], None] = lambda: None
    """To be called at each piece of work: who hangs does not."""

    counts: Counts = field(default_factory=Counts)
    notes: dict[Parts, str] = field(default_factory=dict)
    """What could not be copied, until it can; not more than MOST_NOTES."""

    hints: set[tuple[Parts, str]] = field(default_factory=set)
    """What was told and keeps nothing from being copied."""

    seen: int = 0
    """Names that were compared."""
    unsaved: bool = False
    """Whether anything was done on the drive since its last version."""

    def hint(self, path: Parts, why: str) -> None:
        if (path, why) not in self.hints and len(self.hints) < MOST_NOTES:
            self.hints.add((path, why))
            self.told(path, why)

    def note(self, path: Parts, why: str) -> None:
        if self.notes.get(path) != why:
            if len(self.notes) < MOST_NOTES:
                self.notes[path] = why
            self.told(path, why)

    def fine(self, path: Parts) -> None:
        self.notes.pop(path, None)
