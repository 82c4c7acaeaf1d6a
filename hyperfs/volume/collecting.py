"""Collecting: versions are let go by a plan, and the blocks that only they reached are given back to the disk.

    1. all that the versions to keep reach is marked             (may take long; writers go on)
    2. a version is made whose root says which versions are gone, while no bytes are on their way
    3. what that version and those made meanwhile reach is marked as well
    4. what is not marked is announced, punched, and recorded    (clearing.py)

From before 2 until the intents count, no new extent may name a chunk that the newest version does not hold: between
marking and clearing it would be a reference to nothing. That is `Catalog.only_live`. A failure or a kill before the
intent is on the disk leaves blocks that the next collection finds; after it, the next opening goes on.
"""

import errno
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import trio

from hyperfs.chunks.extents import Extent
from hyperfs.crypto.keys import LOG_METADATA
from hyperfs.errors import Refused
from hyperfs.log.control_codec import Clear
from hyperfs.log.heads import Signer
from hyperfs.volume import clearing, gone
from hyperfs.volume.catalog import Change
from hyperfs.volume.clearing import Progress
from hyperfs.volume.given_back import GivenBack, Pruned
from hyperfs.volume.gone import GoneVersions
from hyperfs.volume.marking import Marks, mark_commit, mark_extents, mark_offered
from hyperfs.volume.offers import Offer, Offers
from hyperfs.volume.overlay import MAX_FILE_BYTES
from hyperfs.volume.parts import Parts
from hyperfs.volume.plan import Plan
from hyperfs.volume.remembered_groups import Groups, forget_groups
from hyperfs.volume.repacking import Root, repack
from hyperfs.volume.tree import Tree
from hyperfs.volume.trimming import trim_index
from hyperfs.volume.versions import read_commit
from hyperfs.volume.volume import Volume

REMEMBERED_MOST: Final = 1000
"""With more versions to keep they are marked by groups: rows of each would take room in the index, and time."""


Look = Callable[[], Plan]
"""Makes a plan, in a worker thread: there may be a hundred thousand versions."""
Begin = Callable[[], Look]
"""Takes from the live state, in the trio thread, what the plan rests on."""


@dataclass
class _Limits:
    """Taken at the moment of the version that says what is gone: what lies behind is not looked at."""

    blocks: dict[int, int] = field(default_factory=dict)  # by log: of those that were there
    extents: list[Extent] = field(default_factory=list)  # of files that have no name and are open


@asynccontextmanager
async def _alone(volume: Volume, dry_run: bool = False) -> AsyncIterator[None]:
    """Raises Refused while another prune or a verify runs, and, but for a dry run, while the brake is on."""
    volume.check_writable()
    if not dry_run:
        await volume.brake.look()
        volume.brake.check()
    if volume.collecting.locked():
        raise Refused("another prune, or a verify, is reading the whole drive: try again when it is done")
    async with volume.collecting:
        yield


async def collect(
    volume: Volume,
    begin: Begin,
    dry_run: bool,
    progress: Progress,
    with_packs: bool = False,
    root: Signer | None = None,
) -> Pruned:
    """Lets go of what the plan says and frees all that nothing needs. `progress` is called from another thread.
    `with_packs`: half-dead packs are stored anew as well, which frees more than a dry run tells. `root`: its key, with
    which what only former devices' logs hold is freed too.

    Raises ReadOnlyDrive, Refused while another prune or a verify runs, Corrupt when it can't be told what is needed
    (then nothing is given back), OSError.
    """
    async with _alone(volume, dry_run):
        await volume.commit()  # what was done a moment ago counts, for a dry run too
        if dry_run:
            return await _would_do(volume, await _planned(volume, begin), progress, root)
        await _on_disk(volume, partial(clearing.do_announced, volume.parts, progress, root))
        plan = await _planned(volume, begin)
        marks = _Marked()
        await _mark(volume, plan, marks, progress)
        try:
            volume.parts.catalog.only_live = True
            return await _let_go(volume, plan, marks, progress, with_packs, root)
        finally:
            volume.parts.catalog.only_live = False
            await volume.committer.restore_reserve()


async def forget(volume: Volume, begin: Begin) -> int:
    """Only says in a new version which ones are gone, and frees nothing; how many. A matter of moments.

    Raises as `collect`.
    """
    async with _alone(volume):
        plan = await _planned(volume, begin)
        if _facts(volume, plan):
            plan, _, _ = await _say_gone(volume, plan)
        return len(plan.going)


