"""The asker's side of `pages`: a long answer, page by page."""

from collections.abc import Callable, Iterator
from typing import Any

from hyperfs.daemon.wire import Message

Ask = Callable[[str, Message], Message]


def pages(ask: Ask, name: str, params: Message) -> Iterator[Message]:
    """The answers to a request: each has what comes behind the one before. The first is asked for at once."""
    first = ask(name, params)

    def follow() -> Iterator[Message]:
        page = first
        yield page
        while page["more"] is not None:
            page = ask(name, params | {"more": page["more"]})
            yield page

    return follow()


def items(ask: Ask, name: str, params: Message, of: str) -> Iterator[dict[str, Any]]:
    """What the pages hold under a name, one by one. The first page is asked for at once."""
    found = pages(ask, name, params)
    return (item for page in found for item in page[of])
