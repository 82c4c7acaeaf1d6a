"""What a power cut may leave of a recording: pure, from steps to the bytes of files.

The rules are those of the weakest filesystem that keeps its word on sync: of what no sync has covered, any part may
be on the disk, in any order. A write may be torn between sectors of 512 bytes; its file may have grown with zeros,
or with what lay on the disk before, in the place of bytes that did not arrive; names that were made, moved and
removed in a folder that was not synced may be as before. A rename is whole or not at all.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .recording import FileStep, Mark, Name, NameStep, Punch, Recording, Rename, Resize, Step, Synced, Write

SECTOR = 512
PAGE = 4096


@dataclass(frozen=True)
class Image:
    """A file's bytes: `data`, and zeros up to `size`."""

    data: bytes = b""
    size: int = 0


State = dict[str, Image]
"""The files of a store by name."""


@dataclass(frozen=True)
class Kept:
    """What is on the disk of a step. `pieces`: byte ranges of a write or hole, from its start.

    `grown`: the file is as long as if all were there; `stale`, filled with this in the place of zeros.
    """

    pieces: tuple[tuple[int, int], ...] = ()
    grown: bool = False
    stale: bytes = b""


NOTHING = Kept()
WHOLE = Kept(((0, 1 << 62),), True)


@dataclass
class Plan:
    """One choice among what may be left. `keep` says what of each step; `ordered` puts a file's writes in order."""

    name: str
    keep: Callable[[int, Step], Kept]
    ordered: Callable[[list[int]], list[int]] = list


class Disk:
    """The disk after so many steps: what is there for sure, and what waits for a sync."""

    def __init__(self, base: State, recording: Recording, names: dict[str, int]) -> None:
        """`names` are the numbers of the base's files."""
        self._steps = recording.steps
        self._images = {names[name]: image for name, image in base.items()}
        self._names = dict(names)
        self.pending: dict[int, FileStep | NameStep] = {}

    def advance(self, number: int) -> None:
        """The step with this number is under way, or, if it is a sync, has returned."""
        step = self._steps[number]
        if isinstance(step, Synced):
            covered = {n: self.pending.pop(n) for n in sorted(step.covers) if n in self.pending}
            for file, written in by_file(covered).items():
                self._images[file] = apply(self._images.get(file, Image()), [(s, WHOLE) for _, s in written])
            rename(self._names, [s for _, s in sorted(covered.items()) if isinstance(s, Name | Rename)])
        elif not isinstance(step, Mark):
            self.pending[number] = step

    def marks(self, point: int) -> int:
        """The number of the newest mark before a step."""
        return max((n for n in range(point) if isinstance(self._steps[n], Mark)), default=-1)

    def left(self, plan: Plan) -> State:
        """What the plan leaves."""
        images = dict(self._images)
        for file, steps in by_file(self.pending).items():
            chosen = dict(steps)
            order = plan.ordered([number for number, _ in steps])
            if any(isinstance(step, Resize) for _, step in steps):
                order = sorted(order)  # a shorter file is never longer again by a write from before
            images[file] = apply(images.get(file, Image()), [(chosen[n], plan.keep(n, chosen[n])) for n in order])
        names = dict(self._names)
        moves = [(n, s) for n, s in self.pending.items() if isinstance(s, Name | Rename)]
        rename(names, [step for number, step in moves if plan.keep(number, step) is not NOTHING])
        return {name: images.get(file, Image()) for name, file in names.items()}


def by_file(steps: dict[int, FileStep | NameStep]) -> dict[int, list[tuple[int, FileStep]]]:
    found: dict[int, list[tuple[int, FileStep]]] = {}
    for number, step in sorted(steps.items()):
        if isinstance(step, FileStep):
            found.setdefault(step.file, []).append((number, step))
    return found


def rename(names: dict[str, int], steps: list[NameStep]) -> None:
    for step in steps:
        if isinstance(step, Rename):
            if names.get(step.old) == step.file:  # else its making was not kept
                names[step.new] = names.pop(step.old)
        elif step.file is None:
            names.pop(step.name, None)
        else:
            names[step.name] = step.file


