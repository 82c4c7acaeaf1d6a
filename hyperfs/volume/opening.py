"""Opening a drive: from a folder and a device's keys to a volume that can be used.

    keys -> control chain -> logs -> newest commit -> index caught up -> journal replayed

A half-open store is closed again when any step fails; nothing is changed on disk before all have passed but
the index, which is derived.
"""

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from hyperfs.chunks.cache import BlockCache
from hyperfs.chunks.chunker import Chunker, chunker_seed
from hyperfs.chunks.chunkstore import ChunkStore
from hyperfs.chunks.extents import Place
from hyperfs.chunks.resolver import FindPlace
from hyperfs.crypto.journal_cipher import JournalCipher
from hyperfs.crypto.keys import LOG_CONTENT, LOG_METADATA, DeviceKeys, EpochKeys
from hyperfs.crypto.seal import Sealer
from hyperfs.errors import Corrupt, Unreachable
from hyperfs.log.cleared import Cleared
from hyperfs.log.control import Chain
from hyperfs.log.log import Log
from hyperfs.store import folder
from hyperfs.store.files import Disk
from hyperfs.store.folder import StoreLock
from hyperfs.store.journal import Journal
from hyperfs.volume import by_link, clearing, keys, replay, rescue, writers
from hyperfs.volume.catalog import Catalog
from hyperfs.volume.commit import Committer
from hyperfs.volume.commit_record import Commit, LogHead
from hyperfs.volume.commit_writer import CommitWriter
from hyperfs.volume.completing import is_incomplete, note_lacking
from hyperfs.volume.content import Content
from hyperfs.volume.device_logs import current_log, device_number, epoch_keys_of, open_logs
from hyperfs.volume.files import Files
from hyperfs.volume.indexing import Truth, memory_catalog, open_catalog, passing_catalog, waiting_catalog
from hyperfs.volume.journal_items import Item
from hyperfs.volume.journaling import Journaling
from hyperfs.volume.namespace import Namespace
from hyperfs.volume.newest import COUNTER_BITS, check_content, end_of, find_newest, first_ino, genesis
from hyperfs.volume.nodes import Nodes
from hyperfs.volume.options import Options
from hyperfs.volume.overlay import Overlay
from hyperfs.volume.parts import Parts
from hyperfs.volume.rescue import Found
from hyperfs.volume.reserve import Reserve
from hyperfs.volume.residence import Residence, load_residence
from hyperfs.volume.tree import LiveTree
from hyperfs.volume.versions import Versions
from hyperfs.volume.volume import Volume

CACHE_BYTES: Final = 48 << 20
"""Decoded content blocks kept in memory."""


def open_volume(path: Path, device_keys: DeviceKeys, options: Options | None = None) -> Volume:
    """Raises NotAStore, StoreLocked, FormatTooNew, KeyMissing, Corrupt, OSError; then nothing stays open."""
    options = options or Options()
    info = folder.inspect(path, need_keys=not options.take_over)
    with ExitStack() as undo:
        lock = None
        if not options.read_only or os.access(path, os.W_OK):
            lock = StoreLock(path)
            undo.callback(lock.release)
        disk = options.disk(path)
        chain = Chain.parse(disk.read_all(folder.CONTROL), info.drive_id)
        parts = _assemble(path, disk, chain, device_keys, options, undo)
        parts.lock = lock
        if not parts.read_only:
            _finish_clears(parts, options)
        volume = Volume(parts)
        undo.pop_all()
        return volume


def _finish_clears(parts: Parts, options: Options) -> None:
    """What was announced and interrupted. On a disk that won't, the next opening tries again."""
    try:
        clearing.do_announced(parts, options.progress)
    except OSError as error:
        parts.warnings["clearing"] = f"space that was let go could not be given back yet ({error})"


@dataclass
class Ground:
    """What all else stands on: keys, logs, and the version that they end with."""

    chain: Chain
    device: int
    epoch: EpochKeys
    sealer: Sealer
    logs: dict[int, Log]
    residence: Residence
    nodes: Nodes
    metadata: int
    content: int
    newest: Commit
    newest_at: tuple[int, int]  # its log and block
    follows: LogHead | None
    why_read_only: str | None  # though the store may be written
    warnings: dict[str, str]


