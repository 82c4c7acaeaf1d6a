"""Long answers, a page at a time: each fits a line of the control socket, and none is ever in memory as a whole.

An answer with `more` goes on with the same request and that number in it. The drive keeps where it was, for a few
askers; who takes longer than others come in the meantime begins anew.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import count
from typing import Final

from hyperfs.daemon import params as given
from hyperfs.daemon.wire import Message
from hyperfs.errors import BadRequest
from hyperfs.volume.pace import Pace

PAGE_ITEMS: Final = 1000
PAGE_BYTES: Final = 256 << 10
"""Of text in a page: in JSON six times that at most."""
OPEN_MOST: Final = 8

Begin = Callable[[], Awaitable[Iterable[Message]]]


class Pages:
    """Of one drive. Owned by the trio thread."""

    def __init__(self) -> None:
        self._open: OrderedDict[int, Iterator[Message]] = OrderedDict()
        self._numbers = count(1)

    async def page(self, params: Message, name: str, begin: Begin) -> Message:
        """Up to PAGE_ITEMS of what `begin` gives, under `name`; made in slices. Raises BadRequest for a `more` that is
        not known any more."""
        items = await self._items(params, begin)
        found: list[Message] = []
        nbytes = 0
        pace = Pace()
        for item in items:
            found.append(item)
            nbytes += sum(len(value) for value in item.values() if isinstance(value, str))
            if len(found) >= PAGE_ITEMS or nbytes >= PAGE_BYTES:
                return {name: found, "more": self._keep(items)}
            await pace.turn()
        return {name: found, "more": None}

    async def _items(self, params: Message, begin: Begin) -> Iterator[Message]:
        if params.get("more") is None:
            return iter(await begin())
        items = self._open.pop(given.number(params, "more"), None)
        if items is None:
            raise BadRequest("too many others asked for long lists meanwhile: begin again")
        return items

    def _keep(self, items: Iterator[Message]) -> int:
        number = next(self._numbers)
        self._open[number] = items
        if len(self._open) > OPEN_MOST:
            self._open.popitem(last=False)
        return number
