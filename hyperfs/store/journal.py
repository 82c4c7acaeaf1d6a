"""The journal: sealed records in preallocated, recycled segments.

What fsync acknowledged and no commit holds yet lives here and nowhere else, so the reader must tell two things
apart: a torn tail (a record whose sync never returned: drop it) and damage (a record that was once durable:
refuse). Every record says through which sequence number the journal *was already* durable when it was written;
a record never speaks of itself, since a power cut may keep a later record and lose an earlier one.

Format: docs/formats/journal.md.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hyperfs.errors import Corrupt
from hyperfs.store.files import Disk, DiskFile
from hyperfs.store.journal_records import (
    FOLDER,
    FRAME_BYTES,
    HEADER,
    MAGIC,
    NO_TAG,
    TAG_BYTES,
    Cipher,
    Kind,
    Record,
    read_records,
)

SEGMENT_BYTES: Final = 4 << 20
FIRST_SEGMENTS: Final = 2
"""Made with the store. They are always there and whole; more are made when they are needed."""
MOST_SEGMENTS: Final = 0xFFFF
"""More are used when need be, and not told of."""


@dataclass
class Segment:
    """A segment file in use. `last` is the highest sequence number in it; `end` the next free byte."""

    name: str
    file: DiskFile
    id: int = 0
    end: int = 0
    last: int = 0
    unsynced: bool = False


class Journal:
    """The writer's side. One call at a time, from whichever thread; its owner has a lock for that. Only `live_bytes`
    and `last_sequence` may be asked for at any time."""

    def __init__(self, disk: Disk, cipher: Cipher, nonce: Callable[[], bytes]) -> None:
        self._disk = disk
        self._cipher = cipher
        self._nonce = nonce
        self._free: list[Segment] = []
        self._live: list[Segment] = []
        self._next_segment = 1
        self._next_sequence = 1
        self._tag = NO_TAG
        self._given_up = False  # the last records on disk are a change that was not finished
        self.durable = 0
        self.damage: str | None = None
        """What is wrong with the segments as files, as `open` found it: records may have gone with them."""

    @staticmethod
    def create(disk: Disk, segments: int = FIRST_SEGMENTS) -> None:
        """Writes the empty segments, zeros and not holes, so that a synced overwrite touches no metadata."""
        disk.makedirs(FOLDER)
        for number in range(segments):
            _zeroed(disk, f"{FOLDER}/{number:04d}").close()
        disk.sync_folder(FOLDER)

    @staticmethod
    def make_whole(disk: Disk) -> None:
        """Segments that are missing or cut short are there again, with zeros where records were. For a repair."""
        disk.makedirs(FOLDER)
        names = disk.listdir(FOLDER)
        for number in range(max(FIRST_SEGMENTS, len(names))):
            name = f"{FOLDER}/{number:04d}"
            if not disk.exists(name):
                _zeroed(disk, name).close()
                continue
            file = disk.open(name)
            size = file.size()
            if size < SEGMENT_BYTES:
                file.pwrite(bytes(SEGMENT_BYTES - size), size)
                file.fdatasync()
            file.close()
        disk.sync_folder(FOLDER)

    def open(self, writable: bool = True) -> list[Record]:
        """Opens the segments and returns every record that opens, by sequence number. See `damage` too."""
        records: list[Record] = []
        empty: list[Segment] = []
        self.damage = None
        for name in self._names():
            file = self._disk.open(f"{FOLDER}/{name}", writable=writable)
            found = self._found(file.pread(file.size(), 0), name)
            records += found
            # Everything found counts as live until begin() says what a commit holds of it.
            segment = Segment(f"{FOLDER}/{name}", file, end=SEGMENT_BYTES)
            segment.last = max((r.sequence for r in found), default=0)
            self._next_segment = max([self._next_segment, *(r.segment + 1 for r in found)])
            (self._live if found else empty).append(segment)
        used = max((int(s.name.rpartition("/")[2]) + 1 for s in self._live), default=0)
        self._take_empty(empty, max(used, segments_in(records)))
        records.sort(key=lambda r: r.sequence)
        self.damage = self.damage or self.missing(records)
        return records

    def _take_empty(self, empty: list[Segment], known: int) -> None:
        """The segments without records are free, but not one that a kill may have left half made: its name need not
        be on the disk. It is made again when it is needed."""
        for segment in empty:
            if segment.name < f"{FOLDER}/{known:04d}":
                self._free.append(segment)
            else:
                segment.file.close()

    def _found(self, data: bytes, name: str) -> list[Record]:
        found: list[Record] = []
        try:
            found.extend(read_records(data, self._cipher))
        except Corrupt as error:
            self.damage = f"the journal's segment {name} is damaged: {error.what}"
        return found

    def records(self) -> list[Record]:
        """Every record on the disk now, read anew: for checks, from any thread."""
        records: list[Record] = []
        for name in self._names():
            records += read_records(self._disk.read_all(f"{FOLDER}/{name}"), self._cipher)
        return sorted(records, key=lambda r: r.sequence)

    def missing(self, records: list[Record]) -> str | None:
        """What has gone from the folder, if anything, by what its records say; from any thread."""
        names = self._names()
        for number in range(segments_in(records)):
            name = f"{number:04d}"
            if name not in names:
                return f"the journal's segment {name} is missing"
            if self._disk.size(f"{FOLDER}/{name}") < SEGMENT_BYTES:
                return f"the journal's segment {name} was cut short"
        return None

    def _names(self) -> list[str]:
        return sorted(self._disk.listdir(FOLDER)) if self._disk.exists(FOLDER) else []

    def begin(self, records: list[Record], folded: int) -> None:
        """Goes on after everything ever seen: a number that a torn record used is not used again."""
        self._next_sequence = max([folded, *(r.sequence for r in records)]) + 1
        self._tag = records[-1].tag if records else NO_TAG
        self.durable = folded
        self.recycle(folded)

    @property
    def last_sequence(self) -> int:
        """The newest record's sequence number; what a commit that holds everything up to now names."""
        return self._next_sequence - 1

    @property
    def live_bytes(self) -> int:
        """Bytes of segments that wait for a commit."""
        return sum(s.end for s in list(self._live))

    def has_room(self, size: int) -> bool:
        """Whether a change of so many bytes, and the note behind it, need no further segment."""
        last = self._live[-1] if self._live else None
        return last is not None and bool(last.id) and last.end + size + 2 * FRAME_BYTES <= SEGMENT_BYTES

    def append(self, payload: bytes, kind: int = Kind.CHANGE) -> int:
        """Writes a change without syncing it; returns its sequence number. Long ones become several records.

        Raises OSError (ENOSPC where a further segment has no room); then none of the change will be replayed.
        """
        if self._given_up:
            self._write(b"", Kind.NOTE)
            self._given_up = False
        room = SEGMENT_BYTES - FRAME_BYTES
        start = 0
        while len(payload) - start > room:
            self._write(payload[start : start + room], Kind.MORE)
            self._given_up = True  # until the change's last record is written
            start += room
        sequence = self._write(payload[start:], kind)
        self._given_up = False
        return sequence

    def _write(self, payload: bytes, kind: int) -> int:
        segment = self._segment_for(FRAME_BYTES + len(payload))
        sequence = self._next_sequence
        files = min(len(self._live) + len(self._free), MOST_SEGMENTS)
        header = HEADER.pack(MAGIC, kind, 0, files, len(payload), segment.id, sequence, self.durable, self._tag)
        nonce = self._nonce()
        sealed = self._cipher.encrypt(segment.id, nonce, header, payload)
        segment.file.pwrite(header + nonce + sealed, segment.end)
        segment.end += FRAME_BYTES + len(payload)
        segment.last = sequence
        segment.unsynced = True
        self._tag = sealed[-TAG_BYTES:]
        self._next_sequence = sequence + 1
        return sequence

    def _segment_for(self, size: int) -> Segment:
        if self._live and self._live[-1].id and self._live[-1].end + size <= SEGMENT_BYTES:
            return self._live[-1]
        if not self._free:
            self._free.append(self._another())
        segment = self._free.pop(0)
        segment.id, self._next_segment = self._next_segment, self._next_segment + 1
        segment.end = segment.last = 0
        self._live.append(segment)
        if not self._free:
            # The next segment is there before this one is written, so that its records tell of it: else nobody
            # would know that it is gone, with all its records. On a full disk it has to wait.
            with contextlib.suppress(OSError):
                self._free.append(self._another())
        return segment

    def _another(self) -> Segment:
        name = f"{FOLDER}/{len(self._live) + len(self._free):04d}"
        file = _zeroed(self._disk, name)
        try:
            self._disk.sync_folder(FOLDER)
        except BaseException:
            file.close()
            raise
        return Segment(name, file)

    def sync(self) -> int:
        """Syncs what was appended before the call; returns the sequence number through which all is durable.

        The caller reports it with `mark_durable`.
        """
        through = self.last_sequence
        for segment in list(self._live):
            if segment.unsynced:
                segment.unsynced = False
                segment.file.fdatasync()
        return through

    def mark_durable(self, through: int) -> None:
        """Notes it on disk, without a sync of its own, as evidence for the next open."""
        if through > self.durable:
            self.durable = through
            self.append(b"", Kind.NOTE)

    def recycle(self, folded: int) -> None:
        """Frees the segments whose every record a synced commit holds."""
        for segment in [s for s in self._live if s.last <= folded]:
            self._live.remove(segment)
            self._free.append(segment)

    def close(self) -> None:
        """Closes the files; nothing is synced."""
        for segment in self._live + self._free:
            segment.file.close()
        self._live, self._free = [], []


def segments_in(records: list[Record]) -> int:
    """How many segments there must be."""
    return max([FIRST_SEGMENTS, *(r.segments for r in records)])


def _zeroed(disk: Disk, name: str) -> DiskFile:
    file = disk.open(name, create=True)
    try:
        file.pwrite(bytes(SEGMENT_BYTES), 0)
        file.fdatasync()
    except BaseException:
        file.close()
        raise
    return file
