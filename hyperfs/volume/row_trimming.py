"""Rows of the derived index that versions left behind which are gone: taken away where they say nothing any more.

- births of content blocks (`j`) by such a version count as those of the next kept one;
- what such versions changed in and below a folder (`h`) goes to the next kept one;
- of an inode that no kept version has no row stays;
- a name that went (`w`) can't be had again when no kept version has what it named.

What they changed in a file that is there stays: it tells how many of its states are not kept. Rows are hints: whoever
asks meanwhile finds the same. For a worker thread: reads all rows there are, as a trimming of chunks does.
"""

from collections.abc import Callable, Iterator
from itertools import groupby

from hyperfs.volume import change_rows as rows
from hyperfs.volume.catalog import BIRTH_PREFIX, Catalog, Change, decode_birth
from hyperfs.volume.change_collector import BELOW, LEFT
from hyperfs.volume.change_rows import RowCodec, Touched
from hyperfs.volume.rescue import UNREADABLE
from hyperfs.volume.touched import Trees


def lapsed_rows(
    catalog: Catalog, codec: RowCodec, trees: Trees, is_pinned: Callable[[int], bool]
) -> Iterator[list[Change]]:
    """The changes, in lists that belong together. `is_pinned`: whether an inode is kept alone."""
    yield from _births(catalog)
    filled = rows.filled(catalog.row(rows.FILLED_KEY))
    for ino, found in groupby(catalog.rows(rows.INODE_PREFIX, rows.INODE_PREFIX), key=lambda row: rows.ino_of(row[0])):
        touched = [rows.touched(*row) for row in found]
        newest = catalog.version(touched[0].version)
        if newest is None and not is_pinned(ino) and _is_nowhere(catalog, trees, ino, touched[0].version):
            yield [(rows.inode_row(ino, row.version, 0)[0], None) for row in touched]
        else:
            yield from _of_folder(catalog, ino, touched, filled)
    for key, value in catalog.rows(rows.WENT_PREFIX, rows.WENT_PREFIX):
        went = codec.went(key, value)
        if went is None or is_pinned(went.ino):
            continue
        times = dict.fromkeys((went.began_ns, went.time_ns))
        if not any(_has(trees, catalog.at_time(time_ns - 1) or 0, went.ino) for time_ns in times):
            yield [(key, None)]


def _births(catalog: Catalog) -> Iterator[list[Change]]:
    for key, value in catalog.rows(BIRTH_PREFIX, BIRTH_PREFIX):
        version, length = decode_birth(key, value)
        if catalog.version(version) is not None:
            continue
        following = next(catalog.versions(version), None)
        if following is not None:
            # Of one that stored nothing itself the row is the only one that tells.
            yield [(key, following.version.to_bytes(8, "big") if following.content_length == length else None)]


def _of_folder(catalog: Catalog, ino: int, touched: list[Touched], filled: int) -> Iterator[list[Change]]:
    """What versions that are gone changed in a folder; nothing of a file."""
    flags = {row.version: row.flags for row in touched}
    for row in touched:
        if not row.flags & (LEFT | BELOW) or catalog.version(row.version) is not None:
            continue
        following = next(catalog.versions(row.version), None)
        if following is None or following.version > filled:
            continue  # its rows are made of all that came since the kept version before it
        flags[following.version] = flags.get(following.version, 0) | row.flags
        yield [
            (rows.inode_row(ino, row.version, 0)[0], None),
            rows.inode_row(ino, following.version, flags[following.version]),
        ]


def _is_nowhere(catalog: Catalog, trees: Trees, ino: int, version: int) -> bool:
    """Whether no kept version has an inode that was there in one which is gone: neither the one before nor the one
    behind it does."""
    following = next(catalog.versions(version), None)
    if following is None:
        return False
    return not _has(trees, following.version, ino) and not _has(trees, trees.before(following), ino)


def _has(trees: Trees, version: int, ino: int) -> bool:
    """Whether a version has an inode; also where that can't be told. There is none before the first."""
    try:
        return bool(version) and trees.of(version).inode(ino) is not None
    except UNREADABLE:
        return True
