"""The line of steps of a path, as an editor has it: what an undo takes back next, and what a redo does again. Pure.

Versions in which something changed below the path come newest first, each a plain change, an undo or a redo. Plain
ones with short pauses between them are one step. A step that was taken back is passed over; a plain change after an
undo ends the line of what could be done again, though it stays in history as everything does.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from hyperfs.volume.undo_record import UNDO, UndoRecord

PAUSE_NS: Final = 5_000_000_000
"""So long nothing changes between two steps."""
USUAL_NS: Final = 2_000_000_000
"""A version of an idle machine holds the changes of a second or so."""


class Span(NamedTuple):
    """A version in which something changed below the path.

    `before` is the kept version before it. Times in ns: `first` and `last` are those of the first and last change that
    are known, `began` that of the first change anywhere, 0 where nobody knows. A directory's time is that of its last
    change: where the version took long to come about, `first` may be much too late.
    """

    version: int
    before: int
    first: int
    last: int
    began: int = 0

    @property
    def earliest(self) -> int:
        """When its changes may have begun."""
        return self.first - max(0, self.last - self.began - USUAL_NS) if self.began else self.first


@dataclass(frozen=True)
class Step:
    """All that changed below a path after version `before` up to version `after`. Times in ns since 1970."""

    before: int
    after: int
    began_ns: int
    ended_ns: int
    versions: int
    taken_back: bool


class Line:
    """What the records of undos and redos say of a path. `found` are those that cover it, oldest first."""

    def __init__(self, found: Iterable[UndoRecord]) -> None:
        self._by_version: dict[int, UndoRecord] = {}
        self._standing: list[UndoRecord] = []  # newest first
        for record in sorted(found, reverse=True):
            self._by_version[record.version] = record
            # One that was itself taken back, as a change like any other from a folder above, says nothing any more.
            if not self.is_taken_back(record.version):
                self._standing.append(record)

    def record(self, version: int) -> UndoRecord | None:
        """What made a version, if it was an undo or a redo of the path, or of one above it."""
        return self._by_version.get(version)

    def last_word(self, version: int) -> UndoRecord | None:
        """The newest record that took back, or did again, what changed in a version."""
        return next((found for found in self._standing if found.before < version <= found.after), None)

    def is_taken_back(self, version: int) -> bool:
        word = self.last_word(version)
        return word is not None and word.kind == UNDO

    def steps(self, spans: Iterable[Span]) -> Iterator[Step]:
        """All steps, newest first, those that are taken back among them."""
        group: list[Span] = []
        word: UndoRecord | None = None  # the undo that took the group back
        broken = False
        for span in spans:
            if span.version in self._by_version:
                broken = True
                continue
            found = self.last_word(span.version)
            taken = found if found is not None and found.kind == UNDO else None
            if group and (broken or taken != word or (taken is None and not _joined(span, group[-1]))):
                yield _step(group, word is not None)
                group = []
            group.append(span)
            word, broken = taken, False
        if group:
            yield _step(group, word is not None)

    def next_redo(self, spans: Iterable[Span]) -> UndoRecord | None:
        """The record of the undo that a redo would do again; None when there is none, or a change came after it."""
        for span in spans:
            found = self._by_version.get(span.version)
            if found is None:
                return None
            if found.kind == UNDO and self.last_word(found.after) == found:
                return found
        return None


def _joined(older: Span, newer: Span) -> bool:
    return newer.earliest - older.last < PAUSE_NS


def _step(group: list[Span], taken_back: bool) -> Step:
    newest, oldest = group[0], group[-1]
    return Step(oldest.before, newest.version, oldest.first, newest.last, len(group), taken_back)
