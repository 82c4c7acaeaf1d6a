"""What a repair did and what it could not do."""

from dataclasses import dataclass, field
from typing import NamedTuple

from hyperfs.volume.check import Report


class Repaired(NamedTuple):
    """Something that was put right. `what`: in words, with where the good copy came from; `where` as in a damage."""

    what: str
    where: str


@dataclass
class Outcome:
    """`lost`: what the repair itself had to leave behind, in words. `report`: what verify finds afterwards."""

    report: Report
    version: int
    repaired: list[Repaired] = field(default_factory=list)
