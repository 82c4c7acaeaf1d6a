"""Opening a drive: from a folder and a device's keys to a volume that can be used.

    keys -> control chain -> logs -> newest commit -> index caught up -> journal replayed

A half-open store is closed again when any step fails; nothing is changed on disk before all have passed but
the index, which is derived.
"""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hyperfs.chunks.cache import BlockCache
from hyperfs.chunks.chunker import Chunker, chunker_seed
from hyperfs.chunks.chunkstore import ChunkStore
from hyperfs.crypto.journal_cipher import JournalCipher
from hyperfs.crypto.keys import LOG_CONTENT, LOG_METADATA, DeviceKeys, EpochKeys
from hyperfs.crypto.seal import Sealer
from hyperfs.errors import Corrupt, KeyMissing, NotAStore
from hyperfs.log import control_codec
from hyperfs.log.control import Chain
from hyperfs.log.control_codec import LogEntry
from hyperfs.log.log import BLOCKS_FILE, HEADS_FILE, TREE_FILE, Log
from hyperfs.log.manifest import default_v1, discovery_key
from hyperfs.store import folder
from hyperfs.store.files import Disk
from hyperfs.store.folder import StoreLock
from hyperfs.store.journal import Journal
from hyperfs.volume import replay, rescue
from hyperfs.volume.catch_up import memory_catalog, open_catalog
from hyperfs.volume.commit import Committer
from hyperfs.volume.commit_record import Commit, LogHead, RealmRoot
from hyperfs.volume.content import Content
from hyperfs.volume.files import Files
from hyperfs.volume.journaling import Journaling
from hyperfs.volume.namespace import Namespace
from hyperfs.volume.nodes import Nodes
from hyperfs.volume.overlay import Overlay
from hyperfs.volume.parts import Parts
from hyperfs.volume.reserve import Reserve
from hyperfs.volume.tree import LiveTree
from hyperfs.volume.versions import Versions, read_commit
from hyperfs.volume.volume import Volume

CACHE_BYTES: Final = 64 << 20
"""Decoded content blocks kept in memory."""
COUNTER_BITS: Final = 48
"""Inode numbers: 15 bits of device above a counter of 48."""

LOG_FILES: Final = (BLOCKS_FILE, TREE_FILE, HEADS_FILE)

Progress = Callable[[str, int, int], None]
"""(what is being done, done, of how many): for a progress bar."""


def no_progress(what: str, done: int, of: int) -> None:
    """Nobody watches."""


@dataclass
class Options:
    """How to open. `disk` and `wall_ns` are there for tests that put faults and other times in their place.

    `reserve_bytes` is how much a new store sets aside; None takes what reserve.py reckons. `take_over` is for a
    recovery: the journal in the store is that of a device that is no more, and this one goes on from there.
    """

    read_only: bool = False
    memory_index: bool = False
    take_over: bool = False
    reserve_bytes: int | None = None
    disk: Callable[[Path], Disk] = Disk
    wall_ns: Callable[[], int] = time.time_ns
    progress: Progress = no_progress


def first_ino(device: int) -> int:
    """The first inode number that a device may give out; 1 is the root."""
    return (device << COUNTER_BITS) + 2


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
        undo.pop_all()
        return Volume(parts)


def _device_number(chain: Chain, device_keys: DeviceKeys) -> int:
    public = device_keys.signing().public_key
    for device in chain.devices.values():
        if device.signing_key == public:
            return device.number
    raise KeyMissing("the key file in this store belongs to no device of this drive: put the right one back")


def epoch_keys_of(chain: Chain, device_keys: DeviceKeys) -> dict[int, EpochKeys]:
    """Every epoch's keys that are sealed to the device. Raises KeyMissing, Corrupt."""
    box = device_keys.box()
    found = {}
    for number, sealed in chain.sealed_copies(box.public_key).items():
        keys = EpochKeys.from_payload(number, box.open(sealed))
        if keys.key_id != chain.epochs[number].key_id:
            raise Corrupt("an epoch's sealed key is not the one that its record names", f"epoch {number}")
        found[number] = keys
    if not found:
        raise KeyMissing("no epoch of this drive is sealed to this device's key")
    return found


