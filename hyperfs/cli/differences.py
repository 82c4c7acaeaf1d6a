"""How commands show what differs: a line for each path."""

from typing import Any, Final

from hyperfs.cli.output import shown, size_text

SIGNS: Final = {"added": "+", "removed": "-", "changed": "M", "moved": "R", "attributes": "a"}


def line(difference: dict[str, Any]) -> str:
    """`M notes.txt  (12 B -> 15 B)`."""
    kind, path, old_path = difference["kind"], shown(difference["path"] or "."), difference["old_path"]
    name = f"{shown(old_path)} -> {path}" if kind == "moved" and old_path is not None else path
    sizes = (difference["old_size"], difference["new_size"])
    if kind != "changed" or None in sizes or sizes[0] == sizes[1]:
        return f"{SIGNS[kind]} {name}"
    return f"{SIGNS[kind]} {name}  ({size_text(sizes[0])} -> {size_text(sizes[1])})"
