"""A file's two states side by side: as a unified diff where both are text, else as sizes. Pure."""

import difflib
from collections.abc import Iterator
from typing import Final, NamedTuple

from hyperfs.cli.output import shown, size_text

TEXT_MOST_BYTES: Final = 1 << 20
"""A longer file is told by its sizes only: comparing lines may take time in the square of their number."""
LINES_MOST: Final = 10_000
LOOKED_AT_BYTES: Final = 8192
"""Without a zero byte in so many, it is text, as for git."""

HEAD: Final = "head"
PLACE: Final = "place"
CAME: Final = "came"
WENT: Final = "went"
SAME: Final = "same"
_KINDS: Final = {"@": PLACE, "+": CAME, "-": WENT}


class Line(NamedTuple):
    kind: str
    text: str


class Side(NamedTuple):
    """One state of a file: None for `data` where it was too long to look at; for `label` where there was none."""

    label: str | None
    size: int
    data: bytes | None


def text_diff(old: Side, new: Side) -> Iterator[Line]:
    """Lines to print, without their ends."""
    if not (_is_text(old) and _is_text(new)):
        yield Line(HEAD, f"{shown(new.label or old.label or '')}: {_size(old)} -> {_size(new)}")
        return
    before, after = _lines(old), _lines(new)
    if max(len(before), len(after)) > LINES_MOST:
        yield Line(HEAD, f"{shown(new.label or old.label or '')}: {len(before)} lines -> {len(after)} lines")
        return
    yield Line(HEAD, f"--- {shown(old.label or '/dev/null')}")
    yield Line(HEAD, f"+++ {shown(new.label or '/dev/null')}")
    for count, line in enumerate(difflib.unified_diff(before, after)):
        if count < 2:
            continue  # its own head, in which a name could be anything
        yield Line(_KINDS.get(line[0], SAME), line[0] + _visible(line[1:].removesuffix("\n")))
        if not line.endswith("\n"):
            yield Line(SAME, "\\ No newline at end of file")


def _is_text(side: Side) -> bool:
    return side.data is not None and b"\0" not in side.data[:LOOKED_AT_BYTES]


def _lines(side: Side) -> list[str]:
    """Ended by newlines only: what else str.splitlines knows of stays in its line."""
    text = (side.data or b"").decode(errors="backslashreplace")
    lines = text.split("\n")
    return [line + "\n" for line in lines[:-1]] + lines[-1:] * bool(lines[-1])


def _visible(text: str) -> str:
    """Tabs stay; nothing else can move the cursor."""
    return "\t".join(map(shown, text.split("\t")))


def _size(side: Side) -> str:
    return "nothing" if side.label is None else size_text(side.size)
