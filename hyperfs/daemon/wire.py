"""The lines on the control socket and on the pipe of a starting drive: JSON, one message a line.

    server -> {"hyperfs": VERSION, "pid": N}
    client -> {"hyperfs": VERSION}
    client -> {"request": NAME, "params": {...}}          any number of these, one after the other
    server -> {"progress": [WHAT, DONE, OF]}              any number
    server -> {"result": {...}}  or  {"error": {"kind", "message", "exit_code"}}

Paths in messages are text with surrogate escapes for bytes that are no UTF-8.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from hyperfs import __version__
from hyperfs.daemon.exit_codes import Reported, exit_code_of, words_of
from hyperfs.errors import BadRequest, Unreachable

MAX_LINE_BYTES: Final = 4 << 20
"""A longer message is nobody's of ours; the largest is a piece of a file, base64."""
MAX_REQUEST_BYTES: Final = 256 << 10
"""The same of what commands send: two paths of 4 KiB, each byte of them six in JSON at most. Parsing an object may
take some forty times its length in memory, and anybody's connection counts."""

Message = dict[str, Any]
Tell = Callable[[str, int, int], Awaitable[None]]
"""Sends progress: what is being done, done, of how many (0: nobody knows)."""


def encode(message: Message) -> bytes:
    return json.dumps(message).encode() + b"\n"


def decode(line: bytes) -> Message:
    """Raises BadRequest."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):  # the latter: brackets in brackets, a thousand deep
        raise BadRequest("a message on the control socket is no JSON") from None
    if not isinstance(message, dict):
        raise BadRequest("a message on the control socket is no object")
    return message


def hello(pid: int | None = None) -> Message:
    return {"hyperfs": __version__} | ({"pid": pid} if pid is not None else {})


def check_hello(message: Message, who: str) -> None:
    """Raises Unreachable where the other side is another hyperfs than this one."""
    theirs = message.get("hyperfs")
    if theirs != __version__:
        raise Unreachable(
            f"{who} is hyperfs {theirs} and this is hyperfs {__version__}. Unmount the drive and mount it again "
            "('hyperfs unmount DIR', 'hyperfs mount DIR') so that both are the same"
        )


def error_message(error: BaseException) -> Message:
    kind = error.kind if isinstance(error, Reported) else type(error).__name__
    return {"error": {"kind": kind, "message": words_of(error), "exit_code": exit_code_of(error)}}


def reported(message: Message) -> Reported:
    """The error in a message, to be raised here. Raises BadRequest where it is none."""
    match message.get("error"):
        case {"kind": str(kind), "message": str(words), "exit_code": int(code)}:
            return Reported(kind, words, code)
    raise BadRequest("a message on the control socket tells of no error")
