"""Other places that hold blocks of our logs: what the volume asks of them, and a twin that has nothing.

Only blocks of content logs are ever elsewhere, and only as they lie in the log: sealed. The volume compares what it is
given with the log's signed tree (`LogReader.fits`), so a place can lie and do no harm. What is said here of a place by
name is what was configured on this device. All of it is called by the trio thread.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import trio

from hyperfs.errors import Unreachable
from hyperfs.policy.placement import Strength
from hyperfs.values import BlockRef


class Wish(NamedTuple):
    """Blocks [first, end) of a content log are to be at `copies` of these places. `places`: the names that the policy
    allows and that are configured; never empty. `soon`: they leave as soon as they may, else only under pressure.
    `strength`: the strongest of what needs them; a place may keep them by it in a class of its own."""

    log: int
    first: int
    end: int
    places: frozenset[str]
    copies: int
    soon: bool
    strength: Strength = Strength.AUTO


class Elsewhere(Protocol):
    """Places that are not this device."""

    @property
    def places(self) -> frozenset[str]:
        """The names of those that are configured, reachable or not."""

    async def fetch(self, blocks: Sequence[BlockRef]) -> Mapping[BlockRef, bytes]:
        """All of these blocks, sealed. Bytes that don't fit the log's tree should be asked of another place, and be
        an event. Raises Unreachable, with the place and why, past a deadline of its own or when no place has them.
        May be cancelled at any await."""

    def proven(self, log: int, first: int, end: int) -> frozenset[str]:
        """The places that have a current proof for all of these blocks: by what is remembered, without asking them."""

    async def confirm(self, log: int, first: int, end: int) -> frozenset[str]:
        """As `proven`, and each place was asked again just now (it is listed, of the right length and checksum). What
        is dropped here rests on this answer. A place that can't be asked is left out; nothing is raised for it."""

    def want(self, wishes: Sequence[Wish]) -> None:
        """In this order these blocks are to be brought to places, in the background; in place of what was wanted
        before. What is there already stays there, wanted or not, until retention clears it."""

    def kept_bytes(self, log: int, first: int, end: int) -> Mapping[str, int]:
        """How much of these blocks places keep that give it back when it is cleared: by name, where it is something."""

    def storage_classes(self, strength: Strength) -> Mapping[str, str]:
        """The places that would keep such blocks in a class of their own, not their standard one: by name, which."""

    async def changed(self) -> None:
        """Returns when more is proven than when this was called, or another place is configured."""


class Nowhere:
    """There are no other places."""

    places: frozenset[str] = frozenset()

    async def fetch(self, blocks: Sequence[BlockRef]) -> Mapping[BlockRef, bytes]:
        raise Unreachable(f"{_shown(blocks)} left this device, and no other place is configured that has it")

    def proven(self, log: int, first: int, end: int) -> frozenset[str]:
        return frozenset()

    async def confirm(self, log: int, first: int, end: int) -> frozenset[str]:
        return frozenset()

    def want(self, wishes: Sequence[Wish]) -> None:
        """There is nowhere to bring them."""

    def kept_bytes(self, log: int, first: int, end: int) -> Mapping[str, int]:
        return {}

    def storage_classes(self, strength: Strength) -> Mapping[str, str]:
        return {}

    async def changed(self) -> None:
        await trio.sleep_forever()


def _shown(blocks: Iterable[BlockRef]) -> str:
    first = next(iter(blocks))
    return f"block {first.index} of log {first.log}"
