"""Clearing: blocks of this device's logs are announced in the control chain, then punched, then recorded as done.

    1. the intent is in the chain, on the disk                   (announce)
    2. the blocks' bytes are punched, and that is on the disk    (do_announced)
    3. the deed is in the chain, on the disk                     (do_announced)

Killed anywhere, the next opening for writing goes on at 2. Nothing may refer to a block that an intent names.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence

from hyperfs.log.cleared import Cleared, Range, runs_of
from hyperfs.log.control_codec import Body, Clear, ClearDeed, ClearIntent
from hyperfs.log.log import PAGE_BYTES, Log
from hyperfs.store import folder
from hyperfs.volume.parts import Parts

Progress = Callable[[str, int, int], None]


def own_clears(parts: Parts) -> dict[int, Clear]:
    """The announced clears of this device's own logs that are not done, by the sequence of their intent."""
    return {
        sequence: clear
        for sequence, clear in parts.chain.intents.items()
        if parts.chain.logs[clear.log].device == parts.device
    }


def clear_of(log: Log, number: int, blocks: Iterable[int]) -> Clear | None:
    """The clear of these blocks, ascending, at the log's signed head; None for none."""
    ranges = tuple(runs_of(blocks))
    head = log.head()
    return Clear(number, head.fork, head.length, head.tree_hash, ranges) if ranges else None


def worth_clearing(log: Log, number: int, blocks: Iterable[int], cleared: Cleared) -> Iterator[int]:
    """Those of the blocks, ascending, whose run gives a page back to the disk, with the runs that it joins.

    What gives none stays as it is until a neighbour goes: the chain has to keep each run for good.
    """
    for start, end in runs_of(blocks):
        beside = [cleared.around(number, block) for block in (start - 1, end)]
        sides = [run for run in beside if run is not None]
        whole = min([start, *(run[0] for run in sides)]), max([end, *(run[1] for run in sides)])
        if _page_bytes(log, whole) > sum(_page_bytes(log, run) for run in sides):
            yield from range(start, end)


def announce(parts: Parts, clears: Sequence[Clear]) -> None:
    """Step 1. Blocks that are named must be needed by nothing, on disk or in memory. Raises OSError."""
    _extend(parts, [ClearIntent(clear) for clear in clears])


def do_announced(parts: Parts, progress: Progress) -> None:
    """Steps 2 and 3 for all that is announced and not done. Raises OSError: the next call goes on."""
    cleared = Cleared.of(parts.chain.records)
    for sequence, clear in own_clears(parts).items():
        log = parts.logs[clear.log]
        for done, (start, end) in enumerate(clear.ranges):
            log.punch(start, end, cleared.around(clear.log, start))
            progress("giving back space", done + 1, len(clear.ranges))
        log.sync_punched()
        head = log.head()
        _extend(parts, [ClearDeed(sequence, Clear(clear.log, head.fork, head.length, head.tree_hash, ()))])


def freed_bytes(log: Log, number: int, before: Cleared, after: Cleared) -> int:
    """How much of the disk it gives back that more is cleared: whole pages only, joined with those before, and without
    those that have left for elsewhere already. As it is now: to be asked before the marks of what is cleared go."""
    old, new = set(before.ranges(number)), set(after.ranges(number))
    left = [_pages(log, run) for run in log.evicted.runs()] if log.evicted is not None else []

    def here(runs: Iterable[Range]) -> int:
        pages = (_pages(log, run) for run in runs)
        return sum(end - first - _overlap(left, first, end) for first, end in pages if first < end)

    # A run of before is still there, or a part of one that is new.
    return PAGE_BYTES * (here(new - old) - here(old - new))


def _extend(parts: Parts, bodies: Sequence[Body]) -> None:
    chain = parts.chain
    for body in bodies:
        chain = chain.append(chain.make(body, parts.signer, parts.device))
    parts.disk.replace(folder.CONTROL, chain.encode())
    parts.chain = chain


def _page_bytes(log: Log, run: Range) -> int:
    first, end = _pages(log, run)
    return max(0, end - first) * PAGE_BYTES


def _pages(log: Log, run: Range) -> Range:
    """The whole pages [first, end) of a run; `end` is smaller where there is none."""
    first, end = log.bytes_about(*run)
    return -(-first // PAGE_BYTES), end // PAGE_BYTES


def _overlap(pages: Sequence[Range], first: int, end: int) -> int:
    """How many of the pages [first, end) are in ascending runs of some."""
    found = 0
    for at in range(bisect_right(pages, first, key=lambda run: run[1]), len(pages)):
        low, high = pages[at]
        if low >= end:
            break
        found += max(0, min(high, end) - max(low, first))
    return found
