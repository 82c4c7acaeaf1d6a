"""The index on RocksDB. The only module that imports it.

RocksDB drops a damaged tail of its log or manifest without a word, and a dropped manifest record can take a
middle piece of history with it. So each batch puts a marker with its number and deletes the marker before:
after any loss but that of the newest batches there are two markers or none, and opening raises IndexDamaged.

Keys within RocksDB: b"k" + key -> value; b"m" + number (u64, big-endian) -> empty; b"b" -> empty, from the
first batch. The page is docs/formats/index.md.
"""

import contextlib
import errno
import itertools
import os
import struct
import threading
import weakref
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Final

from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    DbClosedError,
    DBCompressionType,
    DBRecoveryMode,
    Options,
    Rdict,
    RdictIter,
    ReadOptions,
    WriteBatch,
)

from hyperfs.errors import IndexDamaged, Refused, StoreLocked
from hyperfs.store.index import check_change
from hyperfs.store.rocksdb_records import damaged_record

BLOCK_CACHE_BYTES: Final = 16 << 20
WRITE_BUFFER_BYTES: Final = 4 << 20
MAX_OPEN_FILES: Final = 64
_LOG_BYTES: Final = 64 << 10

_KEY: Final = b"k"
_MARKER: Final = b"m"
_BORN: Final = b"b"
_NUMBER: Final = struct.Struct(">Q")


class RocksIndex:
    """A KeyValue in a folder of its own, which nothing else writes. Opens it, or makes what is not there.

    Raises IndexDamaged when RocksDB finds its files wrong, now or at any later call: close it, delete the
    folder, make a new index and fill it from the logs. ENOSPC and EIO go up as OSError.
    """

    def __init__(self, folder: Path, read_only: bool = False, small: bool = False) -> None:
        """`read_only`: one that must be there, of which nothing changes; every write raises OSError (EROFS). `small`: a
        quarter of the memory, for work that nobody waits for.

        Raises Refused for a path that is no UTF-8.
        """
        _check_path(folder)
        self._folder = folder
        self._read_only = read_only
        # Numbers of batches must reach RocksDB in order: held from taking a number to the end of the write.
        self._writing = threading.Lock()
        self._scans: weakref.WeakSet[Generator[tuple[bytes, bytes], None, None]] = weakref.WeakSet()
        self._read_options = _read_options()
        if not read_only:
            folder.mkdir(mode=0o700, exist_ok=True)
        if (where := damaged_record(folder)) is not None:
            raise IndexDamaged("a record of the index is damaged", f"{folder}: {where}", _ADVICE)
        try:
            self._db = Rdict(str(folder), _options(4 if small else 1), access_type=_access(read_only))
        except BaseException as error:  # a panic of the library's is no Exception
            raise self._translated(error) from error
        try:
            self._batches = self._check_markers()
        except BaseException:
            _close(self._db)
            raise

    def get(self, key: bytes) -> bytes | None:
        try:
            value: bytes | None = self._db.get(_KEY + key, None, self._read_options)
        except BaseException as error:
            raise self._translated(error) from error
        return value

    def write(self, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
        if self._read_only:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self._folder))
        batch = WriteBatch(raw_mode=True)
        for key, value in changes:
            check_change(key, value)
            if value is None:
                batch.delete(_KEY + key)
            else:
                batch.put(_KEY + key, value)
        with self._writing:
            batch.delete(_MARKER + _NUMBER.pack(self._batches))
            batch.put(_MARKER + _NUMBER.pack(self._batches + 1), b"")
            self._write(batch)
            self._batches += 1

    def scan(self, prefix: bytes = b"", start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        found = self._walk(_KEY + prefix, _KEY + max(prefix, start))
        self._scans.add(found)
        return found

    def flush(self) -> None:
        try:
            self._db.flush_wal(True)
        except BaseException as error:
            raise self._translated(error) from error

    def compact(self) -> None:
        try:
            self._db.flush(True)
            self._db.compact_range(None, None)
        except BaseException as error:
            raise self._translated(error) from error

    def close(self) -> None:
        for scan in list(self._scans):
            scan.close()
        _close(self._db)

    def _write(self, batch: WriteBatch) -> None:
        try:
            self._db.write(batch)
        except BaseException as error:
            raise self._translated(error) from error

    def _walk(self, prefix: bytes, start: bytes) -> Generator[tuple[bytes, bytes], None, None]:
        """Made here and not in the generator, RocksDB's iterator sees the state at the call."""
        try:
            iterator = self._db.iter(self._read_options)
            iterator.seek(start)
        except BaseException as error:
            raise self._translated(error) from error
        return self._pairs(iterator, prefix)

    def _pairs(self, iterator: RdictIter, prefix: bytes) -> Generator[tuple[bytes, bytes], None, None]:
        skip = len(_KEY)
        while iterator.valid():
            key, value = iterator.key(), iterator.value()
            if not key.startswith(prefix):
                return
            yield key[skip:], value
            iterator.next()
        # Not valid is the end or an error: without this, damage would look like a shorter index.
        try:
            iterator.status()
        except BaseException as error:
            raise self._translated(error) from error

    def _check_markers(self) -> int:
        """The number of the last batch. Begins the index when it holds nothing at all."""
        markers = [_MARKER + key for key, _ in itertools.islice(self._walk(_MARKER, _MARKER), 2)]
        try:
            born = self._db.get(_BORN, None, self._read_options)
        except BaseException as error:
            raise self._translated(error) from error
        if len(markers) == 1 and born is not None and len(markers[0]) == len(_MARKER) + _NUMBER.size:
            return int(_NUMBER.unpack(markers[0][len(_MARKER) :])[0])
        if self._read_only or markers or born is not None or next(self._walk(b"", b""), None) is not None:
            raise IndexDamaged("the index has lost some of its batches", str(self._folder), _ADVICE)
        batch = WriteBatch(raw_mode=True)
        batch.put(_BORN, b"")
        batch.put(_MARKER + _NUMBER.pack(0), b"")
        self._write(batch)
        return 0

    def _translated(self, error: BaseException) -> BaseException:
        """The library has one class for all that RocksDB says: its text is all there is to go by."""
        if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError, OSError)):
            return error
        if isinstance(error, DbClosedError):
            return ValueError("the index is closed")
        text = str(error)
        if text.startswith("IO error: lock") or "/LOCK: " in text:
            return StoreLocked(str(self._folder), None)
        for number in (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES, errno.EDQUOT, errno.EMFILE):
            if text.startswith("IO error") and os.strerror(number) in text:
                return OSError(number, text, str(self._folder))
        return IndexDamaged(f"RocksDB can't read its files: {text}", str(self._folder), _ADVICE)


