"""Repair: what verify found is put right where a signature, a hash or an id proves how; the rest is isolated.

    files     format file, tag, Merkle trees that the blocks and the signed head prove
    verify    everything, read-only
    elsewhere blocks that a cold store or a peer has as they were signed, written where they were
    newest    a lost commit or node of the newest version: a new version goes on from what is there
    index     made anew
    journal   replayed as far as it is whole; kept aside as it was, where it is not
    chunks    and nodes of old versions: found elsewhere, they get a place
    verify    again: what was sound is not read again; once more from the top where this brought new damage to light

Every step appends, or writes a file under another name and renames it; a kill leaves the store before a step or behind
it, and the next repair goes on from there. No log is ever cut short.
"""

import shutil
from collections.abc import Collection
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import trio

from hyperfs.chunks.extents import Place
from hyperfs.crypto.journal_cipher import JournalCipher
from hyperfs.crypto.keys import DeviceKeys
from hyperfs.errors import HyperfsError, IndexDamaged
from hyperfs.log.control import Chain
from hyperfs.log.control_codec import OPEN
from hyperfs.store import folder
from hyperfs.store.files import Disk
from hyperfs.store.folder import StoreLock
from hyperfs.store.journal import Journal
from hyperfs.store.journal_records import Record
from hyperfs.store.rocksdb import RocksIndex
from hyperfs.trie.node_pack import block_of, slot_of
from hyperfs.volume import check, keys, repair_journal
from hyperfs.volume.catalog import Catalog
from hyperfs.volume.check import Report
from hyperfs.volume.check_findings import Losses
from hyperfs.volume.check_logs import place_of
from hyperfs.volume.check_state import CheckState
from hyperfs.volume.entries import encode_place
from hyperfs.volume.opening import Ground, chunkstore, open_volume, stand
from hyperfs.volume.options import Options
from hyperfs.volume.repair_chunks import Found, mend_chunks
from hyperfs.volume.repair_clear import clear_blocks
from hyperfs.volume.repair_elsewhere import Reach, take_back
from hyperfs.volume.repair_files import mend_files
from hyperfs.volume.repair_newest import Base, NewestRepair
from hyperfs.volume.repair_nodes import find_nodes
from hyperfs.volume.repair_report import Outcome, Repaired
from hyperfs.volume.volume import Volume

ROUNDS_MOST: Final = 4


@dataclass
class Work:
    """One repair. `done` belongs to the caller, who can tell of it even when the repair fails half-way."""

    store: Path
    device_keys: DeviceKeys
    options: Options
    state: CheckState
    sources: list[Path]
    done: list[Repaired]
    reach: Reach | None = None
    troubles: list[str] = field(default_factory=list)
    """Why other places could not be asked."""


def first_aid(store: Path, disk: Disk, done: list[Repaired]) -> None:
    """The files of a store, for which nobody's keys are needed. To be done before `repair`. Raises OSError."""
    with StoreLock(store):
        for repaired in mend_files(disk):
            done.append(repaired)
        repair_journal.forget_unfinished(disk)


def repair(work: Work) -> Outcome:
    """Of a store that is not mounted. Raises what opening raises where even a repair can't open it, and OSError."""
    report, version = _verified(work)
    if _take_back(work, report.losses.blocks):
        report, version = _verified(work)
    known: set[str] = set()
    # A mended version may bring to light what could not be looked at without it, a damaged journal above all.
    for _ in range(ROUNDS_MOST):
        wheres = {damage.where for damage in report.damage}
        if wheres <= known:
            break
        known |= wheres
        _mend(work, report, wheres)
        report, version = _verified(work)
    return Outcome(report, version, work.done)


def _mend(work: Work, report: Report, wheres: set[str]) -> None:
    losses = report.losses
    places = _mend_newest(work, losses)
    if folder.INDEX in wheres:
        shutil.rmtree(work.store / folder.INDEX, ignore_errors=True)
        work.done.append(Repaired("made anew of the logs", folder.INDEX))
    if folder.JOURNAL in wheres:
        with StoreLock(work.store):
            _keep_journal(work, "records are missing: those before them were replayed")
    trio.run(_mend_volume, work, losses, places)


def _take_back(work: Work, damaged: Collection[tuple[int, int]]) -> bool:
    """Whether other places had any of these (log, block)."""
    if work.reach is None or not damaged:
        return False
    before = len(work.done)
    volume = open_volume(work.store, work.device_keys, replace(work.options, read_only=True))
    try:
        disk = work.options.disk(work.store)
        trio.run(take_back, volume, disk, damaged, work.reach, work.options.progress, work.done)
    except HyperfsError as error:  # the rest of the repair does without them
        work.troubles.append(str(error))
    finally:
        volume.parts.close()
    return len(work.done) > before


def _verified(work: Work) -> tuple[Report, int]:
    volume = open_volume(work.store, work.device_keys, replace(work.options, read_only=True))
    try:
        report = check.verify(volume.parts, work.options.progress, work.state)
        return report, volume.versions.newest.version
    finally:
        volume.parts.close()


# The newest version


