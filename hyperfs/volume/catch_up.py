"""Bringing the derived index up to the newest version: a few commits after a crash, all of them after its loss.

The mark, which says how far the index goes, is in the last batch; where it takes several batches the first one takes
the old mark away. So a kill leaves an index that is behind, or one without a mark, which is begun anew.

Memory does not grow with the drive: what is found goes to the index in batches.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from hyperfs.chunks.extents import Extent, Place
from hyperfs.errors import IndexDamaged
from hyperfs.log.log import Log
from hyperfs.trie.diff import diff
from hyperfs.trie.lookup import lookup
from hyperfs.trie.node import Ref
from hyperfs.trie.walk import walk
from hyperfs.volume import catalog as catalog_changes
from hyperfs.volume import keys, rescue
from hyperfs.volume.catalog import NOWHERE, Catalog, Change, ChunkFacts, Mark, chunk_change, content_change
from hyperfs.volume.commit_record import Commit
from hyperfs.volume.entries import decode_place, extent_in, kind_of_key
from hyperfs.volume.gone import GoneVersions, marked_in
from hyperfs.volume.nodes import Nodes
from hyperfs.volume.rescue import Found
from hyperfs.volume.versions import read_commit

BATCH: Final = 10_000
"""Changes, or chunks, that go to the index at once."""
TELL_ENTRIES: Final = 1_000

Progress = Callable[[str, int, int], None]


def catch_up(
    catalog: Catalog,
    nodes: Nodes,
    logs: dict[int, Log],
    newest: Found,
    progress: Progress,
    lost: list[str] | None = None,
    has_waited: bool = False,
) -> int:
    """Raises IndexDamaged when the index claims what the logs do not hold, Corrupt for a newest tree with damage.

    With `lost`, what can't be read of the newest tree is noted there and left out. Older versions whose commit can't
    be read are left out always: how many is returned. `has_waited`: nothing of versions was ever put into it.
    """
    mark = catalog.mark()
    commit = newest[0]
    gone = _gone(nodes, commit.root, lenient=lost is not None)
    if mark is not None:
        if gone.has(mark.version):
            raise IndexDamaged("the index ends with a version that was let go since")
        _check_mark(catalog, nodes, logs, mark, commit)
    elif not has_waited and not catalog.is_empty():
        raise IndexDamaged("the index was not finished")
    known = mark.version if mark is not None else 0
    catalog.forget_gone(gone)
    if commit.version == known:
        return 0
    filling = _Filling(catalog, progress, fresh=mark is None, lenient=lost is not None)
    before, missing = filling.versions(nodes, logs, newest, known, gone)
    if known:
        filling.differences(nodes, before, commit.root)
    else:
        filling.chunks(nodes, commit.root, lost)
    filling.end()
    return missing


class _Filling:
    """One run: collects changes and hands them on in batches."""

    def __init__(self, catalog: Catalog, progress: Progress, fresh: bool, lenient: bool) -> None:
        self._catalog = catalog
        self._progress = progress
        self._fresh = fresh
        self._lenient = lenient
        self._changes: list[Change] = []
        self._last: list[Change] = []  # those of the newest version, with the mark
        self._live: dict[bytes, int] = {}
        self._facts: dict[bytes, tuple[Place, int]] = {}

    def versions(
        self, nodes: Nodes, logs: dict[int, Log], newest: Found, known: int, gone: GoneVersions
    ) -> tuple[Ref | None, int]:
        """The root that the index knows, and how many commits after it can't be read though they are kept."""
        later: Commit | None = None
        wanted = newest[0].version - known
        missing = wanted - _gone_after(gone, known, newest[0].version)
        for commit, log, index in rescue.history(nodes, newest, gone):
            self._progress("index: reading versions", newest[0].version - commit.version + 1, wanted)
            if gone.has(commit.version):
                continue
            if later is not None and _longer(later, commit):
                self._changes.append(content_change(later))
            if commit.version <= known:
                return commit.root, missing
            if later is None:
                self._last = catalog_changes.commit_changes(commit, log, index, logs[log].fork)
            else:
                self._add(catalog_changes.version_changes(commit, log, index))
            later = commit
            missing -= 1
        if later is not None and later.content.length:
            self._changes.append(content_change(later))
        return None, missing

    def differences(self, nodes: Nodes, old: Ref | None, new: Ref | None) -> None:
        for key, before, after in diff(nodes.load, old, new):
            for entry, by in ((before, -1), (after, 1)):
                extent = extent_in(key, entry)
                if extent is not None:
                    self._count(nodes, new, extent, by)
            if after is not None and kind_of_key(key) == keys.PLACE:
                self._moved(key[keys.PREFIX_BYTES :], decode_place(after[0]))
        self._flush_chunks(nodes, new)

    def chunks(self, nodes: Nodes, root: Ref | None, lost: list[str] | None) -> None:
        entries = walk(nodes.load, root) if lost is None else rescue.readable_entries(nodes.load, root, lost)
        of = root.count if root is not None else 0
        for done, (key, value, hint) in enumerate(entries, 1):
            extent = extent_in(key, (value, hint))
            if extent is not None:
                self._count(nodes, root, extent, 1)
            if done % TELL_ENTRIES == 0 or done == of:
                self._progress("index: listing chunks", done, of)
        self._flush_chunks(nodes, root)

    def end(self) -> None:
        self._catalog.apply([*self._changes, *self._last])

    def _add(self, changes: list[Change]) -> None:
        self._changes += changes
        if len(self._changes) >= BATCH:
            if not self._fresh:
                self._changes.append(catalog_changes.NO_MARK)
                self._fresh = True
            self._catalog.apply(self._changes)
            self._changes = []

    def _count(self, nodes: Nodes, root: Ref | None, extent: Extent, by: int) -> None:
        self._live[extent.chunk] = self._live.get(extent.chunk, 0) + by
        self._facts[extent.chunk] = (extent.place, extent.chunk_length)
        if len(self._live) >= BATCH:
            self._flush_chunks(nodes, root)

    def _moved(self, chunk: bytes, place: Place) -> None:
        known = self._catalog.chunk(chunk)
        if known is not None:
            self._add([chunk_change(chunk, known._replace(place=place))])

    def _flush_chunks(self, nodes: Nodes, root: Ref | None) -> None:
        places = self._places(nodes, root)
        changes = []
        for chunk, difference in self._live.items():
            known = self._catalog.chunk(chunk)
            place, length = self._facts[chunk]
            if known is not None and known.live and known.place != NOWHERE:
                place = known.place
            place = places(chunk) or place
            live = max(0, (known.live if known is not None else 0) + difference)
            changes.append(chunk_change(chunk, ChunkFacts(place, length, live)))
        self._live, self._facts = {}, {}
        # A full batch goes to the index at once: a chunk that comes again is found there with its count.
        self._add(changes)

    def _places(self, nodes: Nodes, root: Ref | None) -> Callable[[bytes], Place | None]:
        """Where the newest root says that a chunk was moved to."""

        def place(chunk: bytes) -> Place | None:
            found = lookup(nodes.load, root, keys.place_key(chunk))
            return None if found is None else decode_place(found[0])

        def leniently(chunk: bytes) -> Place | None:
            with suppress(*rescue.UNREADABLE):
                return place(chunk)
            return None

        if self._lenient:
            return leniently
        moved = next(walk(nodes.load, root, keys.prefix(keys.NO_INO, keys.PLACE)), None)
        return place if moved is not None else lambda chunk: None


