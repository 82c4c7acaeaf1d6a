"""The values of the policies on classes, protection and places, and what each means in words. Pure."""

import re
from collections.abc import Mapping
from typing import Final

from hyperfs.errors import InvalidArgument

CLASSES: Final[Mapping[str, str]] = {
    "hot": "always on this device",
    "auto": "what was used least lately leaves this device when it is over its budget",
    "cold": "leaves this device as soon as it is safe elsewhere",
    "archive": "as cold, and its bytes stay what they are: no write, truncate, replace or unlink",
}
PROTECTIONS: Final[Mapping[str, str]] = {
    "none": "what is deleted stays as long as the versions that have it",
    "trash": "what is deleted stays for 30 days in .versions/.deleted",
    "nodelete": "as trash, and nothing that was saved may be deleted or moved away; to edit is no matter",
    "lock": "nothing may go or be replaced, for root too, and every version stays",
}
LOCAL_ONLY: Final = "local-only"
_PLACE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
PLACES_MOST: Final = 32


def parse_class(text: str) -> str:
    """Raises InvalidArgument."""
    return _one_of("class", CLASSES, text)


def parse_protect(text: str) -> str:
    """Raises InvalidArgument."""
    return _one_of("protect", PROTECTIONS, text)


def parse_copies(text: str) -> int:
    """How many other places. Raises InvalidArgument."""
    if len(text) != 1 or text not in "123456789":
        raise InvalidArgument(f"copies={text!r}: write a number from 1 to 9")
    return int(text)


def parse_places(text: str) -> tuple[str, ...]:
    """The names; `local-only` alone gives none. Raises InvalidArgument."""
    if text == LOCAL_ONLY:
        return ()
    names = tuple(text.split(","))
    if len(names) > PLACES_MOST or len(set(names)) < len(names) or LOCAL_ONLY in names:
        raise InvalidArgument(f"places={text!r}: up to {PLACES_MOST} different names, or {LOCAL_ONLY} alone")
    if not all(_PLACE.fullmatch(name) for name in names):
        raise InvalidArgument(f"places={text!r}: write names with commas between them, as in nas,office")
    return names


def words_of_copies(copies: int) -> str:
    return f"{copies} other {'places hold' if copies > 1 else 'place holds'} it before it leaves, or counts as safe"


def words_of_places(places: tuple[str, ...]) -> str:
    return f"may go to {', '.join(places)} and nowhere else" if places else "stays on this device"


def _one_of(name: str, known: Mapping[str, str], text: str) -> str:
    if text not in known:
        raise InvalidArgument(f"{name}={text!r}: write {', '.join(known)}")
    return text