def log_folder(entry: LogEntry) -> str:
    """The folder of a log in the store, named by its discovery key."""
    return f"{folder.LOGS}/{discovery_key(default_v1(entry.public_key).key()).hex()}"


def _open_logs(disk: Disk, chain: Chain, device: int, keys: DeviceKeys, options: Options) -> dict[int, Log]:
    logs: dict[int, Log] = {}
    for entry in chain.logs.values():
        name = log_folder(entry)
        gone = [part for part in LOG_FILES if not disk.exists(f"{name}/{part}")]
        if gone:
            raise NotAStore(f"half a store: {', '.join(gone)} of log {entry.number} ({name}) missing; put them back")
        signer = None
        if entry.device == device and entry.state == control_codec.OPEN and not options.read_only:
            signer = keys.log_signer(entry.kind, serial_of(chain, entry))
        logs[entry.number] = Log.open(
            disk, name, entry.public_key, signer, entry.number, writable=not options.read_only
        )
        if signer is not None:
            logs[entry.number].settle()
    return logs


def serial_of(chain: Chain, entry: LogEntry) -> int:
    """How many logs of its kind its device had before it."""
    return sum(
        e.device == entry.device and e.kind == entry.kind and e.number < entry.number
        for e in chain.logs.values()
    )


def current_log(chain: Chain, device: int, kind: int) -> LogEntry:
    """The device's open log of a kind. Raises Corrupt when the roster has none."""
    for entry in reversed(list(chain.logs.values())):
        if entry.device == device and entry.kind == kind and entry.state == control_codec.OPEN:
            return entry
    raise Corrupt(f"the roster has no open log of kind {kind} for device {device}", folder.CONTROL)


def genesis(content_number: int, device: int, epoch: int) -> Commit:
    """The state before the first version: nothing."""
    return Commit(
        version=0,
        device=device,
        time_ns=0,
        wall_ns=0,
        clock=0,
        display_second=0,
        listed_second=0,
        journal_sequence=0,
        next_ino=first_ino(device),
        files=0,
        directories=0,
        file_bytes=0,
        content=LogHead(content_number, 0, 0, 0, bytes(32)),
        parents=(),
        realms=(RealmRoot(0, epoch, None),),
    )


def newest_commit(nodes: Nodes, logs: dict[int, Log], metadata: Sequence[int]) -> Commit | None:
    """The newest version that any of the metadata logs ends with; None when all are empty."""
    newest: Commit | None = None
    for number in metadata:
        if logs[number].signed_length:
            commit = read_commit(nodes, number, logs[number].signed_length - 1)
            if newest is None or commit.version > newest.version:
                newest = commit
    return newest


def _end_of(
    newest: Commit, logs: dict[int, Log], own: int, metadata: Sequence[int], nodes: Nodes
) -> LogHead | None:
    """The head that the first commit of an empty log goes on from: that of the log with the newest version."""
    if logs[own].signed_length:
        return None
    for number in metadata:
        head = logs[number].head()
        if head.length and read_commit(nodes, number, head.length - 1).version == newest.version:
            return LogHead(number, head.fork, head.length, head.byte_length, head.tree_hash)
    return None


def _check_content(commit: Commit, logs: dict[int, Log]) -> None:
    """The content log must hold at least what the commit saw: heads are synced in that order."""
    head = commit.content
    log = logs.get(head.log)
    if log is None or log.signed_length < head.length:
        raise Corrupt(
            f"the content log has {log.signed_length if log else 0} signed blocks and version "
            f"{commit.version} rests on {head.length}",
            f"log {head.log}",
            "its heads file is damaged: restore it from a copy or a peer",
        )


