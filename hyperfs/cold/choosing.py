"""Which blocks go into which object, which objects are written anew, and which may go. Pure.

Objects have consecutive blocks of one log, and 8 MiB of them where there are as many. Gaps are allowed: blocks that may
not go to the place, or were let go, are left out and their neighbours still share an object.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Final, NamedTuple

from hyperfs.cold.holdings import Held, within, without
from hyperfs.cold.object_format import BLOCKS_MOST, Name, Run
from hyperfs.volume.elsewhere import Wish

OBJECT_BYTES: Final = 8 << 20
"""An object is complete with so many; the last block may take it beyond."""
SMALL_BYTES: Final = 4 << 20
"""Below this, objects beside each other are written anew as one."""
FEW: Final = 0.25
"""Below this share of its bytes that is still needed, an object is written anew."""

Sizes = Callable[[int, int], int]
"""The bytes of blocks [first, end) of a log."""


class Plan(NamedTuple):
    """An object to be. `tail`: it goes up to the end of what was wanted, and more could come to fill it.
    `storage_class`: in which of the store's own it is to be kept."""

    log: int
    runs: tuple[Run, ...]
    nbytes: int
    tail: bool
    storage_class: str = ""

    @property
    def first(self) -> int:
        return self.runs[0][0]

    @property
    def end(self) -> int:
        return self.runs[-1][1]


def split(log: int, runs: Iterable[Run], size: Sizes) -> Iterator[Plan]:
    """Objects for ascending runs of blocks. Lazy: what `runs` gives is taken as it is needed."""
    taken: list[Run] = []
    nbytes = 0
    for first, end in runs:
        while first < end:
            if taken and first - taken[0][0] >= BLOCKS_MOST:
                yield Plan(log, tuple(taken), nbytes, False)
                taken, nbytes = [], 0
            most = min(end, (taken[0][0] if taken else first) + BLOCKS_MOST)
            upto, more = _fill(first, most, OBJECT_BYTES - nbytes, size)
            taken.append((first, upto))
            nbytes += more
            first = upto
            if nbytes >= OBJECT_BYTES:
                yield Plan(log, tuple(taken), nbytes, False)
                taken, nbytes = [], 0
    if taken:
        yield Plan(log, tuple(taken), nbytes, True)


def _fill(first: int, end: int, room: int, size: Sizes) -> tuple[int, int]:
    """(the least end at which [first, end) fills the room, else `end`; its bytes). Found by halving: sizes add up."""
    low, high = first + 1, end
    if size(first, end) < room:
        return end, size(first, end)
    while low < high:
        middle = (low + high) // 2
        if size(first, middle) >= room:
            high = middle
        else:
            low = middle + 1
    return low, size(first, low)


def places_for(
    wish: Wish, order: Sequence[str], ready: frozenset[str], missing: Mapping[str, int]
) -> tuple[str, ...]:
    """The places to which a wish's blocks are brought: as many as copies were asked for. `missing`: how many of its
    blocks a place does not have. Those that answer come first, then those that have most, then as they were added."""
    able = [name for name in order if name in wish.places]
    able.sort(key=lambda name: (name not in ready, missing[name]))
    return tuple(able[: wish.copies])


def rewrites(log: int, objects: Sequence[Held], cleared: Sequence[Run], size: Sizes) -> Iterator[Plan]:
    """Objects for what is still needed of those that are small, or of which little is needed. They are in order of
    their first block; all are proven. What a plan replaces is `surplus` when it has been proven."""
    group: list[tuple[Held, list[Run]]] = []
    nbytes = 0
    for held in objects:
        needed = list(without(held.runs or (), within(cleared, held.name.first, held.name.end)))
        left = sum(size(*run) for run in needed)
        if not needed or (left >= SMALL_BYTES and left >= FEW * held.size):
            if not needed:
                continue
            yield from _rewrite(log, group, nbytes, size)
            group, nbytes = [], 0
            continue
        if group and held.name.end - group[0][0].name.first > BLOCKS_MOST:
            yield from _rewrite(log, group, nbytes, size)
            group, nbytes = [], 0
        group.append((held, needed))
        nbytes += left
        if nbytes >= OBJECT_BYTES:
            yield from _rewrite(log, group, nbytes, size)
            group, nbytes = [], 0
    yield from _rewrite(log, group, nbytes, size)


def _rewrite(log: int, group: Sequence[tuple[Held, list[Run]]], nbytes: int, size: Sizes) -> Iterator[Plan]:
    """Worth it where it fills an object, or gives back most of those that it replaces."""
    stored = sum(held.size for held, _ in group)
    if group and (nbytes >= OBJECT_BYTES or nbytes < FEW * stored):
        yield from split(log, joined(run for _, needed in group for run in needed), size)


def surplus(objects: Sequence[Held], cleared: Sequence[Run], now_ns: int) -> list[Held]:
    """Objects that nothing needs: every block was cleared, or is in another object that is proven and stays.

    `objects`: all of one log, by their first block. Those of which least is needed go first, then small ones: so what
    was written anew stays, and not what it replaces. One that is not known to be good never makes another superfluous;
    nor does one of which only the name is known go. `cleared`: ascending and apart.
    """

    def worth(held: Held) -> tuple[float, int, Name]:
        needed = without(held.runs or (), within(cleared, held.name.first, held.name.end))
        return sum(end - first for first, end in needed) / held.name.here, held.name.here, held.name

    touched = list(_touched(objects, cleared))
    firsts = [held.name.first for held in touched]
    gone: dict[Name, Held] = {}
    for held in sorted(touched, key=worth):
        if held.runs is None:
            continue
        first, end = held.name.first, held.name.end
        near = touched[bisect_left(firsts, first - BLOCKS_MOST + 1) : bisect_left(firsts, end)]
        others = [
            run
            for other in near
            if other is not held and other.name not in gone and other.is_proven(now_ns)
            for run in other.runs or ()
        ]
        if not list(without(held.runs, [*within(cleared, first, end), *others])):
            gone[held.name] = held
    return list(gone.values())


def _touched(objects: Sequence[Held], cleared: Sequence[Run]) -> Iterator[Held]:
    """Those that overlap another, or something cleared: no other can be superfluous, and there are many others."""
    reach = -1
    for held, after in zip_longest(objects, objects[1:]):
        first, end = held.name.first, held.name.end
        if first < reach or (after is not None and after.name.first < end) or within(cleared, first, end):
            yield held
        reach = max(reach, end)


def joined(runs: Iterable[Run]) -> Iterator[Run]:
    """The union of runs, ascending and apart."""
    last: Run | None = None
    for first, end in sorted(runs):
        if last is not None and first <= last[1]:
            last = last[0], max(end, last[1])
            continue
        if last is not None:
            yield last
        last = first, end
    if last is not None:
        yield last
