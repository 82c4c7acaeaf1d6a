"""What to ask of whom, for one log: pure.

Upgrades come first, of the one who offers the longest tree and one at a time. Then blocks: those that are wanted, in
the order in which they are wanted, of whoever has them and has room. No block is asked of two peers at a time: one
that is slow is told to forget it (`give_up`), and another is asked.

Where many neighbours are wanted, they are asked for in scattered order. A block comes with the nodes of the tree
between it and the nearest that is known; asked for one after another, with many on their way, all would come with
the same ones: 765 kB went over the wire for 600 blocks of 1,000 bytes, and 647 kB this way.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from hyperfs.log.cleared import Range
from hyperfs.log.proof import MAX_LENGTH, UpgradeRequest
from hyperfs.replication.bitfield import Bitfield
from hyperfs.replication.exchange import Exchange

_UNBOUNDED: Final = MAX_LENGTH
_GROUP: Final = 1 << 12
"""Blocks that are scattered among each other."""
_SCATTERED_FROM: Final = 256
"""A shorter run is asked for in its order: somebody may be reading it."""
_ORDER: Final = [int(f"{place:012b}"[::-1], 2) for place in range(_GROUP)]
"""Places in a group so that each is as far as can be from those before."""
ALL: Final[tuple[Range, ...]] = ((0, MAX_LENGTH),)


class Wish(NamedTuple):
    """Ask `exchange` for this: a block, or an upgrade. A block's `nodes` are the owner's to fill in.

    `within`: the block is of a tree of that length, which was asked for just before and has not come."""

    exchange: Exchange
    block: int | None
    upgrade: UpgradeRequest | None
    within: int | None = None


class Scheduler:
    """One log's requests. The owner says what came, what failed and who left."""

    def __init__(self, length: int, have: Iterable[Range], wanted: Iterable[Range] = ALL) -> None:
        """`length`: of the tree here; `have`: blocks that need not be asked for."""
        self.length = length
        self._peers: list[Exchange] = []
        self._claimed = Bitfield(_UNBOUNDED)
        """Blocks that are here or on their way."""
        for start, end in have:
            self._claimed.add(start, end)
        self._wanted = list(wanted)
        self._cursors: dict[int, int] = {}
        """Group -> how far in _ORDER its blocks were asked for."""
        self._asked: dict[int, Exchange] = {}
        self._upgrading: Exchange | None = None
        self._along: list[int] = []
        """Blocks that were asked for with the upgrade that is under way."""
        self.along = 0
        """So many of the last blocks of a longer tree are asked for with it, wanted or not: without waiting for it, and
        for word of who has them. Each of them brings its whole way up, so few."""

    def want(self, wanted: Iterable[Range]) -> None:
        """Which blocks are to be had, the most urgent first. What is on its way still comes."""
        self._wanted = list(wanted)
        self._cursors.clear()

    def join(self, exchange: Exchange) -> None:
        self._peers.append(exchange)

    def leave(self, exchange: Exchange) -> None:
        """It is gone; others may be asked what it was asked."""
        self._peers.remove(exchange)
        self.release(exchange)

    def release(self, exchange: Exchange) -> None:
        """Nothing that it was asked is waited for any more."""
        if self._upgrading is exchange:
            self.upgrade_failed()
        for block in [block for block, asked in self._asked.items() if asked is exchange]:
            self.give_up(block)

    def upgraded(self, length: int) -> None:
        """The tree here is as long as this now, whoever brought it."""
        self.length = length
        self._upgrading = None
        self._along = []

    def upgrade_failed(self) -> None:
        """Nor can what was asked for along with it be checked."""
        self._upgrading = None
        along, self._along = self._along, []
        for block in along:
            self.give_up(block)

    def came(self, block: int) -> None:
        """The block is kept."""
        self._asked.pop(block, None)
        self._claimed.add(block, block + 1)

    def denied(self, block: int) -> None:
        """Whoever was asked does not have it after all."""
        if exchange := self._asked.get(block):
            exchange.remote_has.discard(block, block + 1)
        self.give_up(block)

    def give_up(self, block: int) -> None:
        """It does not come from whoever was asked; it is asked for again."""
        if self._asked.pop(block, None):
            self._claimed.discard(block, block + 1)

    def lost(self, start: int, end: int) -> None:
        """Blocks that were here are not any more."""
        self._claimed.discard(start, end)

    @property
    def under_way(self) -> int:
        """Requests that are not answered."""
        return len(self._asked) + (self._upgrading is not None)

    def missing(self) -> bool:
        """Whether any wanted block of the tree as it is is neither here nor on its way."""
        wanted = [(start, min(end, self.length)) for start, end in self._wanted]
        return any(self._claimed.next_unset(start, end) < end for start, end in wanted if start < end)

    def wishes(self) -> Iterator[Wish]:
        """What to ask now: all of it counts as asked."""
        if upgrade := self._upgrade():
            yield upgrade
            yield from self._with(upgrade.exchange, upgrade.exchange.remote.length)
        waiting = [(exchange, exchange.room) for exchange in self._peers if exchange.room]
        while waiting:
            # In turn, so that several peers share the work.
            served, waiting = waiting, []
            for exchange, room in served:
                block = self._next_of(exchange)
                if block is None:
                    continue
                self._claimed.add(block, block + 1)
                self._asked[block] = exchange
                if room > 1:
                    waiting.append((exchange, room - 1))
                yield Wish(exchange, block, None)

    def inquiries(self) -> Iterator[tuple[Exchange, int]]:
        """Wanted blocks of which somebody has not said whether they have them: for Exchange.inquire."""
        for start, end in self._wanted:
            end = min(end, self.length)
            block = self._claimed.next_unset(start, end)
            if block < end:
                yield from ((exchange, block) for exchange in self._peers if _may_have(exchange, block))

    def _upgrade(self) -> Wish | None:
        if self._upgrading is not None:
            return None
        offers = [exchange for exchange in self._peers if exchange.can_upgrade and exchange.room]
        if not offers:
            return None
        best = max(offers, key=lambda exchange: exchange.remote.length)
        self._upgrading = best
        return Wish(best, None, UpgradeRequest(self.length, best.remote.length - self.length))

    def _with(self, exchange: Exchange, length: int) -> Iterator[Wish]:
        """The newest blocks of the tree that was just asked for."""
        for block in range(max(self.length, length - min(self.along, exchange.room)), length):
            if block not in self._claimed:
                self._claimed.add(block, block + 1)
                self._asked[block] = exchange
                self._along.append(block)
                yield Wish(exchange, block, None, length)

    def _next_of(self, exchange: Exchange) -> int | None:
        if exchange.remote.fork != exchange.fork:
            return None
        for start, end in self._wanted:
            end = min(end, self.length)
            while start < end:
                start = self._claimed.next_unset(start, end)
                found = exchange.remote_has.next_set(start, end)
                if found == start < end:
                    return self._scattered(exchange, start, end) if end - start >= _SCATTERED_FROM else start
                start = found
        return None

    def _scattered(self, exchange: Exchange, first: int, end: int) -> int:
        """A block of the group of `first` that may be asked for instead; else `first`, which may be."""
        group = first // _GROUP
        at = self._cursors.get(group, 0)
        while at < _GROUP:
            block = group * _GROUP + _ORDER[at]
            at += 1
            if first <= block < end and block not in self._claimed and block in exchange.remote_has:
                break
        else:
            block = first
        self._cursors[group] = at
        return block


def _may_have(exchange: Exchange, block: int) -> bool:
    return block < exchange.remote.length and block not in exchange.remote_has
