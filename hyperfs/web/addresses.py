"""Paths and other values in addresses and forms of the page. Pure.

A path is bytes: in an address each is percent-encoded by itself, so names that are no text come back as they were. In
a form the same encoding stands as the value of a field.
"""

import os
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, quote, unquote_to_bytes

from hyperfs.errors import BadRequest

FIELDS_MOST: Final = 32


def to_field(path: str) -> str:
    """A path, as `os.fsdecode` has it, as ASCII."""
    return quote(os.fsencode(path), safe="/")


def from_field(text: str) -> str:
    """Raises BadRequest for a zero byte."""
    path = unquote_to_bytes(text)
    if b"\0" in path:
        raise BadRequest("a path has no zero byte in it")
    return os.fsdecode(path)


def address(page: str, values: Mapping[str, object]) -> str:
    """Relative to the session's folder. What is None or empty is left out, but for the empty path: the root."""
    parts = [
        f"{name}={quote(os.fsencode(str(value)), safe='/')}"
        for name, value in values.items()
        if value not in (None, "") or (name == "p" and value == "")
    ]
    return page + ("?" + "&".join(parts) if parts else "")


def query(raw: bytes) -> dict[str, str]:
    """The values of an address or a form, as text with surrogate escapes. Raises BadRequest."""
    try:
        pairs = parse_qsl(
            raw.decode("ascii", "surrogateescape"),
            keep_blank_values=True,
            errors="surrogateescape",
            max_num_fields=FIELDS_MOST,
        )
    except ValueError:
        raise BadRequest("the address has too many values") from None
    found = dict(pairs)
    if "e" in found:  # a path in a form: browsers encode fields as text only
        found["p"] = from_field(found.pop("e"))
    if any("\0" in value for value in found.values()):
        raise BadRequest("no value has a zero byte in it")
    return found


def parent(path: str) -> str:
    return path.rpartition("/")[0]


def join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def crumbs(path: str) -> list[tuple[str, str]]:
    """(name, path) of each folder on the way to a path, and of it."""
    parts = path.split("/") if path else []
    return [(name, "/".join(parts[: place + 1])) for place, name in enumerate(parts)]


def normal(path: str) -> str:
    """Without empty parts. Raises BadRequest for `.` and `..`, which are no names of things."""
    parts = [part for part in path.split("/") if part]
    if "." in parts or ".." in parts:
        raise BadRequest("a path on this page begins at the drive's root and has no '.' or '..'")
    return "/".join(parts)
