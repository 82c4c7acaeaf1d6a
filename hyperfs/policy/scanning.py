"""Programs that look at everything: thumbnailers, indexers, `grep -r`. What they read must not all come home. Pure.

A program is an executable in a cgroup, however many processes it takes: each photo may be looked at by another one.
Within ten minutes it may bring back 200 files or 200 MiB; from then on what it reads is streamed, slowly, and not kept,
until it has been quieter for as long.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, NamedTuple

WINDOW_SECONDS: Final = 600.0
MOST_BYTES: Final = 200 << 20
MOST_FILES: Final = 200
SLICES: Final = 10
"""The window is counted in so many slices, and moves on by one of them."""
PROGRAMS_MOST: Final = 200
STREAM_BYTES_PER_SECOND: Final = 32 << 20


class Program(NamedTuple):
    """`executable`: its path, empty where the process was gone before it could be asked."""

    executable: str
    cgroup: str

    @property
    def name(self) -> str:
        return self.executable.rpartition("/")[2] or "a program that has ended"


@dataclass
class _Slice:
    number: int
    nbytes: int = 0
    files: set[int] = field(default_factory=set)


class Scans:
    """What each program has read that was not here. Times are seconds of any clock that goes on."""

    def __init__(self) -> None:
        self._slices: OrderedDict[Program, list[_Slice]] = OrderedDict()  # least lately seen first
        self.allowed: set[str] = set()
        """Executables, or their names without the folder, that may bring back what they like."""

    def note(self, program: Program, file: int, nbytes: int, now: float) -> None:
        """A program reads so many bytes of a file that are not here."""
        slices = self._slices.setdefault(program, [])
        self._slices.move_to_end(program)
        number = int(now / WINDOW_SECONDS * SLICES)
        if not slices or slices[-1].number != number:
            slices.append(_Slice(number))
            del slices[: -SLICES - 1]
        slices[-1].nbytes += nbytes
        if len(slices[-1].files) <= MOST_FILES:
            slices[-1].files.add(file)
        if len(self._slices) > PROGRAMS_MOST:
            self._slices.popitem(last=False)

    def is_scan(self, program: Program, now: float) -> bool:
        """Whether it is past what a program may bring back in a while."""
        if self.is_allowed(program):
            return False
        nbytes, files = self._counts(program, now)
        return nbytes > MOST_BYTES or files > MOST_FILES

    def is_allowed(self, program: Program) -> bool:
        return bool(program.executable) and bool(self.allowed & {program.executable, program.name})

    def scanning(self, now: float) -> list[tuple[Program, int, int]]:
        """The programs that are past it, with their bytes and files."""
        return [(program, *self._counts(program, now)) for program in self._slices if self.is_scan(program, now)]

    def _counts(self, program: Program, now: float) -> tuple[int, int]:
        oldest = int(now / WINDOW_SECONDS * SLICES) - SLICES
        recent = [found for found in self._slices.get(program, ()) if found.number > oldest]
        return sum(found.nbytes for found in recent), len(set().union(*(found.files for found in recent)))


class Sightings:
    """What programs open counts as use, unless they open too much: then none of it, of that while, does."""

    def __init__(self) -> None:
        self._files: dict[tuple[Program, int], dict[int, int]] = {}  # by program and window, files and their hours

    def note(self, program: Program, file: int, hour: int, now: float) -> None:
        """`hour`: what is remembered of it."""
        files = self._files.setdefault((program, int(now / WINDOW_SECONDS)), {})
        if len(files) <= MOST_FILES:
            files[file] = hour

    def settled(self, now: float, whole: bool = False) -> dict[int, int]:
        """The files, with the last hour, of windows that are over; `whole`: of all."""
        used: dict[int, int] = {}
        over = [at for at in self._files if whole or at[1] < int(now / WINDOW_SECONDS)]
        for at in over:
            files = self._files.pop(at)
            if len(files) <= MOST_FILES:
                for file, hour in files.items():
                    used[file] = max(hour, used.get(file, 0))
        return used
