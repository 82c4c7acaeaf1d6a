"""What a request's parameters must be. Whoever sent them may be of another make: nothing in them is believed."""

import os
from typing import Final

from hyperfs.daemon.wire import Message
from hyperfs.errors import BadRequest

_LAST_NUMBER: Final = (1 << 64) - 1


def text(params: Message, name: str) -> str:
    """Raises BadRequest for what is not there, no text, or text that no bytes stand for (half a surrogate pair)."""
    found = params.get(name)
    if not isinstance(found, str):
        raise BadRequest(f"the request lacks {name!r}, a text")
    try:
        os.fsencode(found)
    except UnicodeEncodeError:
        raise BadRequest(f"{name!r} of the request is no text that bytes stand for") from None
    return found


def path(params: Message, name: str = "path") -> bytes:
    """A path, or a name in one, as bytes. Raises BadRequest as `text` does, and for a zero byte in it."""
    found = os.fsencode(text(params, name))
    if b"\0" in found:
        raise BadRequest(f"{name!r} of the request has a zero byte, which is in no path")
    return found


def number(params: Message, name: str) -> int:
    """A whole number of 64 bits, from 0. Raises BadRequest."""
    found = params.get(name)
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= _LAST_NUMBER:
        raise BadRequest(f"the request lacks {name!r}, a whole number")
    return found