def stand(disk: Disk, chain: Chain, device_keys: DeviceKeys, options: Options, undo: ExitStack) -> Ground:
    """Opens the logs, which `undo` closes. Raises KeyMissing, NotAStore, Corrupt, OSError."""
    link_keys = options.link_keys
    if link_keys is None:
        device, epochs = device_number(chain, device_keys), epoch_keys_of(chain, device_keys)
    else:
        device, epochs = by_link.NOBODY, by_link.checked_keys(chain, link_keys)
    current = max(epochs)
    sealer = Sealer(epochs, {c for e in chain.epochs.values() for c in e.ciphers}, current)
    logs = open_logs(disk, chain, device, device_keys, options)
    for log in logs.values():
        undo.callback(log.close)
    warnings: dict[str, str] = {}
    residence = load_residence(disk, chain, logs, epochs[current], warnings)
    if link_keys is None:
        note_lacking(chain, logs, device, residence)
    nodes = Nodes(logs, sealer)
    lengths = {
        entry.number: writers.readable_length(entry, device, logs[entry.number].signed_length)
        for entry in chain.logs.values()
        if entry.kind == LOG_METADATA
    }
    if link_keys is not None:
        lengths = {number: by_link.readable_length(logs[number], length, epochs) for number, length in lengths.items()}
        if by_link.has_ended(chain, epochs):
            warnings[by_link.WARNING] = by_link.ENDED
    why = writers.why_barred(chain, device)
    found = find_newest(
        nodes,
        lengths,
        replace(options, read_only=options.read_only or options.older_will_do or why is not None),
        warnings,
        lambda blocks: not options.older_will_do and all(residence.has_left(ref) for ref in blocks),
    )
    if found is not None:
        check_content(found[0], logs)
    metadata, content = _logs_of(chain, device, found, link_keys is not None)
    newest, *place = found or (genesis(content, device, current), 0, 0)
    newest_log = None if found is None else found[1]
    if why is None and not options.take_over:
        why = writers.why_not_now(chain, device, newest_log, logs[metadata].signed_length > 0)
    follows = None if options.read_only or why else end_of(chain, logs, metadata, newest_log)
    return Ground(
        chain=chain,
        device=device,
        epoch=epochs[current],
        sealer=sealer,
        logs=logs,
        residence=residence,
        nodes=nodes,
        metadata=metadata,
        content=content,
        newest=newest,
        newest_at=(place[0], place[1]),
        follows=follows,
        why_read_only=why,
        warnings=warnings,
    )


def _logs_of(chain: Chain, device: int, newest: Found | None, by_link: bool) -> tuple[int, int]:
    """The numbers of a device's logs of metadata and of content; by a link, those that the newest version is in."""
    if not by_link:
        return current_log(chain, device, LOG_METADATA).number, current_log(chain, device, LOG_CONTENT).number
    if newest is None:
        raise Unreachable("nothing of the drive that the link opens has come yet: try again when its owner has synced")
    return newest[1], newest[0].content.log


def _open_catalog(path: Path, ground: Ground, cleared: Cleared, options: Options) -> Catalog:
    newest = (ground.newest, *ground.newest_at)
    truth = Truth(ground.nodes, ground.logs, newest, cleared, options.progress, ground.warnings)
    where = path / folder.INDEX
    if options.link_keys is None and is_incomplete(ground.chain, ground.logs):
        return waiting_catalog(None if options.memory_index or options.read_only else where, truth)
    if options.read_only:
        return passing_catalog(None if options.memory_index else where, truth)
    return memory_catalog(truth) if options.memory_index else open_catalog(where, truth)


def _replayable(ground: Ground, journal: Journal, options: Options) -> list[Item]:
    """What the journal holds and no version does; the blocks that it names are back in their logs."""
    records = journal.open(writable=not options.read_only)
    own = ground.newest.device == ground.device or options.take_over
    folded = ground.newest.journal_sequence if own else 0
    items = replay.items_to_replay(journal, records, folded, options, ground.warnings)
    journal.begin(records, folded)
    lenient = options.read_only or options.rescue
    for number in ground.logs if options.take_over else (ground.content,):
        replay.adopt_blocks(ground.logs[number], number, items, lenient, ground.warnings)
    return items


def chunkstore(ground: Ground, known: FindPlace = lambda chunk: None) -> tuple[ChunkStore, LiveTree]:
    """The store asks the newest root where a chunk was moved to, and the tree asks the store for long attributes.

    `known`: where the index, if there is one, says that a chunk lies.
    """
    trees: list[LiveTree] = []

    def place(chunk: bytes) -> Place | None:
        return trees[0].place(chunk)

    store = ChunkStore(
        ground.logs,
        ground.sealer,
        ground.epoch.chunk_id_key(),
        BlockCache(CACHE_BYTES),
        place,
        known=known,
    )
    ground.nodes.place = place
    trees.append(LiveTree(ground.nodes.load, ground.newest.root, store.read_chunk))
    return store, trees[0]


