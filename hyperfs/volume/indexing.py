"""The derived index of a drive that is being opened: the one in its folder, or one made anew of the logs.

A writable opening makes a lost or damaged index anew in the folder. A read-only one changes nothing: it reads the
folder's index, or where that is of no use has one of its own for as long as it lasts.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hyperfs.errors import Corrupt, IndexDamaged
from hyperfs.log.cleared import Cleared
from hyperfs.log.log import Log
from hyperfs.store.index import KeyValue
from hyperfs.store.memory import MemoryIndex
from hyperfs.store.rocksdb import RocksIndex
from hyperfs.store.scratch import ScratchIndex
from hyperfs.volume import rescue
from hyperfs.volume.catalog import Catalog
from hyperfs.volume.catch_up import Progress, catch_up
from hyperfs.volume.nodes import Nodes
from hyperfs.volume.rescue import Found

MEMORY_ENTRIES: Final = 200_000
"""Entries of the newest tree up to which an index that will not last is made in memory: some 100 MB."""


@dataclass(frozen=True)
class Truth:
    """What an index is derived from, and who is told. `warnings` is added to."""

    nodes: Nodes
    logs: dict[int, Log]
    newest: Found
    cleared: Cleared
    progress: Progress
    warnings: dict[str, str]

    def tell(self, catalog: Catalog, lost: list[str] | None = None) -> int:
        """Catches the index up; see catch_up."""
        return catch_up(catalog, self.nodes, self.logs, self.newest, self.progress, lost)


def open_catalog(where: Path, truth: Truth) -> Catalog:
    """The index in the folder `where`, caught up with the newest version; made anew when it is damaged.

    Raises Corrupt when the newest version's tree can't be read.
    """
    try:
        return _caught_up(RocksIndex(where), truth)
    except IndexDamaged as damage:
        truth.warnings["index"] = f"the index was damaged and has been rebuilt from the logs ({damage.what})"
    except rescue.UNREADABLE as error:
        # What it goes on from is damaged. The newest version may be whole all the same.
        truth.warnings["index"] = f"the index could not be caught up and has been rebuilt from the logs ({error})"
    shutil.rmtree(where)
    return _made_anew(RocksIndex(where), truth)


def waiting_catalog(where: Path | None, truth: Truth) -> Catalog:
    """One that knows nothing yet, since names and versions have not all come: it is filled when they have."""
    if where is None:
        return Catalog(MemoryIndex(), truth.cleared)
    shutil.rmtree(where, ignore_errors=True)
    return Catalog(RocksIndex(where), truth.cleared)


def memory_catalog(truth: Truth) -> Catalog:
    """A writable opening's index in memory, for tests. Raises Corrupt as open_catalog."""
    return _made_anew(MemoryIndex(), truth)


def _made_anew(index: KeyValue, truth: Truth) -> Catalog:
    try:
        return _caught_up(index, truth, must=False)
    except rescue.UNREADABLE as error:
        raise Corrupt(f"the index can't be made anew: {error}", "", rescue.ADVICE) from error


def _caught_up(index: KeyValue, truth: Truth, must: bool = True) -> Catalog:
    """`must`: an index that can't be written is a damaged one. Closes it when it fails."""
    try:
        catalog = Catalog(index, truth.cleared)
        missing = truth.tell(catalog)
        if catalog.trouble and must:
            raise IndexDamaged(catalog.trouble)
    except BaseException:
        index.close()
        raise
    if catalog.trouble:
        truth.warnings["index"] = f"the index can't be written and is kept in memory ({catalog.trouble})"
    if missing:
        truth.warnings["damage"] = rescue.words_of_loss(missing, [])
    return catalog


def passing_catalog(where: Path | None, truth: Truth) -> Catalog:
    """For a read-only opening: the folder's index as it stands, or one of what can be read."""
    if where is not None and where.is_dir() and "newest" not in truth.warnings:
        try:
            return _as_it_stands(where, truth)
        except (*rescue.UNREADABLE, OSError) as error:
            if any(where.glob("CURRENT")):
                truth.warnings["index"] = f"the index can't be used; it is rebuilt when the drive is mounted ({error})"
    return _of_what_can_be_read(truth)


def _as_it_stands(where: Path, truth: Truth) -> Catalog:
    """What came after it stays in memory, since it takes no writes."""
    index = RocksIndex(where, read_only=True)
    try:
        catalog = Catalog(index, truth.cleared)
        if catalog.mark() is None:
            raise IndexDamaged("the index was not finished")
        truth.tell(catalog)
    except BaseException:
        index.close()
        raise
    catalog.trouble = None  # that it can't be written is no news
    return catalog


def _of_what_can_be_read(truth: Truth) -> Catalog:
    root = truth.newest[0].root
    small = root is None or root.count <= MEMORY_ENTRIES
    catalog = Catalog(MemoryIndex() if small else ScratchIndex(), truth.cleared)
    lost: list[str] = []
    try:
        missing = truth.tell(catalog, lost)
    except BaseException:
        catalog.close()
        raise
    if missing or lost:
        truth.warnings["damage"] = rescue.words_of_loss(missing, lost)
    return catalog
