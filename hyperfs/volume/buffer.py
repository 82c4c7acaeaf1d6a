"""Bytes that a program wrote and that no chunk holds yet: sorted runs that never overlap, per file. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from operator import itemgetter
from typing import Final

Bytes = bytes | bytearray | memoryview
Run = tuple[int, bytes | bytearray]
_start = itemgetter(0)
_JOIN_LIMIT_BYTES: Final = 1 << 20
_LARGE_BYTES: Final = 64 << 10
"""A write of this size is kept as it came, without a copy, as a run of its own."""


class DirtyBytes:
    """Runs of unsaved bytes. The newest write wins; `fill` puts bytes under what is there.

    Also keeps which stretches no journal record holds yet (`unjournaled`), as [start, end) pairs. All offsets
    are bytes from the start of the file.
    """

    __slots__ = ("_runs", "_starts", "nbytes", "unjournaled")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._runs: list[bytes | bytearray] = []
        self.nbytes = 0
        self.unjournaled: list[tuple[int, int]] = []

    def __bool__(self) -> bool:
        return bool(self._starts)

    @property
    def runs(self) -> list[Run]:
        """The runs in order of offset. They are the buffer's own: copy what must stay."""
        return list(zip(self._starts, self._runs, strict=True))

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Puts `data` over what is there. A large `bytes` is kept, not copied; a small one extends its run."""
        end = offset + len(data)
        if not len(data):
            return
        self._note(offset, end)
        position = bisect_right(self._starts, offset) - 1
        if position >= 0 and len(data) < _LARGE_BYTES:
            start, run = self._starts[position], self._runs[position]
            run_end = start + len(run)
            follows = self._starts[position + 1] if position + 1 < len(self._starts) else None
            fits = offset <= run_end and (follows is None or end <= follows) and len(run) < _JOIN_LIMIT_BYTES
            if fits and isinstance(run, bytearray):
                at = offset - start
                before = len(run)
                run[at : at + len(data)] = data
                self.nbytes += len(run) - before
                return
        self._clear(offset, end)
        position = bisect_left(self._starts, offset)
        self._starts.insert(position, offset)
        self._runs.insert(position, data if isinstance(data, bytes) and len(data) >= _LARGE_BYTES else bytearray(data))
        self.nbytes += len(data)

    def fill(
        self, offset: int, data: bytes | bytearray | memoryview, loose: list[tuple[int, int]] | None = None
    ) -> None:
        """Puts `data` under what is there: only bytes that no run covers are taken.

        `loose`: the stretches of the file of which no journal record holds the bytes; all when it is None.
        """
        at, end = offset, offset + len(data)
        for start, run in self.runs:
            run_end = start + len(run)
            if run_end <= at or start >= end:
                continue
            if start > at:
                self._insert(at, data[at - offset : start - offset], loose)
            at = max(at, run_end)
        if at < end:
            self._insert(at, data[at - offset :], loose)

    def _insert(
        self, offset: int, data: bytes | bytearray | memoryview, loose: list[tuple[int, int]] | None
    ) -> None:
        position = bisect_left(self._starts, offset)
        self._starts.insert(position, offset)
        self._runs.insert(position, bytearray(data))
        self.nbytes += len(data)
        end = offset + len(data)
        for low, high in [(offset, end)] if loose is None else merged(loose):
            if low < end and high > offset:
                self._note(max(low, offset), min(high, end))

    def _clear(self, start: int, end: int) -> None:
        """Forgets what lies in [start, end)."""
        first = bisect_right(self._starts, start) - 1
        if first < 0 or self._starts[first] + len(self._runs[first]) <= start:
            first += 1
        last = bisect_left(self._starts, end)
        if first >= last:
            return
        kept_starts: list[int] = []
        kept_runs: list[bytes | bytearray] = []
        for position in range(first, last):
            run_start, run = self._starts[position], self._runs[position]
            self.nbytes -= len(run)
            if run_start < start:
                kept_starts.append(run_start)
                kept_runs.append(run[: start - run_start])
            if run_start + len(run) > end:
                kept_starts.append(end)
                kept_runs.append(run[end - run_start :])
        self.nbytes += sum(map(len, kept_runs))
        self._starts[first:last] = kept_starts
        self._runs[first:last] = kept_runs

    def truncate(self, size: int) -> None:
        """Forgets what lies at or past `size`."""
        if self._starts:
            last = self._starts[-1] + len(self._runs[-1])
            if last > size:
                self._clear(size, last)
        self.unjournaled = [(a, min(b, size)) for a, b in self.unjournaled if a < size]

    def overlay(self, target: bytearray, offset: int) -> None:
        """Copies the runs over `target`, which stands for the file's bytes from `offset` on."""
        lay_over(target, offset, self.runs if len(self._runs) < 4 else self._between(offset, len(target)))

    def _between(self, offset: int, size: int) -> list[Run]:
        first = max(0, bisect_right(self._starts, offset) - 1)
        last = bisect_left(self._starts, offset + size)
        return [(self._starts[i], self._runs[i]) for i in range(first, last)]

    def take(self) -> list[Run]:
        """All runs, which are the caller's from then on; the buffer is empty."""
        runs = self.runs
        self._starts, self._runs, self.nbytes, self.unjournaled = [], [], 0, []
        return runs

    def take_part(self, most: int, most_runs: int, since: int = 0) -> list[Run]:
        """The first runs that begin at or past `since`, at least one if there is one, and no more than `most` bytes if
        that is possible; the caller's from then on."""
        first = bisect_left(self._starts, since)
        end, size = first, 0
        last = min(len(self._runs), first + most_runs)
        while end < last and (end == first or size + len(self._runs[end]) <= most):
            size += len(self._runs[end])
            end += 1
        taken = self.runs[first:end]
        if not taken:
            return taken
        low, high = taken[0][0], self._starts[end] if end < len(self._starts) else None
        del self._starts[first:end], self._runs[first:end]
        self.nbytes -= size
        before = [(a, min(b, low)) for a, b in self.unjournaled if a < low] if first else []
        behind = [(max(a, high), b) for a, b in self.unjournaled if b > high] if high is not None else []
        self.unjournaled = before + behind
        return taken

    @property
    def count(self) -> int:
        """How many runs there are."""
        return len(self._starts)

    @property
    def first(self) -> int | None:
        """Where the first run begins; None without one."""
        return self._starts[0] if self._starts else None

    @property
    def end(self) -> int:
        """Where the last run ends; 0 without one."""
        return self._starts[-1] + len(self._runs[-1]) if self._starts else 0

    @property
    def unjournaled_bytes(self) -> int:
        """Bytes that no journal record holds yet; what was written over and over counts as often."""
        return sum(end - start for start, end in self.unjournaled)

    def _note(self, start: int, end: int) -> None:
        if self.unjournaled:
            last_start, last_end = self.unjournaled[-1]
            if last_start <= start <= last_end:
                self.unjournaled[-1] = (last_start, max(last_end, end))
                return
        self.unjournaled.append((start, end))

    def take_unjournaled(self) -> list[tuple[int, bytes]]:
        """Copies of the stretches that no journal record holds yet; they count as journaled afterwards."""
        pieces = []
        for start, end in merged(self.unjournaled):
            for run_start, run in self._between(start, end - start):
                low, high = max(start, run_start), min(end, run_start + len(run))
                if low < high:
                    pieces.append((low, bytes(run[low - run_start : high - run_start])))
        self.unjournaled = []
        return pieces

    def journaled(self, start: int) -> list[tuple[int, bytes]]:
        """Copies of the stretches from `start` on that a journal record holds."""
        pieces = []
        loose = merged(self.unjournaled)
        for run_start, run in self.runs:
            at, run_end = max(run_start, start), run_start + len(run)
            for low, high in [*loose, (run_end, run_end)]:
                end = min(low, run_end)
                if at < end:
                    pieces.append((at, bytes(run[at - run_start : end - run_start])))
                at = max(at, high)
        return pieces

    def first_unjournaled_past(self, size: int) -> int | None:
        """Where the first stretch begins that no record holds and that reaches past `size`; None if none does."""
        return min((max(a, 0) for a, b in self.unjournaled if b > size), default=None)


def merged(pieces: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same [start, end) stretches, sorted, none touching another."""
    result: list[tuple[int, int]] = []
    for start, end in sorted(pieces):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(result[-1][1], end))
        else:
            result.append((start, end))
    return result


def lay_over(target: bytearray, offset: int, runs: Sequence[tuple[int, Bytes]]) -> None:
    """Copies each run's bytes over `target`, which stands for the file's bytes from `offset` on. Runs are sorted and do
    not overlap."""
    end = offset + len(target)
    for position in range(max(0, bisect_right(runs, offset, key=_start) - 1), len(runs)):
        start, run = runs[position]
        if start >= end:
            break
        low, high = max(start, offset), min(start + len(run), end)
        if low < high:
            target[low - offset : high - offset] = run[low - start : high - start]
