"""Inputs that broke a decoder once: one text file each, its first line the target's name, then hex."""

from pathlib import Path

FOLDER = Path(__file__).parent


def inputs(target: str) -> list[bytes]:
    """Those of one target; `#` begins a comment."""
    found = []
    for path in sorted(FOLDER.glob("*.txt")):
        name, *lines = [line.split("#")[0].strip() for line in path.read_text().splitlines()]
        if name == target:
            found.append(bytes.fromhex("".join(lines)))
    return found
