"""Prune by hand: all but the last versions are let go. By rules: see retaining.py."""

from collections.abc import Iterable

from hyperfs.errors import InvalidArgument
from hyperfs.log.heads import Signer
from hyperfs.volume import gone
from hyperfs.volume.catalog import VersionFacts
from hyperfs.volume.clearing import Progress
from hyperfs.volume.collecting import collect
from hyperfs.volume.given_back import Pruned
from hyperfs.volume.offers import Offers
from hyperfs.volume.plan import Plan
from hyperfs.volume.volume import Volume

__all__ = ["Pruned", "prune"]


async def prune(
    volume: Volume, keep_last: int, dry_run: bool, progress: Progress, root: Signer | None = None
) -> Pruned:
    """Keeps the newest `keep_last` versions that `.versions` lists and all since the first of them, named snapshots,
    and what is being read. `progress` is called from another thread.

    Raises InvalidArgument, and what `collect` raises.
    """
    if keep_last < 1:
        raise InvalidArgument("the newest version always stays: keep at least 1")

    offers = volume.versions.offers

    def look() -> Plan:
        facts = list(volume.versions.all())
        listed = [found.version for found in facts if found.second]
        oldest = listed[-keep_last] if len(listed) >= keep_last else 0
        kept = [found for found in facts if found.version >= oldest]
        absent = _absent(volume, offers, kept)
        return Plan(
            kept,
            [found for found in facts if found.version < oldest],
            gone.BY_HAND,
            borders=offers.borders,
            absent=absent,
            absent_before=_absent(volume, offers, facts),
            pins=tuple(pin for pin in offers.pins if pin.version >= oldest),
        )

    return await collect(volume, lambda: look, dry_run, progress, root=root)


def _absent(volume: Volume, offers: Offers, facts: Iterable[VersionFacts]) -> dict[int, frozenset[int]]:
    """What versions do not offer, as it is."""
    logs = volume.parts.chain.logs
    offered = {found.version: offers.of(found.version, logs[found.log].device) for found in facts}
    return {version: offer.absent for version, offer in offered.items() if offer is not None}
