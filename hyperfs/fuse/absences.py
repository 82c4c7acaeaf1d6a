"""What a handler lacks on this device is brought, and the handler runs again: the one place for all of them.

Here it is decided what stays of it. Of a file of class cold or archive nothing does: it is streamed. Of others it does,
unless the program that reads looks at everything (policy/scanning.py): that is streamed too, at a bounded rate, and
what it had brought back before that was noticed may leave again.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol, TypeVar

import trio

from hyperfs.chunks.extents import Extent
from hyperfs.errors import HyperfsError, NotResident
from hyperfs.fuse.background import Background
from hyperfs.fuse.programs import program_of
from hyperfs.policy.attributes import CLASS
from hyperfs.policy.scanning import STREAM_BYTES_PER_SECOND, WINDOW_SECONDS, Program
from hyperfs.values import BlockRef
from hyperfs.volume.inode import Inode
from hyperfs.volume.volume import Volume

R = TypeVar("R")

STREAMED: Final = (b"cold", b"archive")
FIRST_AHEAD_BYTES: Final = 1 << 20
MOST_AHEAD_BYTES: Final = 8 << 20
PACED_MOST_SECONDS: Final = 10.0
"""So long a read of a scan waits for its turn at most."""


class Reader(Protocol):
    """An open file, as far as this needs to know it."""

    inode: Inode
    pid: int
    program: Program | None
    is_cold: bool
    ahead_to: int
    ahead_bytes: int


FindReader = Callable[[int], Reader]
FindExtents = Callable[[Reader, int, int], Sequence[Extent]]


class Absences:
    """Owned by the trio thread."""

    def __init__(self, volume: Volume, reader_of: FindReader, extents_of: FindExtents) -> None:
        """`reader_of`: an open file by its handle; `extents_of` one that have bytes between two offsets."""
        self._volume = volume
        self._reader_of = reader_of
        self._extents_of = extents_of
        self.background = Background()
        self._next_turn: dict[Program, float] = {}
        self._brought: dict[Program, dict[BlockRef, float]] = {}

    async def again(self, operation: Callable[[], Awaitable[R]], handle: int | None, absent: NotResident) -> R:
        """`handle`: of a read, the open file's. Raises Unreachable, and what the operation raises."""
        self.background.wait(1)
        try:
            return await self._again(operation, handle, absent)
        finally:
            self.background.wait(-1)

    async def _again(self, operation: Callable[[], Awaitable[R]], handle: int | None, absent: NotResident) -> R:
        if handle is None:
            return await self._volume.returning.again(operation, absent, keep=True)
        reader = self._reader_of(handle)
        if reader.program is None:
            reader.program = program_of(reader.pid)
        reader.is_cold = True
        keep = self._count(reader, absent.blocks)
        if self._is_scan(reader.program):
            await self._take_turn(reader.program, absent.blocks)
        return await self._volume.returning.again(operation, absent, keep)

    def goes_on(self, reader: Reader, offset: int) -> None:
        """A file of which something was not here is read in sequence, so far up to `offset`."""
        if reader.program is None or self._is_scan(reader.program):
            return
        if offset + reader.ahead_bytes // 2 < reader.ahead_to:
            return  # enough is on its way
        reader.ahead_bytes = min(MOST_AHEAD_BYTES, max(FIRST_AHEAD_BYTES, 2 * reader.ahead_bytes))
        start, end = max(offset, reader.ahead_to), min(reader.inode.size, offset + reader.ahead_bytes)
        reader.ahead_to = max(reader.ahead_to, end)
        if start >= end:
            return
        try:
            extents = self._extents_of(reader, start, end)
        except HyperfsError:
            return  # whoever reads on will be told
        has_left, is_lent = self._volume.parts.residence.has_left, self._volume.returning.is_lent
        blocks = dict.fromkeys(BlockRef(at.log, at.block) for e in extents for at in (e.place, *e.bases))
        missing = [ref for ref in blocks if has_left(ref) and not is_lent(ref)]
        if missing:
            self._volume.returning.ahead(missing, self._count(reader, missing))

    def _count(self, reader: Reader, blocks: Sequence[BlockRef]) -> bool:
        """Whether blocks that are brought for a reader stay."""
        assert reader.program is not None
        scans, program, now = self._volume.scans, reader.program, trio.current_time()
        was_scan = self._is_scan(program)
        scans.note(program, reader.inode.ino, sum(self._size(ref) for ref in blocks), now)
        if self._is_scan(program):
            if not was_scan:
                self._send_away(program, now)
            return False
        if self._volume.overlay.policies.held(reader.inode.ino, CLASS).value in STREAMED:
            return False
        self._brought.setdefault(program, {}).update(dict.fromkeys(blocks, now))
        return True

    def _send_away(self, program: Program, now: float) -> None:
        """What a program had brought back lately, before it was known for a scan."""
        brought = self._brought.pop(program, {})
        self._volume.unwanted.update(ref for ref, at in brought.items() if at > now - WINDOW_SECONDS)
        for other, blocks in list(self._brought.items()):
            if all(at <= now - WINDOW_SECONDS for at in blocks.values()):
                del self._brought[other]

    def _is_scan(self, program: Program) -> bool:
        return self._volume.scans.is_scan(program, trio.current_time())

    async def _take_turn(self, program: Program, blocks: Sequence[BlockRef]) -> None:
        now = trio.current_time()
        turn = min(max(now, self._next_turn.get(program, now)), now + PACED_MOST_SECONDS)
        self._next_turn[program] = turn + sum(self._size(ref) for ref in blocks) / STREAM_BYTES_PER_SECOND
        if len(self._next_turn) > 100:
            self._next_turn = {other: at for other, at in self._next_turn.items() if at > now}
        await trio.sleep_until(turn)

    def _size(self, ref: BlockRef) -> int:
        log = self._volume.parts.logs.get(ref.log)
        return 0 if log is None or ref.index >= log.length else log.size_about(ref.index)