async def _planned(volume: Volume, begin: Begin) -> Plan:
    return (await trio.to_thread.run_sync(begin())).sparing(volume)


class _Marked(Marks):
    """`done`: of which versions what they offer is marked, by their commits' places; None for all of it."""

    def __init__(self) -> None:
        super().__init__()
        self.done: dict[tuple[int, int], Offer | None] = {}

    def wants(self, log: int, block: int, offer: Offer | None) -> bool:
        """Whether the version is not marked yet, or with less than it is to offer. From then on it is."""
        wanted = (log, block) not in self.done or self.done[log, block] != offer
        self.done[log, block] = offer
        return wanted


async def _mark(volume: Volume, plan: Plan, marks: _Marked, progress: Progress) -> None:
    """Marks the trees and commits of versions that are not marked. In a worker thread: reading takes long, and changes
    nothing. The newest goes first; of each only what differs is read, and what is remembered of it is not. Last those
    of which not all is needed: of them it is known only what is not marked already."""
    parts = volume.parts
    marks.reach({number: log.signed_length for number, log in parts.logs.items()})
    offers = [(found.log, found.index, plan.offer(found.version)) for found in plan.kept]
    offers += [(pin.log, pin.block, offer) for pin, offer in plan.pinned_alone()]
    unmarked = [found for found in offers if marks.wants(*found)]
    places = {(log, index) for log, index, offer in unmarked if offer is None}
    waiting = [found for found in plan.kept if (found.log, found.index) in places]

    def remember(rows: list[Change]) -> None:
        if parts.catalog.trouble is None:  # else they would wait in memory
            trio.from_thread.run_sync(parts.catalog.apply, rows)

    def run() -> None:
        groups = Groups(parts, remember, progress)
        (groups.mark if len(waiting) > REMEMBERED_MOST else groups.mark_each)(waiting, marks)
        for log, index, offer in unmarked:
            if offer is None:
                continue
            commit = read_commit(parts.nodes, log, index)
            tree = Tree(parts.nodes.load, commit.root, parts.chunkstore.read_chunk)
            mark_offered(parts.nodes, [commit.root], marks, partial(offer.hides, tree), progress)
            mark_commit(log, index, commit.dead_blocks, marks)

    await trio.to_thread.run_sync(run)


async def _would_do(volume: Volume, plan: Plan, progress: Progress, root: Signer | None) -> Pruned:
    """As _let_go, of what is a version now."""
    parts, marks = volume.parts, _Marked()
    await _mark(volume, plan, marks, progress)
    mark_extents(_open_extents(volume), marks)
    newest = volume.versions.newest
    limits = {parts.metadata_number: parts.metadata_log.signed_length, newest.content.log: newest.content.length}
    limits |= clearing.former_ends(parts) if root is not None else {}
    clears = await trio.to_thread.run_sync(_sweep, parts, marks, limits)
    freed = GivenBack()
    await freed.note(volume, clears)
    return freed.report(plan)


async def _let_go(
    volume: Volume, plan: Plan, marks: _Marked, progress: Progress, with_packs: bool, root: Signer | None
) -> Pruned:
    parts, freed = volume.parts, GivenBack()
    planned = plan.kept[-1].version
    plan, limits, made = await _say_gone(volume, plan)
    since = [found for found in volume.versions.all(planned + 1) if found.version <= made]
    await _mark(volume, replace(plan, kept=[*plan.kept, *since]), marks, progress)
    mark_extents(limits.extents, marks)
    blocks = limits.blocks | (clearing.former_ends(parts) if root is not None else {})
    clears = await trio.to_thread.run_sync(_sweep, parts, marks, blocks)
    await _clear(volume, clears, freed, progress, root)
    parts.catalog.apply(await trio.to_thread.run_sync(forget_groups, parts.catalog, plan.kept))
    if with_packs:
        await _pack_anew(volume, replace(plan, kept=[*plan.kept, *since]), limits, freed, progress)
    if freed.blocks:
        pins = frozenset(pin.ino for pin in volume.versions.offers.pins)
        await trio.to_thread.run_sync(trim_index, volume, pins, progress)
    return freed.report(plan)


async def _clear(
    volume: Volume, clears: list[Clear], freed: GivenBack, progress: Progress, root: Signer | None = None
) -> None:
    """From the intent to the deed."""
    if not clears:
        return
    parts = volume.parts
    await freed.note(volume, clears)
    await _on_disk(volume, partial(clearing.announce, parts, clears, root))
    parts.catalog.cleared = parts.catalog.cleared.more(clears)
    await _on_disk(volume, partial(clearing.do_announced, parts, progress, root))
    _forget_reached(parts, clears)


