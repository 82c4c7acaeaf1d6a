"""The brake: when so much is lost in so short a time, nothing old may be let go any more. Pure: all times are given,
in nanoseconds, and are those of versions.

A **loss** is a file that a version had and whose bytes no longer stand anywhere: they were overwritten by what looks
encrypted, or deleted. Which files these are is found out by others; here it is counted when they are too many.

First a cheap number (`Window`): how many files that some version had were changed or removed in the last ten minutes.
Only where these are more than FILES anybody looks at the files themselves. Of many a part is looked at (`Sample`), and
each stands for as many.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

WINDOW_NS: Final = 600 * 10**9
FILES: Final = 500
"""More than so many have to be lost,"""
SHARE: Final = 5
"""and of a folder and all below it a part in so many."""
SAMPLED_MOST: Final = 4000
"""Files that are remembered at a time. A share of 20% is then told to within 2%."""
_MIX: Final = 0x9E37_79B9_7F4A_7C15  # 2^64 over the golden ratio: neighbouring numbers land far apart
_BITS: Final = 64
_WORD: Final = (1 << _BITS) - 1


@dataclass
class Stretch:
    """Versions [first, last], the last of `time_ns`: how many files that others had changed or went in them. `known`:
    somebody has looked which, and the number is right; else it may be too large."""

    first: int
    last: int
    time_ns: int
    files: float
    known: bool = False


@dataclass
class Window:
    """The last ten minutes, by the time of the newest version."""

    stretches: list[Stretch] = field(default_factory=list)

    @property
    def last(self) -> int:
        """The newest version in it."""
        return self.stretches[-1].last if self.stretches else 0

    @property
    def is_suspicious(self) -> bool:
        return sum(stretch.files for stretch in self.stretches) > FILES

    @property
    def unknown(self) -> list[Stretch]:
        return [stretch for stretch in self.stretches if not stretch.known and stretch.files]

    def add(self, stretch: Stretch) -> None:
        """What came behind all others; what is older than the window goes."""
        self.stretches.append(stretch)
        self.forget(stretch.time_ns - WINDOW_NS)

    def forget(self, until_ns: int) -> None:
        self.stretches = [stretch for stretch in self.stretches if stretch.time_ns >= until_ns]

    def learn(self, stretch: Stretch, found: Iterable[Stretch]) -> None:
        """Puts what was found out in place of a stretch."""
        at = self.stretches.index(stretch)
        self.stretches[at : at + 1] = [replace(part, known=True) for part in found]


class Touched(NamedTuple):
    """A file that was changed or lost a name, first in the version behind `before`, at `first_ns`, last at `last_ns`.

    `directory` and `name`: where it was then; the name is empty while it kept it.
    """

    ino: int
    directory: int
    name: bytes
    before: int
    first_ns: int
    last_ns: int


class Sample:
    """Of the files that were touched in the window a part, chosen by their numbers, so that a file which is touched
    twice is one. The part is halved when there are too many."""

    def __init__(self, most: int = SAMPLED_MOST) -> None:
        self._most = most
        self._halved = 0
        self._files: dict[int, Touched] = {}

    def __iter__(self) -> Iterator[Touched]:
        return iter(self._files.values())

    def __len__(self) -> int:
        return len(self._files)

    @property
    def scale(self) -> int:
        """Each file stands for so many."""
        return 1 << self._halved

    def add(self, found: Touched) -> None:
        if not self._takes(found.ino):
            return
        known = self._files.get(found.ino)
        if known is not None and found.last_ns - known.first_ns <= WINDOW_NS:
            found = found._replace(before=known.before, first_ns=known.first_ns)
            if not found.name:
                found = found._replace(directory=known.directory, name=known.name)
        self._files[found.ino] = found
        while len(self._files) > self._most:
            self._halved += 1
            self._files = {ino: file for ino, file in self._files.items() if self._takes(ino)}

    def forget(self, until_ns: int) -> None:
        """Those that were touched last before a time."""
        self._files = {ino: file for ino, file in self._files.items() if file.last_ns >= until_ns}
        if not self._files:
            self._halved = 0

    def _takes(self, ino: int) -> bool:
        return (ino * _MIX & _WORD) >> (_BITS - self._halved) == 0


class Loss(NamedTuple):
    """A file that is lost: `folders` are the one that it was in and all above it that stand now, nearest first."""

    folders: tuple[int, ...]
    deleted: bool
    before: int


class Alarm(NamedTuple):
    """Of the `of` files in a folder and below it `lost` are lost, `deleted` of them without anything in their place.
    All were there in version `before`."""

    folder: int
    lost: int
    deleted: int
    of: int
    before: int


def alarm(losses: Iterable[Loss], scale: int, files_below: Callable[[int, int], int]) -> Alarm | None:
    """Of the folders in which too much was lost the one with most of it; of several the deepest. None for none.

    `files_below`: how many files a folder and all below it had, counted no further than a number.
    """
    losses = list(losses)
    lost, deep = Counter[int](), dict[int, int]()
    for loss in losses:
        for above, folder in enumerate(reversed(loss.folders)):
            lost[folder] += 1
            deep[folder] = above
    for folder in sorted(lost, key=lambda folder: (-lost[folder], -deep[folder])):
        number = lost[folder] * scale
        if number <= FILES:
            return None
        of = files_below(folder, number * SHARE + 1)
        if of <= number * SHARE:
            inside = [loss for loss in losses if folder in loss.folders]
            deleted = sum(loss.deleted for loss in inside) * scale
            return Alarm(folder, number, deleted, max(of, number), min(loss.before for loss in inside))
    return None