def _overlay(ground: Ground, live: LiveTree, options: Options) -> Overlay:
    newest = ground.newest
    own = newest.next_ino >> COUNTER_BITS == ground.device
    overlay = Overlay(live, newest.next_ino if own else first_ino(ground.device), options.wall_ns)
    overlay.files, overlay.directories = newest.files, newest.directories
    overlay.file_bytes = newest.file_bytes
    return overlay


@dataclass
class Writing:
    """What takes changes up to the point where a commit does."""

    overlay: Overlay
    files: Files
    content: Content
    journaling: Journaling
    reserve: Reserve


def _writing(
    path: Path, ground: Ground, catalog: Catalog, journal: Journal, store: ChunkStore, overlay: Overlay
) -> Writing:
    reserve = Reserve(path / folder.RESERVE)
    chunker = Chunker(chunker_seed(ground.epoch.chunk_id_key()))
    content = Content(
        ground.logs[ground.content], ground.content, store, chunker, catalog.place, reserve.room, catalog.may_need
    )
    files = Files(overlay, content)
    return Writing(overlay, files, content, Journaling(overlay, journal, content, files), reserve)


def _committer(ground: Ground, writing: Writing, catalog: Catalog, options: Options) -> Committer:
    writer = CommitWriter(
        log=ground.logs[ground.metadata],
        number=ground.metadata,
        device=ground.device,
        sealer=ground.sealer,
        node_id_key=ground.epoch.node_id_key(),
        nodes=ground.nodes,
        catalog=catalog,
        content=writing.content,
        follows=ground.follows,
        wall_ns=options.wall_ns,
    )
    return Committer(
        overlay=writing.overlay,
        files=writing.files,
        content=writing.content,
        journaling=writing.journaling,
        writer=writer,
        nodes=ground.nodes,
        catalog=catalog,
        newest=ground.newest,
        reserve=writing.reserve,
    )


def _assemble(
    path: Path, disk: Disk, chain: Chain, device_keys: DeviceKeys, options: Options, undo: ExitStack
) -> Parts:
    ground = stand(disk, chain, device_keys, options, undo)
    catalog = _open_catalog(path, ground, Cleared.of(chain.records), options)
    undo.callback(catalog.close)
    keeps = not options.read_only
    options = replace(options, read_only=options.read_only or ground.why_read_only is not None)
    journal = Journal(disk, JournalCipher(ground.epoch.journal_key), lambda: os.urandom(12))
    undo.callback(journal.close)
    items = _replayable(ground, journal, options)
    store, live = chunkstore(ground, catalog.lies)
    writing = _writing(path, ground, catalog, journal, store, _overlay(ground, live, options))
    overlay, files = writing.overlay, writing.files
    committer = _committer(ground, writing, catalog, options)

    def device_of(log: int) -> int:
        return parts.chain.logs[log].device

    def epochs_of(chain: Chain) -> Mapping[int, EpochKeys]:
        return epoch_keys_of(chain, device_keys) if options.link_keys is None else options.link_keys

    replay.apply(items, overlay, files, options.read_only, ground.warnings)
    _load_policies(overlay, options.read_only or options.rescue, ground.warnings)
    rescue.note_damaged_heads(ground.logs, ground.warnings)
    parts = Parts(
        drive_id=chain.drive_id,
        device=ground.device,
        read_only=options.read_only,
        why_read_only=ground.why_read_only,
        link_keys=options.link_keys,
        keeps=keeps,
        disk=disk,
        lock=None,
        chain=chain,
        sealer=ground.sealer,
        epochs_of=epochs_of,
        logs=ground.logs,
        residence=ground.residence,
        metadata_number=ground.metadata,
        newest_at=ground.newest_at,
        journal=journal,
        catalog=catalog,
        nodes=ground.nodes,
        chunkstore=store,
        overlay=overlay,
        names=Namespace(overlay),
        files=files,
        content=writing.content,
        journaling=writing.journaling,
        committer=committer,
        versions=Versions(catalog, ground.nodes, live, lambda: committer.newest, store.read_chunk, device_of),
        node_id_key=ground.epoch.node_id_key(),
        signer=device_keys.signing(),
        transport=device_keys.transport(),
        replayed=bool(items) or journal.last_sequence > journal.durable,
        warnings=ground.warnings,
    )
    return parts


def _load_policies(overlay: Overlay, lenient: bool, warnings: dict[str, str]) -> None:
    try:
        overlay.policies.load(overlay.live.facts(keys.prefix(keys.NO_INO, keys.POLICY)))
    except rescue.DAMAGE as error:
        if not lenient:
            raise Corrupt(f"what is protected can't be read: {error}", "", rescue.ADVICE) from error
        warnings["policies"] = "the policies of files and folders can't be read: a part of the tree is damaged"