def _gone(nodes: Nodes, root: Ref | None, lenient: bool) -> GoneVersions:
    """What was let go: nothing, leniently, where that can't be read."""
    try:
        return marked_in(nodes.load, root)
    except rescue.UNREADABLE:
        if not lenient:
            raise
        return GoneVersions({})


def _gone_after(gone: GoneVersions, known: int, newest: int) -> int:
    """How many versions in (known, newest] are under a mark."""
    return sum(max(0, min(found.gone.last, newest) - max(found.first, known + 1) + 1) for found in gone.ranges)


def _longer(later: Commit, earlier: Commit) -> bool:
    """Whether the content log grew: then the later one is the birth of what came."""
    return later.content.log != earlier.content.log or later.content.length > earlier.content.length


def _check_mark(catalog: Catalog, nodes: Nodes, logs: dict[int, Log], mark: Mark, newest: Commit) -> None:
    """That the version which the index ends with is one of ours: else it is of another drive, or another past."""
    facts = catalog.version(mark.version)
    log = logs.get(mark.log)
    if facts is None or log is None or not 0 < mark.length <= log.signed_length or mark.version > newest.version:
        raise IndexDamaged("the index is of another drive, or of a later state of this one")
    try:
        commit = read_commit(nodes, mark.log, mark.length - 1)
    except rescue.UNREADABLE as error:
        raise IndexDamaged(f"the index does not end with a version: {error}") from error
    seen = (commit.version, commit.time_ns, commit.display_second, commit.content.length)
    # The time is to the nanosecond: two drives, or two pasts of one, do not share it by chance.
    if seen != (facts.version, facts.time_ns, facts.second, facts.content_length):
        raise IndexDamaged("the index is of another drive, or of another past of this one")
