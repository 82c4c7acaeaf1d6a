"""Clearing: blocks of logs are announced in the control chain, then punched, then recorded as done.

    1. the intent is in the chain, on the disk                   (announce)
    2. the blocks' bytes are punched, and that is on the disk    (do_announced)
    3. the deed is in the chain, on the disk                     (do_announced)

Killed anywhere, the next opening for writing goes on at 2. Nothing may refer to a block that an intent names.

A device signs for its own logs. In those of former devices, which are closed, only the root clears: whoever has its key
at hand gives it along (`root`).
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence

from hyperfs.crypto.keys import LOG_METADATA
from hyperfs.errors import NotResident
from hyperfs.log.cleared import Cleared, Range, runs_of
from hyperfs.log.control_codec import CLOSED, REVOKED, ROOT, Clear, ClearDeed, ClearIntent
from hyperfs.log.heads import Signer
from hyperfs.log.log import PAGE_BYTES, Log
from hyperfs.store import folder
from hyperfs.volume.parts import Parts

Progress = Callable[[str, int, int], None]


def open_clears(parts: Parts, root: Signer | None = None) -> dict[int, Clear]:
    """The announced clears that are not done, by the sequence of their intent: of this device's own logs, and with the
    root's key of former devices'."""
    logs = parts.chain.logs
    former = former_ends(parts) if root is not None else {}
    return {
        sequence: clear
        for sequence, clear in parts.chain.intents.items()
        if logs[clear.log].device == parts.device or clear.log in former
    }


def former_ends(parts: Parts) -> dict[int, int]:
    """By the number of a former device's log, up to where it may be cleared: it is closed, and what its device signed
    afterwards is not of the drive. The last block of a log of versions stays: each opening looks at it."""
    return {
        number: min(entry.length, parts.logs[number].signed_length) - (entry.kind == LOG_METADATA and entry.length > 0)
        for number, entry in parts.chain.logs.items()
        if entry.state == CLOSED and entry.device != parts.device
    }


def standing(parts: Parts, number: int) -> Cleared:
    """What is cleared in a log and stays so. Of what a device had cleared before it was revoked, peers take back what
    they still held: in its logs only the root's clears count."""
    entry = parts.chain.logs[number]
    if entry.device == parts.device or parts.chain.devices[entry.device].state != REVOKED:
        return parts.catalog.cleared
    return Cleared.of(record for record in parts.chain.records if record.signer == ROOT)


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


def announce(parts: Parts, clears: Sequence[Clear], root: Signer | None = None) -> None:
    """Step 1. Blocks that are named must be needed by nothing, on disk or in memory. Raises Refused for a log that is
    not this device's without the root's key, OSError."""
    _extend(parts, [ClearIntent(clear) for clear in clears], root)


def do_announced(parts: Parts, progress: Progress, root: Signer | None = None) -> None:
    """Steps 2 and 3 for all that is announced and not done. Raises OSError: the next call goes on."""
    cleared = Cleared.of(parts.chain.records)
    for sequence, clear in open_clears(parts, root).items():
        log = parts.logs[clear.log]
        for done, (start, end) in enumerate(clear.ranges):
            for run in _placed(log, start, end):
                log.punch(*run, cleared.around(clear.log, start))
            progress("giving back space", done + 1, len(clear.ranges))
        log.sync_punched()
        head = log.head()
        _extend(parts, [ClearDeed(sequence, Clear(clear.log, head.fork, head.length, head.tree_hash, ()))], root)


def _placed(log: Log, start: int, end: int) -> Iterable[Range]:
    """The blocks of which it is known where they lie. What never came of another's log takes no room."""
    if not log.may_lack_nodes:
        return [(start, end)]
    return runs_of(block for block in range(start, end) if _has_place(log, block))


def _has_place(log: Log, block: int) -> bool:
    try:
        log.block_range(block)
    except NotResident:
        return False
    return True


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


def _extend(parts: Parts, bodies: Sequence[ClearIntent | ClearDeed], root: Signer | None) -> None:
    chain = parts.chain
    for body in bodies:
        is_own = root is None or chain.logs[body.clear.log].device == parts.device
        signer = (parts.signer, parts.device) if is_own or root is None else (root, ROOT)
        chain = chain.append(chain.make(body, *signer))
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