def apply(image: Image, steps: list[tuple[FileStep, Kept]]) -> Image:
    if all(kept is NOTHING for _, kept in steps):
        return image
    data, size = bytearray(image.data), image.size
    for step, kept in steps:
        if kept is NOTHING:
            continue
        if isinstance(step, Resize):
            size = max(size, step.size) if step.growing else step.size
            del data[size:]
            continue
        length = len(step.data) if isinstance(step, Write) else step.length
        end = step.offset + length
        if isinstance(step, Write) and kept.grown and end > size:
            put(data, size, (kept.stale * ((end - size) // max(1, len(kept.stale)) + 1))[: end - size])
            size = end
        for start, stop in kept.pieces:
            stop = min(stop, length)
            if isinstance(step, Write):
                put(data, step.offset + start, step.data[start:stop])
                size = max(size, step.offset + stop)
            else:
                put(data, step.offset + start, bytes(max(0, min(stop, size - step.offset) - start)))
    return Image(bytes(data).rstrip(b"\0"), size)


def put(data: bytearray, offset: int, piece: bytes) -> None:
    """Zeros at the end are left away: journals and disks are full of them."""
    if offset + len(piece) <= len(data):
        data[offset : offset + len(piece)] = piece
        return
    del data[offset:]
    if piece := piece.rstrip(b"\0"):
        data.extend(bytes(offset - len(data)))
        data.extend(piece)


# Plans


def nothing() -> Plan:
    return Plan("nothing that was not synced", lambda number, step: NOTHING)


def everything() -> Plan:
    return Plan("everything", lambda number, step: WHOLE)


def all_but(one: int, kept: Kept = NOTHING, how: str = "") -> Plan:
    return Plan(f"all but {one}{how}", lambda number, step: kept if number == one else WHOLE)


def only(one: int, kept: Kept = WHOLE, how: str = "") -> Plan:
    return Plan(f"only {one}{how}", lambda number, step: kept if number == one else NOTHING)


def at_random(seed: str) -> Plan:
    """Anything: each step by itself whole, torn, grown or not there; sometimes a file's writes in another order."""
    rng = random.Random(seed)

    def keep(number: int, step: Step) -> Kept:
        rng = random.Random(f"{seed} {number}")
        dice = rng.random()
        if dice < 0.35:
            return NOTHING
        if dice < 0.6 or isinstance(step, NameStep | Resize):
            return WHOLE
        return torn(step, rng)

    def ordered(numbers: list[int]) -> list[int]:
        return rng.sample(numbers, len(numbers)) if rng.random() < 0.3 else numbers

    return Plan(f"random {seed}", keep, ordered)


def torn(step: Step, rng: random.Random) -> Kept:
    """A part of a write: its first or second half, or any of its sectors or pages."""
    assert isinstance(step, Write | Punch)
    pieces = list(cuts(step, rng.choice([SECTOR, PAGE])))
    how = rng.choice(["first", "second", "some", "none"])
    middle = rng.randrange(len(pieces) + 1)
    match how:
        case "first":
            pieces = pieces[:middle]
        case "second":
            pieces = pieces[middle:]
        case "some":
            pieces = [piece for piece in pieces if rng.random() < 0.5]
        case "none":
            pieces = []
    stale = rng.choice([b"", b"", rng.randbytes(97)])
    return Kept(tuple(pieces), rng.random() < 0.7, stale)


def halves(step: Step) -> Iterator[tuple[str, Kept]]:
    """Both halves of a step that can be torn, and growth alone."""
    if isinstance(step, Write | Punch):
        pieces = list(cuts(step, SECTOR))
        middle = (len(pieces) + 1) // 2
        if len(pieces) > 1:
            yield " (first half)", Kept(tuple(pieces[:middle]), False)
            yield " (second half)", Kept(tuple(pieces[middle:]), True)
        yield " (zeros)", Kept((), True)


def cuts(step: Write | Punch, unit: int) -> Iterator[tuple[int, int]]:
    """The byte ranges of a step that are one by one on the disk or not: units of the disk, not of the write."""
    length = len(step.data) if isinstance(step, Write) else step.length
    start = 0
    while start < length:
        stop = min(length, (step.offset + start) // unit * unit + unit - step.offset)
        yield start, stop
        start = stop


@dataclass
class Choice:
    """Which plans to try at each point."""

    seed: int
    samples: int = 1
    """Random plans at each point."""
    around_syncs: bool = True
    """Right before a sync returns or a promise is made, every single omission and every single survivor."""
    most_single: int = 12
    """Of so many steps that wait, the newest."""
    halves: int = 1
    """And of so many ways to tear each."""

    def plans(self, number: int, pending: dict[int, FileStep | NameStep], before: Step | None) -> Iterator[Plan]:
        yield everything()
        if not pending:
            return
        yield nothing()
        for sample in range(self.samples):
            yield at_random(f"{self.seed}/{number}/{sample}")
        if self.around_syncs and isinstance(before, Synced | Mark):
            steps = list(pending.items())[-self.most_single :]
            rng = random.Random(f"{self.seed}/{number}")
            for one, step in steps:
                yield all_but(one)
                yield only(one)
                for how, kept in rng.sample(found := list(halves(step)), min(self.halves, len(found))):
                    yield rng.choice([all_but, only])(one, kept, how)
