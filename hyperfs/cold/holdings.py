"""What lies where in one place: its objects, by the blocks that are in them. Pure: what was listed and proven."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence

from sortedcontainers import SortedDict

from hyperfs.cold.object_format import BLOCKS_MOST, Name, Run, head_bytes

DAY_NS = 24 * 3600 * 10**9
PROOF_NS = 30 * DAY_NS
"""So long a proof counts."""
RENEW_NS = 20 * DAY_NS
"""From this age on it is made anew."""


class Held:
    """An object of a place. There are many: it takes 640 bytes, the map included. `size` and `tag` are as listed.
    `proven_ns`: when it was last proven, 0 for never. `noted`: a number that counts up with every change, so that a
    list that was begun earlier takes nothing away."""

    __slots__ = ("_runs", "_tag", "log", "name", "noted", "proven_ns", "size")

    def __init__(
        self, log: int, name: Name, size: int, tag: str, runs: tuple[Run, ...] | None = None, proven_ns: int = 0
    ) -> None:
        self.log = log
        self.name = name
        self.size = size
        self.tag = tag
        self.runs = runs
        self.proven_ns = proven_ns
        self.noted = 0

    @property
    def runs(self) -> tuple[Run, ...] | None:
        """The blocks in it; None while that is not known, of one that has gaps and was only listed."""
        return ((self.name.first, self.name.end),) if self.name.is_full else self._runs

    @runs.setter
    def runs(self, runs: tuple[Run, ...] | None) -> None:
        self._runs = None if self.name.is_full else runs

    @property
    def tag(self) -> str:
        """What the store calls it."""
        return self.name.md5 if self._tag is None else self._tag

    @tag.setter
    def tag(self, tag: str) -> None:
        self._tag = None if tag == self.name.md5 else tag

    def is_proven(self, now_ns: int) -> bool:
        """A proof from the future counts for nothing: the clock was wrong then, or is now."""
        return self.runs is not None and 0 <= now_ns - self.proven_ns < PROOF_NS

    def has(self, block: int) -> bool:
        return self.runs is not None and any(first <= block < end for first, end in self.runs)


def whole_size(held: Held, size: Callable[[int, int], int]) -> int:
    """The bytes that an object must have, by the sizes of the log's blocks. ValueError while its runs are not known."""
    if held.runs is None:
        raise ValueError("which blocks are in the object is not known")
    return head_bytes(held.name.end - held.name.first) + sum(size(*run) for run in held.runs)


def locate(held: Held, first: int, end: int, size: Callable[[int, int], int]) -> Run:
    """The bytes [start, stop) of an object in which blocks [first, end) lie, all of them in one of its runs."""
    at = head_bytes(held.name.end - held.name.first)
    for low, high in held.runs or ():
        if low <= first and end <= high:
            start = at + (size(low, first) if low < first else 0)
            return start, start + size(first, end)
        at += size(low, high)
    raise ValueError(f"blocks {first} to {end} are not in the object")


class Holdings:
    """Owned by the trio thread. Iterating gives all objects as they are at that moment, in no order; any thread may."""

    def __init__(self) -> None:
        self._logs: dict[int, SortedDict[Name, Held]] = {}
        self._count = 0

    def __len__(self) -> int:
        return sum(map(len, self._logs.values()))

    def __iter__(self) -> Iterator[Held]:
        for found in list(self._logs.values()):
            yield from list(dict.values(found))  # in one step, that nobody can come between, and quick for 100,000

    @property
    def now(self) -> int:
        """The number of the newest change."""
        return self._count

    def add(self, held: Held) -> None:
        """In place of one of the same name."""
        self._count += 1
        held.noted = self._count
        self._logs.setdefault(held.log, SortedDict())[held.name] = held

    def remove(self, held: Held) -> None:
        self._count += 1
        self._logs.get(held.log, {}).pop(held.name, None)

    def find(self, log: int, name: Name) -> Held | None:
        found = self._logs.get(log)
        held: Held | None = found.get(name) if found is not None else None
        return held

    def of(self, log: int) -> list[Held]:
        """Those of a log, by their first block."""
        return list(self._logs.get(log, {}).values())

    def overlapping(self, log: int, first: int, end: int) -> list[Held]:
        """Those that begin before `end` and end behind `first`."""
        found = self._logs.get(log)
        if found is None:
            return []
        low, high = Name(max(0, first - BLOCKS_MOST + 1), 0, 0, "", ""), Name(end, 0, 0, "", "")
        return [found[name] for name in found.irange(low, high) if name.end > first]

    def having(self, log: int, block: int) -> list[Held]:
        """Those in which a block is, proven or not, the largest first."""
        found = [held for held in self.overlapping(log, block, block + 1) if held.has(block)]
        return sorted(found, key=lambda held: -held.name.here)

    def are_proven(self, log: int, first: int, end: int, now_ns: int) -> bool:
        """Whether all of the blocks [first, end) are in proven objects."""
        return not self.missing(log, first, end, lambda held: held.is_proven(now_ns))

    def proofs_of(self, log: int, first: int, end: int, now_ns: int) -> list[Held]:
        """Proven objects that have these blocks between them, few of them."""
        found: list[Held] = []
        at = first
        while at < end:
            having = [held for held in self.having(log, at) if held.is_proven(now_ns)]
            if not having:
                return []
            best = max(having, key=lambda held: _end_of(held, at))
            found.append(best)
            at = _end_of(best, at)
        return found

    def missing(
        self, log: int, first: int, end: int, counts: Callable[[Held], bool] = lambda held: True
    ) -> list[Run]:
        """The runs of [first, end) that no object has. One of which only the name is known counts as whole."""
        runs = (
            run
            for held in self.overlapping(log, first, end)
            if counts(held)
            for run in (held.runs if held.runs is not None else ((held.name.first, held.name.end),))
        )
        return list(without([(first, end)], runs))


def _end_of(held: Held, block: int) -> int:
    return next((end for first, end in held.runs or () if first <= block < end), block)


def within(runs: Sequence[Run], first: int, end: int) -> Sequence[Run]:
    """Of runs that are ascending and apart, those that have something of [first, end)."""
    low = bisect_right(runs, first, key=lambda run: run[1])
    high = bisect_left(runs, end, key=lambda run: run[0])
    return runs[low:high]


def without(runs: Iterable[Run], taken: Iterable[Run]) -> Iterator[Run]:
    """What is left of ascending runs when others, in any order, are taken out."""
    sorted_taken = sorted(taken)
    for first, end in runs:
        at = first
        for low, high in sorted_taken:
            if high <= at:
                continue
            if low >= end:
                break
            if low > at:
                yield at, low
            at = max(at, high)
        if at < end:
            yield at, end
