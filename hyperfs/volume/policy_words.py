"""What holds for something, in words, and where each policy was set: for people, programs and `user.hyperfs.policy`."""

import json
import os
from typing import Final, NamedTuple

from hyperfs.policy.attributes import CLASS, COPIES, KEEP, PLACES, POLICY, PREFIX, PROTECT, VERSION
from hyperfs.policy.placement import STRENGTHS, Strength
from hyperfs.policy.retention import words_of
from hyperfs.policy.storage import (
    CLASSES,
    PROTECTIONS,
    parse_copies,
    parse_places,
    words_of_copies,
    words_of_places,
)
from hyperfs.volume.paths import near_path
from hyperfs.volume.rules import effective
from hyperfs.volume.volume import Volume

NAMES_MOST: Final = 10_000
"""Of each folder on the way up, in search of the name of what a policy was set on."""


class Holding(NamedTuple):
    """A policy that holds. `source`: what it was set on, 0 for the default; `origin` its path, None for the default."""

    value: str | None
    words: str
    source: int
    origin: str | None


def holding(volume: Volume, ino: int) -> dict[str, Holding]:
    """By the policy's name, what holds for an inode of the live tree."""
    found = {}
    for name in (CLASS, PROTECT, COPIES, PLACES):
        held = volume.overlay.policies.held(ino, name)
        value = None if held.value is None else held.value.decode(errors="replace")
        words = _words(name, value)
        if name == COPIES and not held.source:
            words += "; where there is one place, one"
        if name == CLASS and value is not None and value in STRENGTHS:
            words += _storage_classes(volume, ino, STRENGTHS[value])
        found[_short(name)] = Holding(value, words, held.source, _origin(volume, held.source))
    rule = effective(volume.overlay.live, ino)
    found[_short(KEEP)] = Holding(rule.text, words_of(rule.rule), rule.source, _origin(volume, rule.source))
    return found


def computed(volume: Volume, ino: int, name: bytes) -> bytes | None:
    """The attributes that are read and never set, but for those of where it is; None for what there is not."""
    if name == POLICY:
        told = {short: {"value": at.value, "from": at.origin} for short, at in holding(volume, ino).items()}
        return json.dumps(told, ensure_ascii=False).encode(errors="surrogateescape")
    if name == VERSION:
        return b"%d" % volume.versions.newest.version
    return None


def _short(name: bytes) -> str:
    return name.removeprefix(PREFIX).decode()


def _words(name: bytes, value: str | None) -> str:
    """Of a value that a later hyperfs wrote, itself."""
    if value is None:
        return "may go to any place"
    if name == COPIES:
        return words_of_copies(parse_copies(value))
    if name == PLACES:
        return words_of_places(parse_places(value))
    return (CLASSES if name == CLASS else PROTECTIONS).get(value, value)


def _storage_classes(volume: Volume, ino: int, strength: Strength) -> str:
    """In which of their own classes places keep it, of those that may have it."""
    own = volume.returning.elsewhere.storage_classes(strength)
    allowed = volume.overlay.policies.held(ino, PLACES).value
    names = own if allowed is None else set(parse_places(allowed.decode(errors="replace")))
    return "".join(f"; {name} keeps it as {own[name]}" for name in sorted(own) if name in names)


def _origin(volume: Volume, source: int) -> str | None:
    if not source:
        return None
    path = near_path(volume.overlay.live, volume.overlay.inode(source), NAMES_MOST)
    return f"inode {source}" if path is None else os.fsdecode(path)