def _mend_newest(work: Work, losses: Losses) -> dict[bytes, Place]:
    """Sees to it that the drive ends with a version that can be read whole; where lost nodes of older ones lie."""
    known = _known_version(work.store)
    with ExitStack() as undo:
        lock = StoreLock(work.store)
        undo.callback(lock.release)
        disk = work.options.disk(work.store)
        chain = Chain.parse(disk.read_all(folder.CONTROL))
        ground = stand(disk, chain, work.device_keys, replace(work.options, rescue=True), undo)
        if not losses.nodes and "newest" not in ground.warnings:
            return {}
        newest = NewestRepair(ground, work.options, known)
        base = newest.base()
        _write_newest(work, ground, newest, base)
        found = find_nodes(ground, set(losses.nodes))
        return {id_: Place(log, block_of(point), slot_of(point)) for id_, (log, point) in found.items()}


def _write_newest(work: Work, ground: Ground, newest: NewestRepair, base: Base) -> None:
    readable = ground.newest
    folded = readable.journal_sequence if readable.device == ground.device else 0
    records = _records(work, ground)
    last = max([folded, *(record.sequence for record in records)])
    items = repair_journal.whole_items(records, folded)
    if items is not None and any(repair_journal.is_about(items, prefix) for prefix, _ in base.tree.lost):
        # On top of what comes from an older version it would make files that never were.
        _keep_journal(work, "it goes on from what is lost")
        work.done += newest.write(base, last)
        return
    if base.lost_commit is None:
        work.done += newest.write(base, folded)
        return
    store, _ = chunkstore(ground)
    if items is not None and repair_journal.adds_nothing(items, base.tree.entries, store.read_chunk):
        work.done += newest.write(base, last)
        return
    if items is None:
        _keep_journal(work, "where it goes on from is lost")
        work.done += newest.write(base, last)
        return
    # What was fsynced after the lost commit goes with the version before it, for it was all written on top of that.
    work.done += newest.write(base, folded)
    back = newest.go_back(readable, folded)
    what = f"version {back.version} is version {readable.version} again, with all that was fsynced since"
    work.done.append(Repaired(what, place_of(*ground.newest_at)))


def _records(work: Work, ground: Ground) -> list[Record]:
    journal = Journal(work.options.disk(work.store), JournalCipher(ground.epoch.journal_key), lambda: bytes(12))
    return journal.records()


def _known_version(store: Path) -> int:
    """The newest version that the index has heard of."""
    with suppress(HyperfsError, OSError):
        index = RocksIndex(store / folder.INDEX, read_only=True)
        try:
            mark = Catalog(index).mark()
            return mark.version if mark is not None else 0
        except IndexDamaged:
            return 0
        finally:
            index.close()
    return 0


def _keep_journal(work: Work, why: str) -> None:
    """The store's lock is held."""
    disk = work.options.disk(work.store)
    name = repair_journal.keep_aside(disk)
    Journal.make_whole(disk)
    work.done.append(Repaired(f"{why}; the journal as it was is kept in {name}", folder.JOURNAL))


# What needs an open volume


async def _mend_volume(work: Work, losses: Losses, nodes: dict[bytes, Place]) -> None:
    volume = open_volume(work.store, work.device_keys, replace(work.options, rescue=True))
    async with volume.running():
        for id_, place in nodes.items():
            ref = losses.nodes[id_]
            volume.overlay.set_fact(keys.place_key(id_), encode_place(place))
            here = place_of(place.log, place.block)
            work.done.append(Repaired(f"the same trie node is in {here}", place_of(ref.log, ref.block)))
        _mend_policies(work, volume, losses)
        await volume.committer.commit()
        found = await mend_chunks(volume, losses, work.state, work.sources, work.options.progress)
        work.done += found.repaired
        _let_go(work, volume, losses, nodes, found)


def _mend_policies(work: Work, volume: Volume, losses: Losses) -> None:
    for key, value in losses.policies.items():
        if volume.overlay.live.fact(key) != value:
            volume.overlay.set_fact(key, value)
            work.done.append(Repaired("it says what the attribute says", f"fact {key.hex()}"))


def _let_go(work: Work, volume: Volume, losses: Losses, nodes: dict[bytes, Place], found: Found) -> None:
    """Damaged blocks of this device's logs of which everything is somewhere else now."""
    if losses.nodes.keys() - nodes.keys():
        return  # nobody knows what the lost parts of old versions need
    parts = volume.parts
    lost = {(lost.log, lost.block) for chunk, lost in losses.chunks.items() if chunk not in found.places}
    moved = {(losses.nodes[id_].log, losses.nodes[id_].block) for id_ in nodes}
    for number, entry in parts.chain.logs.items():
        if entry.device != parts.device or entry.state != OPEN:
            continue
        bad = {place for place in losses.blocks if place[0] == number}
        free = bad & moved if number == parts.metadata_number else bad - lost
        clear_blocks(parts, number, {block for _, block in free}, work.options.progress)
        for _, block in sorted(free - moved - {(found.log, found.block) for found in losses.chunks.values()}):
            work.done.append(Repaired("nothing needs it: let go", place_of(number, block)))