async def _pack_anew(volume: Volume, plan: Plan, limits: _Limits, freed: GivenBack, progress: Progress) -> None:
    """Clears half-dead packs, of which the rest is stored anew."""
    parts, content = volume.parts, volume.content

    def roots() -> list[Root]:
        whole, in_part = [], []
        offers = [(found.log, found.index, plan.offer(found.version)) for found in plan.kept]
        offers += [(pin.log, pin.block, offer) for pin, offer in plan.pinned_alone()]
        for log, index, offer in reversed(offers):
            root = read_commit(parts.nodes, log, index).root
            if offer is None:
                whole.append(Root(root, None))
            else:
                tree = Tree(parts.nodes.load, root, parts.chunkstore.read_chunk)
                in_part.append(Root(root, partial(offer.hides, tree)))
        return whole + in_part

    blocks = await repack(volume, await trio.to_thread.run_sync(roots), limits.extents, progress)
    log = parts.logs[content.number]
    worth = clearing.worth_clearing(log, content.number, blocks, parts.catalog.cleared)
    clear = clearing.clear_of(log, content.number, worth)
    await _clear(volume, [] if clear is None else [clear], freed, progress)


async def _say_gone(volume: Volume, plan: Plan) -> tuple[Plan, _Limits, int]:
    """Makes the version whose root has the marks; the plan as it was carried out, and that version's number."""
    parts, limits = volume.parts, _Limits()

    def note(version: int) -> None:
        nonlocal plan
        plan = plan.sparing(volume)
        _note_gone(volume, plan)
        content = volume.content
        limits.blocks = {parts.metadata_number: parts.metadata_log.length, content.number: content.log.length}
        limits.extents = _open_extents(volume)
        content.forget_fresh()

    made = await volume.committer.commit_noting(note)
    for lapsed in parts.catalog.lapsed(GoneVersions(volume.overlay.live.facts(gone.PREFIX))):
        parts.catalog.apply(lapsed)
        await trio.lowlevel.checkpoint()
    volume.versions.forget(found.version for found in plan.going)
    return plan, limits, made.version


def _note_gone(volume: Volume, plan: Plan) -> None:
    """Puts the marks into the version that is being made."""
    for key, value in _facts(volume, plan).items():
        volume.overlay.set_fact(key, value)


def _facts(volume: Volume, plan: Plan) -> dict[bytes, bytes | None]:
    devices = {number: log.device for number, log in volume.parts.chain.logs.items()}
    return plan.facts(Offers(volume.overlay.live), devices, volume.overlay.now_ns())


def _open_extents(volume: Volume) -> list[Extent]:
    """Those of unlinked files that are open: no version from now on has them."""
    overlay = volume.overlay
    overlay.detach_orphans()
    return [extent for inode in overlay.orphans.values() for extent in overlay.extents(inode, 0, MAX_FILE_BYTES)]


def _sweep(parts: Parts, marks: Marks, limits: dict[int, int]) -> list[Clear]:
    """What to clear, by log: content before the metadata that names it. In a worker thread."""
    clears = []
    for number, limit in sorted(limits.items(), key=lambda found: _is_metadata(parts, found[0])):
        cleared = clearing.standing(parts, number)
        for start, end in cleared.ranges(number):
            marks.add_run(number, start, end)
        log = parts.logs[number]
        free: Iterator[int] = marks.unmarked(number, limit)
        clear = clearing.clear_of(log, number, clearing.worth_clearing(log, number, free, cleared))
        if clear is not None:
            clears.append(clear)
    return clears


def _is_metadata(parts: Parts, number: int) -> bool:
    return parts.chain.logs[number].kind == LOG_METADATA


def _forget_reached(parts: Parts, clears: Iterable[Clear]) -> None:
    """What is remembered of nodes that are no more."""
    for clear in clears:
        if _is_metadata(parts, clear.log):
            for start, end in clear.ranges:
                parts.catalog.apply(parts.catalog.forget_reach(clear.log, start, end))


async def _on_disk(volume: Volume, step: Callable[[], None]) -> None:
    """Takes a step that writes, in a worker thread; on a full disk once more, in the room kept for this."""
    try:
        await trio.to_thread.run_sync(step)
    except OSError as error:
        if error.errno != errno.ENOSPC or not volume.committer.lend_reserve():
            raise
        await trio.to_thread.run_sync(step)
