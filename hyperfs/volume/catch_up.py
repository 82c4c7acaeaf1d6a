"""Bringing the derived index up to the newest version: a few commits after a crash, all of them after its loss."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from hyperfs.chunks.extents import Place
from hyperfs.errors import Corrupt, IndexDamaged
from hyperfs.log.cleared import Cleared
from hyperfs.log.log import Log
from hyperfs.store.memory import MemoryIndex
from hyperfs.store.rocksdb import RocksIndex
from hyperfs.trie.diff import diff
from hyperfs.trie.node import Ref
from hyperfs.volume import rescue
from hyperfs.volume.catalog import Catalog, Change, ChunkFacts, Mark, chunk_change, commit_changes, content_change
from hyperfs.volume.commit_record import Commit
from hyperfs.volume.entries import extent_in
from hyperfs.volume.gone import GoneVersions, marked_in
from hyperfs.volume.nodes import Nodes
from hyperfs.volume.versions import read_commit

BATCH: Final = 10_000

Progress = Callable[[str, int, int], None]


def open_catalog(
    where: Path,
    nodes: Nodes,
    logs: dict[int, Log],
    newest: Commit,
    cleared: Cleared,
    progress: Progress,
    warnings: dict[str, str],
) -> Catalog:
    """The index in the folder `where`, caught up with the newest version; made anew when it is damaged."""
    try:
        index = RocksIndex(where)
        try:
            catalog = Catalog(index, cleared)
            catch_up(catalog, nodes, logs, newest, progress)
            if catalog.trouble:
                raise IndexDamaged(catalog.trouble)
            return catalog
        except BaseException:
            index.close()
            raise
    except IndexDamaged as damage:
        warnings["index"] = f"the index was damaged and has been rebuilt from the logs ({damage.what})"
    shutil.rmtree(where)
    catalog = Catalog(RocksIndex(where), cleared)
    catch_up(catalog, nodes, logs, newest, progress)
    if catalog.trouble:
        warnings["index"] = f"the index can't be written and is kept in memory ({catalog.trouble})"
    return catalog


def memory_catalog(
    nodes: Nodes,
    logs: dict[int, Log],
    newest: Commit,
    cleared: Cleared,
    progress: Progress,
    warnings: dict[str, str],
    lenient: bool,
) -> Catalog:
    """An index in memory, made of the logs. `lenient`, of what can be read of them; else Corrupt for damage."""
    catalog = Catalog(MemoryIndex(), cleared)
    try:
        if "newest" not in warnings:
            catch_up(catalog, nodes, logs, newest, progress)
            return catalog
    except rescue.DAMAGE as error:
        if not lenient:
            raise Corrupt(f"the index can't be made anew: {error}", "", rescue.ADVICE) from error
    catalog = Catalog(MemoryIndex(), cleared)
    found = rescue.newest_readable(nodes, logs, [n for n in logs if n != newest.content.log], warnings)
    if found is not None:
        rescue.list_readable(catalog, nodes, logs, found, warnings)
    return catalog


def catch_up(
    catalog: Catalog,
    nodes: Nodes,
    logs: dict[int, Log],
    newest: Commit,
    progress: Progress,
) -> None:
    """Raises IndexDamaged when the index claims what the logs do not hold."""
    gone = marked_in(nodes.load, newest.root)
    mark = catalog.mark()
    if mark is not None:
        if gone.has(mark.version):
            raise IndexDamaged("the index ends with a version that was let go since")
        _check_mark(catalog, nodes, logs, mark, newest)
    known = mark.version if mark is not None else 0
    catalog.forget_gone(gone)
    if newest.version == known:
        return
    missing: list[tuple[Commit, int, int]] = []
    root: Ref | None = None
    for commit, log, index in history(nodes, logs, newest, gone):
        if commit.version <= known:
            root = commit.root
            break
        if not gone.has(commit.version):
            missing.append((commit, log, index))
        progress("reading versions", newest.version - commit.version + 1, newest.version - known)
    missing.reverse()
    changes: list[Change] = []
    for change in _chunk_changes(catalog, nodes, root, newest.root, counted=known > 0):
        changes.append(change)
        if len(changes) >= BATCH and known == 0:
            catalog.apply(changes)
            changes = []
            progress("listing chunks", 0, 0)
    lengths: dict[int, int] = {}  # of each content log, as far as the commits before saw it
    for commit, log, index in missing:
        changes += commit_changes(commit, log, index, logs[log].fork)
        if commit.content.length > lengths.get(commit.content.log, 0):
            changes.append(content_change(commit))
            lengths[commit.content.log] = commit.content.length
    # The mark is in the last batch: a kill before it leaves an index that is caught up anew from the start.
    catalog.apply(changes)


def _check_mark(catalog: Catalog, nodes: Nodes, logs: dict[int, Log], mark: Mark, newest: Commit) -> None:
    """That the version which the index ends with is one of ours: else it is of another drive, or another past."""
    facts = catalog.version(mark.version)
    log = logs.get(mark.log)
    if facts is None or log is None or not 0 < mark.length <= log.signed_length or mark.version > newest.version:
        raise IndexDamaged("the index is of another drive, or of a later state of this one")
    try:
        commit = read_commit(nodes, mark.log, mark.length - 1)
    except Corrupt as error:
        raise IndexDamaged(f"the index does not end with a version: {error}") from error
    seen = (commit.version, commit.time_ns, commit.display_second, commit.content.length)
    # The time is to the nanosecond: two drives, or two pasts of one, do not share it by chance.
    if seen != (facts.version, facts.time_ns, facts.second, facts.content_length):
        raise IndexDamaged("the index is of another drive, or of another past of this one")


def history(
    nodes: Nodes, logs: dict[int, Log], newest: Commit, gone: GoneVersions
) -> Iterator[tuple[Commit, int, int]]:
    """(commit, log, block index) of every version, newest first, down to the oldest that is kept.

    Those in between that are gone are among them: their commits stay while an older version does.
    """
    log, index = _place_of(logs, nodes, newest)
    commit = newest
    while True:
        yield commit, log, index
        if not commit.parents or commit.parents[0].length == 0 or gone.has_all_through(commit.version - 1):
            return
        log, index = commit.parents[0].log, commit.parents[0].length - 1
        commit = read_commit(nodes, log, index)


def _place_of(logs: dict[int, Log], nodes: Nodes, newest: Commit) -> tuple[int, int]:
    for number, log in logs.items():
        if log.signed_length and number != newest.content.log:
            index = log.signed_length - 1
            if newest.parents[0].log == number and newest.parents[0].length <= index:
                return number, index
    for number, log in logs.items():
        # The first commit of a log follows one in another log.
        with suppress(Corrupt):
            if log.signed_length and read_commit(nodes, number, log.signed_length - 1) == newest:
                return number, log.signed_length - 1
    raise AssertionError("the newest commit was read from one of the logs")


def _chunk_changes(catalog: Catalog, nodes: Nodes, old: Ref | None, new: Ref | None, counted: bool) -> Iterator[Change]:
    """`counted`: the index has the extents of `old`. What it has else is of a rebuild that was killed."""
    live: dict[bytes, int] = {}
    facts: dict[bytes, tuple[Place, int]] = {}

    for key, before, after in diff(nodes.load, old, new):
        for entry, by in ((before, -1), (after, 1)):
            extent = extent_in(key, entry)
            if extent is not None:
                live[extent.chunk] = live.get(extent.chunk, 0) + by
                facts[extent.chunk] = (extent.place, extent.chunk_length)
    for chunk, difference in live.items():
        known = catalog.chunk(chunk) if counted else None
        before_count = known.live if known is not None else 0
        place, length = facts[chunk]
        yield chunk_change(
            chunk,
            ChunkFacts(known.place if known and before_count else place, length, max(0, before_count + difference)),
        )