def _assemble(
    path: Path, disk: Disk, chain: Chain, device_keys: DeviceKeys, options: Options, undo: ExitStack
) -> Parts:
    device = _device_number(chain, device_keys)
    epochs = epoch_keys_of(chain, device_keys)
    current = max(epochs)
    sealer = Sealer(epochs, {c for e in chain.epochs.values() for c in e.ciphers}, current)
    logs = _open_logs(disk, chain, device, device_keys, options)
    for log in logs.values():
        undo.callback(log.close)
    nodes = Nodes(logs, sealer)
    metadata = current_log(chain, device, LOG_METADATA).number
    content_number = current_log(chain, device, LOG_CONTENT).number
    all_metadata = [e.number for e in chain.logs.values() if e.kind == LOG_METADATA]
    warnings: dict[str, str] = {}
    found = _newest(nodes, logs, all_metadata, options, warnings)
    newest = found or genesis(content_number, device, current)
    if found is not None:
        _check_content(found, logs)
    if options.memory_index or options.read_only:
        catalog = memory_catalog(nodes, logs, newest, options.progress, warnings, lenient=options.read_only)
    else:
        catalog = open_catalog(path / folder.INDEX, nodes, logs, newest, options.progress, warnings)
    undo.callback(catalog.close)
    journal = Journal(disk, JournalCipher(epochs[current].journal_key), lambda: os.urandom(12))
    undo.callback(journal.close)
    records = journal.open(writable=not options.read_only)
    own = newest.device == device or options.take_over
    folded = newest.journal_sequence if own else 0
    items = replay.items_to_replay(journal, records, folded, options.read_only, warnings)
    journal.begin(records, folded)
    for number in logs if options.take_over else (content_number,):
        replay.adopt_blocks(logs[number], number, items, options.read_only, warnings)
    chunk_key = epochs[current].chunk_id_key()
    chunkstore = ChunkStore(
        logs,
        sealer,
        chunk_key,
        BlockCache(CACHE_BYTES),
        lambda chunk: live.place(chunk),  # noqa: PLW0108  # the tree comes next, and it needs the store
    )
    live = LiveTree(nodes.load, newest.root, chunkstore.read_chunk)
    next_ino = newest.next_ino if newest.next_ino >> COUNTER_BITS == device else first_ino(device)
    overlay = Overlay(live, next_ino, options.wall_ns)
    overlay.files, overlay.directories = newest.files, newest.directories
    overlay.file_bytes = newest.file_bytes
    reserve = Reserve(path / folder.RESERVE)
    chunker = Chunker(chunker_seed(chunk_key))
    content = Content(logs[content_number], content_number, chunkstore, chunker, catalog.place, reserve.room)
    files = Files(overlay, content)
    journaling = Journaling(overlay, journal, content, files)
    committer = Committer(
        overlay=overlay,
        files=files,
        content=content,
        journaling=journaling,
        log=logs[metadata],
        number=metadata,
        device=device,
        sealer=sealer,
        node_id_key=epochs[current].node_id_key(),
        nodes=nodes,
        catalog=catalog,
        newest=newest,
        follows=None if options.read_only else _end_of(newest, logs, metadata, all_metadata, nodes),
        wall_ns=options.wall_ns,
        reserve=reserve,
    )
    replay.apply(items, overlay, files, options.read_only, warnings)
    _note_damage(logs, warnings)
    return Parts(
        drive_id=chain.drive_id,
        device=device,
        read_only=options.read_only,
        disk=disk,
        lock=None,
        chain=chain,
        sealer=sealer,
        logs=logs,
        metadata_number=metadata,
        journal=journal,
        catalog=catalog,
        nodes=nodes,
        chunkstore=chunkstore,
        overlay=overlay,
        names=Namespace(overlay),
        files=files,
        content=content,
        journaling=journaling,
        committer=committer,
        versions=Versions(catalog, nodes, live, lambda: committer.newest, chunkstore.read_chunk),
        node_id_key=epochs[current].node_id_key(),
        replayed=bool(items) or journal.last_sequence > folded,
        warnings=warnings,
    )


def _newest(
    nodes: Nodes, logs: dict[int, Log], metadata: Sequence[int], options: Options, warnings: dict[str, str]
) -> Commit | None:
    """The newest version; read-only, the newest that can be read."""
    try:
        return newest_commit(nodes, logs, metadata)
    except rescue.DAMAGE as error:
        if not options.read_only:
            raise Corrupt(f"the newest version can't be read: {error}", "", rescue.ADVICE) from error
    found = rescue.newest_readable(nodes, logs, metadata, warnings)
    return None if found is None else found[0]


def _note_damage(logs: dict[int, Log], warnings: dict[str, str]) -> None:
    for number, log in logs.items():
        if log.damaged_head_slot is not None:
            warnings[f"head-{number}"] = (
                f"one of the two heads of log {number} was unreadable; its twin served. Check the disk"
            )
