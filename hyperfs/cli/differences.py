"""How commands show what differs: a line for each path."""

from typing import Any, Final

from hyperfs.cli.output import shown, size_text

SIGNS: Final = {"added": "+", "removed": "-", "changed": "M", "moved": "R", "attributes": "a"}

LINES_MOST: Final = 100
"""Lines of one kind that a command prints."""


def line(difference: dict[str, Any], sizes: bool = True) -> str:
    """`M notes.txt  (12 B -> 15 B)`."""
    kind, path, old_path = difference["kind"], shown(difference["path"] or "."), difference["old_path"]
    name = f"{shown(old_path)} -> {path}" if kind == "moved" and old_path is not None else path
    old, new = difference["old_size"], difference["new_size"]
    if not sizes or kind != "changed" or old is None or new is None or old == new:
        return f"{SIGNS[kind]} {name}"
    return f"{SIGNS[kind]} {name}  ({size_text(old)} -> {size_text(new)})"
