"""What is wrong with a peer, as words for people and as a kind: for `status`, and for what a wait ends with."""

from enum import Enum
from typing import NamedTuple

from hyperfs.errors import (
    BadRequest,
    Contradiction,
    Corrupt,
    FormatTooNew,
    HyperfsError,
    Misbehaved,
    NotHeld,
    PlaceFull,
    Refused,
    Unreachable,
)
from hyperfs.syncing.attesting import Broken


class Kind(Enum):
    UNREACHABLE = "unreachable"
    STRANGER = "another machine answers"
    NOT_HELD = "not held"
    FULL = "full"
    LIES = "can't be relied on"
    APART = "another history"
    OUT = "taken out"
    REFUSES = "refuses"


_ADVICE = {
    Kind.UNREACHABLE: "it is tried again",
    Kind.STRANGER: "nothing was told to it. If the peer was made anew, have it give another invite",
    Kind.NOT_HELD: "it does not hold this drive: 'hyperfs peer invite' there, then 'hyperfs peer add' here",
    Kind.FULL: "make room there, or have its owner raise the quota; what it has stays",
    Kind.LIES: "what it has is counted for nothing until it shows that it has it; look at its disk and its clock",
    Kind.APART: "nothing more goes there. Was this device restored from an old image, or copied? See 'hyperfs verify'",
    Kind.OUT: "another device goes on in its place",
    Kind.REFUSES: "it is tried again",
}
LOUD = frozenset({Kind.STRANGER, Kind.NOT_HELD, Kind.FULL, Kind.LIES, Kind.APART})
"""In the warnings of `status`, not only beside the peer."""

STANDS = frozenset({Kind.STRANGER, Kind.NOT_HELD, Kind.APART, Kind.OUT})


class Trouble(NamedTuple):
    kind: Kind
    error: HyperfsError

    def words(self, name: str) -> str:
        can = " can't be reached" if self.kind is Kind.UNREACHABLE else ""
        return f"the peer {name}{can}: {str(self.error).rstrip('.')}: {_ADVICE[self.kind]}"

    @property
    def is_loud(self) -> bool:
        return self.kind in LOUD

    @property
    def stands(self) -> bool:
        """Whether it goes on until a person has done something."""
        return self.kind in STANDS

    def raised(self, name: str) -> HyperfsError:
        """For whoever waits: an error of the kind that the command line has an exit code for."""
        made = _RAISED[self.kind](self.words(name))
        return made


_RAISED: dict[Kind, type[HyperfsError]] = {
    Kind.UNREACHABLE: Unreachable,
    Kind.STRANGER: Refused,
    Kind.NOT_HELD: Refused,
    Kind.FULL: PlaceFull,
    Kind.LIES: Corrupt,
    Kind.APART: Corrupt,
    Kind.OUT: Refused,
    Kind.REFUSES: Refused,
}


def trouble_of(error: Exception) -> Trouble:
    """By what was raised while talking to it."""
    if not isinstance(error, HyperfsError):
        return Trouble(Kind.UNREACHABLE, Unreachable(getattr(error, "strerror", None) or str(error) or "no answer"))
    table: tuple[tuple[type[HyperfsError], Kind], ...] = (
        (Broken, Kind.LIES),
        (Contradiction, Kind.APART),
        (NotHeld, Kind.NOT_HELD),
        (PlaceFull, Kind.FULL),
        (Misbehaved, Kind.UNREACHABLE),
        (Unreachable, Kind.UNREACHABLE),
        (FormatTooNew, Kind.REFUSES),
        (Corrupt, Kind.LIES),
        (BadRequest, Kind.REFUSES),
        (Refused, Kind.REFUSES),
    )
    return Trouble(next((kind for found, kind in table if isinstance(error, found)), Kind.UNREACHABLE), error)
