"""What leaves this device, in which order, and what comes back. Pure: blocks in, a plan out.

A block is needed by files, of this version and of older ones. What all of them ask for holds for it together: the
strongest class, the most copies, the places that each of them allows. So a pack leaves only when nothing in it must
stay, and a base when no delta that must stay needs it.

    never        hot; what may go nowhere, or to fewer places than it must have copies; what nobody has looked at yet
    first        what no file has now: it was deleted, or only old versions hold it
    then         cold and archive, as soon as they are safe elsewhere
    at last      auto, and only while more is here than the budget: what was used least lately before the rest, and of
                 what was used in the same hour videos and other large media before documents
"""

import re
from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Final, NamedTuple

from hyperfs.errors import InvalidArgument

DEFAULT_COPIES: Final = 2
"""Where nothing was set; where there is only one place, one."""
SPARE: Final = 0.05
"""What is over its budget shrinks to so much below it, so that the next file does not begin it anew."""
MEDIA_BYTES: Final = 1 << 20
MEDIA: Final = frozenset(
    b"mp4 m4v mov mkv avi webm mpg mpeg m2ts mts wmv flv vob 3gp ogv mp3 flac wav aac m4a ogg opus aiff wma "
    b"jpg jpeg png heic heif tif tiff raw cr2 cr3 nef arw dng orf rw2 raf psd "
    b"iso img dmg vmdk qcow2 vdi zip gz xz zst bz2 7z rar tar "
    b"tgz".split()
)


class Strength(IntEnum):
    """Of a class: how much it holds bytes here. Those of an archive may go further than what is cold, in a store that
    has classes of its own."""

    ARCHIVE = 0
    COLD = 1
    AUTO = 2
    HOT = 3


STRENGTHS: Final[Mapping[str, Strength]] = {
    "hot": Strength.HOT,
    "auto": Strength.AUTO,
    "cold": Strength.COLD,
    "archive": Strength.ARCHIVE,
}


class Needs(NamedTuple):
    """What is asked for some bytes. `copies`: the most that was set, 0 for none; `by_default`: whether for something
    that needs them none was set. `places` None: any."""

    strength: Strength = Strength.AUTO
    copies: int = 0
    by_default: bool = True
    places: frozenset[str] | None = None

    def allowed(self, configured: frozenset[str]) -> frozenset[str]:
        return configured if self.places is None else configured & self.places

    def copies_of(self, configured: frozenset[str]) -> int:
        """How many places must have it. The default is two, and one where no second one is to be had."""
        least = min(DEFAULT_COPIES, len(self.allowed(configured))) if self.by_default else 0
        return max(1, self.copies, least)

    def lacks_places(self, configured: frozenset[str]) -> bool:
        """Whether there are fewer places than it is to have copies."""
        return len(self.allowed(configured)) < self.copies_of(configured)

    def are_met(self, proven: frozenset[str], configured: frozenset[str]) -> bool:
        """Whether places that may have it, and do, are enough."""
        return len(self.allowed(configured) & proven) >= self.copies_of(configured)


STAYS: Final = Needs(Strength.HOT, places=frozenset())
"""Of what nobody has looked at: it goes nowhere."""


def together(one: Needs, other: Needs) -> Needs:
    """What holds for bytes that both want."""
    if one.places is None or other.places is None:
        places = one.places if other.places is None else other.places
    else:
        places = one.places & other.places
    strength = max(one.strength, other.strength)
    return Needs(strength, max(one.copies, other.copies), one.by_default or other.by_default, places)


class Stretch(NamedTuple):
    """Blocks [first, end) of a log, for which all this holds alike. `used`: the hour when any file that needs them was
    last used; `is_live`: whether one is there now; `is_media`: whether all of them are large media."""

    log: int
    first: int
    end: int
    nbytes: int
    needs: Needs
    is_live: bool
    used: int
    is_media: bool
    is_here: bool


class Plan(NamedTuple):
    """`leaving`: in order, of what is here; `soon`: how many of them leave whatever the budget. `returning`: what is to
    be here and is not. `lacking`: bytes that would leave and have too few places."""

    leaving: list[Stretch]
    soon: int
    returning: list[Stretch]
    lacking: int


def plan(stretches: Iterable[Stretch], configured: frozenset[str], here: int, budget: int | None) -> Plan:
    """`here`: what this device holds, in bytes; `budget`: what it is to hold at most, None for no limit."""
    soon: list[Stretch] = []
    pressed: list[Stretch] = []
    returning: list[Stretch] = []
    lacking = 0
    for found in stretches:
        if not found.is_here:
            if found.needs.strength is Strength.HOT and found.is_live:
                returning.append(found)
        elif found.needs.strength is not Strength.HOT:
            waits = found.is_live and found.needs.strength is Strength.AUTO
            if waits and budget is None:
                continue
            if found.needs.lacks_places(configured):
                lacking += found.nbytes
            else:
                (pressed if waits else soon).append(found)
    soon.sort(key=_turn)
    left = here - sum(found.nbytes for found in soon)
    leaving = list(soon)
    if budget is not None and left > budget:
        for found in sorted(pressed, key=_turn):
            if left <= budget * (1 - SPARE):
                break
            leaving.append(found)
            left -= found.nbytes
    return Plan(leaving, len(soon), returning, lacking)


def _turn(found: Stretch) -> tuple[bool, bool, int, bool, int, int]:
    """By this they leave; what is before another goes first."""
    waits = found.is_live and found.needs.strength is Strength.AUTO
    return found.is_live, waits, found.used, not found.is_media, found.log, found.first


def read_budget(text: str) -> int:
    """Bytes, as 20G or 500M. Raises InvalidArgument."""
    found = re.fullmatch(r"([0-9]{1,9})([KMGT]?)", text, re.ASCII)
    if found is None:
        raise InvalidArgument(f"{text!r} is no size: write, for example, 20G or 500M")
    return int(found[1]) << {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[found[2]]


def is_media(name: bytes, size: int) -> bool:
    """Whether a file is a video, or other large media, by its name's ending."""
    stem, dot, ending = name.rpartition(b".")
    return size >= MEDIA_BYTES and bool(dot) and bool(stem) and ending.lower() in MEDIA
