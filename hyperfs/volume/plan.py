"""The plan of a collection: which versions stay, what they offer, and what is pinned. And the facts that say so."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from typing import Final

from hyperfs.values import ROOT_INO
from hyperfs.volume import gone, keys
from hyperfs.volume.catalog import VersionFacts
from hyperfs.volume.entries import Gone
from hyperfs.volume.gone_files import Span
from hyperfs.volume.offers import Offer, Offers
from hyperfs.volume.pins import Pin, set_pins
from hyperfs.volume.volume import Volume

_ROOT_ALONE: Final = frozenset({ROOT_INO})
Absent = Mapping[int, frozenset[int]]
"""By version, the borders of the regions that it does not offer."""


@dataclass(frozen=True)
class Plan:
    """Which versions stay and which go, oldest first. `rule`: that of the marks, one of those in gone.py.

    `absent`: of versions that stay, `absent_before`: what was so before. `pins`: all that there are to be. `in_use`:
    versions that stay only because they are being read. `careful`: what was looked into lately stays as well: a program
    may be copying it, one file after the other.
    """

    kept: list[VersionFacts]
    going: list[VersionFacts]
    rule: int
    in_use: tuple[int, ...] = ()
    careful: bool = False
    borders: frozenset[int] = _ROOT_ALONE
    absent: Absent = field(default_factory=dict)
    absent_before: Absent = field(default_factory=dict)
    pins: tuple[Pin, ...] = ()

    def sparing(self, volume: Volume) -> "Plan":
        """The plan with what has a name, or is being read, among what is kept, and offering what it offered."""
        named = {snapshot.version for snapshot in volume.versions.snapshots()}
        wanted = named | set(volume.reading)
        if self.careful:
            wanted |= volume.looked_into()
        spared = [found for found in self.going if found.version in wanted]
        absent = {version: regions for version, regions in self.absent.items() if version not in wanted}
        absent |= {version: regions for version, regions in self.absent_before.items() if version in wanted}
        return replace(
            self,
            kept=sorted([*self.kept, *spared]),
            going=[found for found in self.going if found.version not in wanted],
            in_use=self.in_use + tuple(found.version for found in spared if found.version not in named),
            absent=absent,
        )

    def offer(self, version: int) -> Offer | None:
        """What a version that stays will offer; None: all."""
        absent = self.absent.get(version)
        return Offer(self.borders, absent, self._pinned.get(version, frozenset())) if absent else None

    def pinned_alone(self) -> Iterator[tuple[Pin, Offer]]:
        """Of versions that do not stay, where their commits lie and what is pinned in them."""
        stays = {found.version for found in self.kept}
        for version, pin in {pin.version: pin for pin in self.pins}.items():
            if version not in stays:
                yield pin, Offer(_ROOT_ALONE, _ROOT_ALONE, self._pinned[version])

    @cached_property
    def _pinned(self) -> dict[int, frozenset[int]]:
        by_version = groupby(sorted(self.pins), key=lambda pin: pin.version)
        return {version: frozenset(pin.ino for pin in pins) for version, pins in by_version}

    def facts(self, before: Offers, devices: Mapping[int, int], now_ns: int) -> dict[bytes, bytes | None]:
        """What is to be set (None: removed) in the newest root. `devices`: by log."""
        versions = [(devices[found.log], found.version) for found in self.going]
        facts = before.gone.with_more(versions, now_ns, 0, self.rule)
        facts |= before.absent.set_to(self._spans(devices, now_ns))
        facts |= set_pins(before.pins, self.pins)
        facts |= {keys.region_key(ino): b"" for ino in self.borders - before.borders}
        return facts

    def _spans(self, devices: Mapping[int, int], now_ns: int) -> dict[tuple[int, int], list[Span]]:
        """The marks of form 2. One goes on over versions that do not stay."""
        spans: dict[tuple[int, int], list[Span]] = {}
        open_: set[tuple[int, int]] = set()
        for found in self.kept:
            device = devices[found.log]
            absent = {(ino, device) for ino in self.absent.get(found.version, ())}
            for place in absent:
                ino = place[0]
                mark = Gone(found.version, now_ns, *((0, gone.BY_RULE) if ino == ROOT_INO else (ino, gone.BY_FOLDER)))
                known = spans.setdefault(place, [])
                if place in open_:
                    known[-1] = known[-1][0], mark
                else:
                    known.append((found.version, mark))
            open_ = absent
        return spans
