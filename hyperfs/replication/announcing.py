"""Who has which blocks, as both sides of a log's channel tell each other.

A side that has all of its log says so unasked, as one range. Of others it is asked: Want names a stretch of blocks,
and the answer is ranges, or bits where there are too many ranges; then changes within it are told as they come. Of
the last blocks of a log everybody hears.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from hyperfs.log.proof import MAX_LENGTH
from hyperfs.replication import messages
from hyperfs.replication.bitfield import Bitfield
from hyperfs.replication.messages import Message, Range, Unwant, Want

STRETCH: Final = 1 << 21
"""Blocks in a Want; npm answers to none that is longer."""
MOST_WANTS: Final = 512
"""Stretches that the other side may name; with more, or odd ones, it hears everything."""
NEWEST: Final = 256
"""Blocks at the end of a log whose coming is told without being wanted."""
ANSWERED_AT_ONCE: Final = 4
"""Wants; each answer has at most 256 KiB."""
_MOST_RANGES: Final = 64
"""In an answer; bits are found quicker than many runs."""
_RANGE_BYTES: Final = 12  # of one, in a batch, at most for a log of 2^32 blocks


class Announcing:
    """One side. `have` is read, `remote_has` is kept up to date."""

    def __init__(self, have: Bitfield, remote_has: Bitfield) -> None:
        self._have = have
        self._remote_has = remote_has
        self._remote_wants: set[tuple[int, int]] | None = set()
        """Stretches as (start, end); None: everything."""
        self._told_whole = 0
        """The length up to which the other side was told that all is here."""
        self._inquired: set[int] = set()
        self._due: dict[Want, None] = {}
        """Wants that are not yet answered, in order. An answer may be 25,000 times as long as its Want."""

    def begin(self, length: int) -> Iterator[Message]:
        """What is said unasked: how much there is from the first block on."""
        end = self._have.next_unset(0, length)
        if end:
            self._told_whole = end if end == length else 0
            yield Range(0, end)

    def gained(self, start: int, end: int, length: int) -> Iterator[Message]:
        """Of blocks [start, end), which `have` has by now, in a log of `length`."""
        if self._have.next_unset(0, length) == length:
            if self._told_whole < length:
                self._told_whole = length
                yield Range(0, length)
            return
        # Who asked hears of what it has itself too: it may have asked to know that there is another copy.
        is_news = start + NEWEST >= length and self._remote_has.next_unset(start, end) < end
        if is_news or self._is_wanted(start, end):
            yield Range(start, end - start)

    def lost(self, start: int, end: int) -> Iterator[Message]:
        self._told_whole = min(self._told_whole, start)
        yield Range(start, end - start, drop=True)

    def wanted(self, want: Want) -> None:
        """Note a Want, which `answers` answers when there is room. The same one twice is answered once."""
        self._note(want)
        if len(self._due) < MOST_WANTS:
            self._due[want] = None

    def answers(self, length: int) -> Iterator[Message]:
        """Of the next few Wants."""
        for want in list(islice(self._due, ANSWERED_AT_ONCE)):
            del self._due[want]
            yield from self._answer(want, length)

    def _answer(self, want: Want, length: int) -> Iterator[Message]:
        start, end = want.start, min(want.start + want.length, length)
        if start >= end:
            return
        contiguous = self._have.next_unset(0, length)
        if end <= contiguous:
            yield Range(0, contiguous)
            return
        first = start & ~(messages.WORD_BITS - 1)
        words = -(-(min(end, first + STRETCH) - first) // messages.WORD_BITS)
        end = min(end, first + STRETCH)
        most = 1 if want.any else min(_MOST_RANGES, max(1, words * messages.WORD_BITS // 8 // _RANGE_BYTES))
        runs = list(islice(self._have.runs(start, end), most + 1))
        if want.any or len(runs) <= most:
            # Ranges add to what was told before; nothing else that the other side believes is wrong.
            yield from (Range(low, high - low) for low, high in runs[:most])
            return
        yield messages.Bitfield(first, self._have.bits(first, first + words * messages.WORD_BITS))

    def unwanted(self, unwant: Unwant) -> None:
        if self._remote_wants is not None:
            self._remote_wants.discard((unwant.start, unwant.start + unwant.length))

    def inquire(self, block: int) -> Iterator[Message]:
        """Which blocks around this one are there, on the other side?"""
        stretch = block // STRETCH
        if stretch not in self._inquired and len(self._inquired) < MOST_WANTS:
            self._inquired.add(stretch)
            yield Want(stretch * STRETCH, STRETCH)

    def told(self, message: Range | messages.Bitfield) -> None:
        """What the other side has. What it says of blocks that no log can have is not noted."""
        if isinstance(message, Range):
            end = min(message.start + message.length, MAX_LENGTH)
            change = self._remote_has.discard if message.drop else self._remote_has.add
            change(message.start, end)
        elif message.start % messages.WORD_BITS == 0 and message.start + 8 * len(message.bits) <= MAX_LENGTH:
            self._remote_has.put(message.start, message.bits)

    def _note(self, want: Want) -> None:
        if self._remote_wants is None:
            return
        if want.length > STRETCH or len(self._remote_wants) >= MOST_WANTS:
            self._remote_wants = None
        else:
            self._remote_wants.add((want.start, want.start + want.length))

    def _is_wanted(self, start: int, end: int) -> bool:
        if self._remote_wants is None:
            return True
        return any(start < high and low < end for low, high in self._remote_wants)