_ADVICE: Final = "nothing is lost: delete the folder and it is rebuilt from the logs"


def _check_path(folder: Path) -> None:
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise Refused(
            f"the index can't be opened: RocksDB takes no path that is not UTF-8, as {os.fsencode(folder)!r}. "
            "Give that folder another name"
        ) from None


def _access(read_only: bool) -> AccessType:
    return AccessType.read_only(error_if_log_file_exist=False) if read_only else AccessType.read_write()


def _close(db: Rdict) -> None:
    """RocksDB flushes here, and is closed whether that works or not.

    A failure is no news: what could not be flushed is still in its log, and the next open finds the damage.
    """
    with contextlib.suppress(Exception):
        db.close()


def _options(part: int) -> Options:
    """Small, quiet, suspicious; with that part of the usual memory. Only flush() syncs the log: what a power cut takes
    is a tail of it."""
    table = BlockBasedOptions()
    table.set_block_cache(Cache(BLOCK_CACHE_BYTES // part))
    table.set_cache_index_and_filter_blocks(True)
    table.set_bloom_filter(10, False)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_block_based_table_factory(table)
    options.set_paranoid_checks(True)
    options.set_wal_recovery_mode(DBRecoveryMode.point_in_time())
    options.set_compression_type(DBCompressionType.lz4())
    options.set_write_buffer_size(WRITE_BUFFER_BYTES // part)
    options.set_max_write_buffer_number(2)
    options.set_max_open_files(MAX_OPEN_FILES)
    options.set_max_file_opening_threads(1)
    options.set_max_background_jobs(2)
    options.set_manifest_preallocation_size(_LOG_BYTES)
    options.set_keep_log_file_num(1)
    options.set_max_log_file_size(_LOG_BYTES)
    options.set_stats_dump_period_sec(0)
    options.set_stats_persist_period_sec(0)
    return options


def _read_options() -> ReadOptions:
    options = ReadOptions()
    options.set_verify_checksums(True)
    return options
