"""Retention: the plan of a prune by rules."""

from typing import Final

from hyperfs.log.heads import Signer
from hyperfs.policy.history_room import Hardness
from hyperfs.policy.retention import kept
from hyperfs.values import ROOT_INO
from hyperfs.volume import gone
from hyperfs.volume.catalog import Collected, collected_change, packed_change
from hyperfs.volume.clearing import Progress
from hyperfs.volume.collecting import Look, collect, forget
from hyperfs.volume.given_back import Pruned
from hyperfs.volume.gone import GoneVersions
from hyperfs.volume.offers import Offer
from hyperfs.volume.pinning import Pinning
from hyperfs.volume.plan import Plan
from hyperfs.volume.region_plan import RegionPlan
from hyperfs.volume.rules import effective, rules_of
from hyperfs.volume.stamps import stamp_of
from hyperfs.volume.volume import Volume

_EASY: Final = Hardness()


def no_progress(what: str, done: int, of: int) -> None:
    """Nobody watches."""


async def retain(
    volume: Volume,
    dry_run: bool,
    progress: Progress,
    careful: bool = False,
    with_packs: bool = False,
    root: Signer | None = None,
) -> Pruned:
    """Lets go of what no rule keeps, and gives back its space. `careful`: but for what was looked into lately.
    `with_packs`: half-dead packs are stored anew. `root`: its key, for what former devices' logs hold.

    Raises as `collect`.
    """
    done = await collect(volume, lambda: by_rules(volume, careful, progress), dry_run, progress, with_packs, root)
    if not dry_run:
        remember_collected(volume)
    if with_packs:
        volume.parts.catalog.apply([packed_change(volume.overlay.now_ns())])
    return done


def remember_collected(volume: Volume) -> None:
    """What nothing needs was freed just now."""
    volume.parts.catalog.apply([collected_change(collected_now(volume))])


async def thin(volume: Volume, progress: Progress = no_progress) -> int:
    """Lets go of what no rule keeps, but for what was looked into lately, without freeing anything; how many versions.

    Raises as `collect`.
    """
    return await forget(volume, lambda: by_rules(volume, True, progress))


def collected_now(volume: Volume) -> Collected:
    """What to remember of a collection that ends now."""
    marks = GoneVersions(volume.overlay.live.facts(gone.PREFIX))
    return Collected(
        volume.overlay.now_ns(), marks.count(), sum(log.byte_length for log in volume.parts.logs.values())
    )


def by_rules(
    volume: Volume, careful: bool, progress: Progress = no_progress, hardness: Hardness = _EASY
) -> Look:
    """What the drive's rule and those of folders keep; less of it, for want of space, the harder."""
    live, offers, now_ns = volume.overlay.live, volume.versions.offers, volume.overlay.now_ns()
    own = rules_of(live)
    borders = frozenset(offers.borders | own.keys())
    rules = {ino: own[ino] if ino in own else effective(live, ino).rule for ino in borders}

    def look() -> Plan:
        facts = list(volume.versions.all())
        if len(rules) == 1:
            stay = kept(rules[ROOT_INO], [stamp_of(found) for found in facts], now_ns, hardness.step)
            absent, before = {}, {}
        else:
            regions = RegionPlan(volume.parts, facts, rules, borders, offers, volume.regions_changed, progress)
            regions.decide(now_ns, hardness.step)
            stay, before = regions.stay, regions.before
            absent = {version: frozenset(found) for version, found in regions.absent.items()}
        going = {found.version for found, stays in zip(facts, stay, strict=True) if not stays}
        absent = {version: found for version, found in absent.items() if version not in going}
        in_part = {version: Offer(borders, found, frozenset()) for version, found in absent.items()}
        pinning = Pinning(volume, facts, stay, in_part, now_ns - hardness.deleted_ns, progress)
        return Plan(
            [found for found in facts if found.version not in going],
            [found for found in facts if found.version in going],
            gone.FOR_SPACE if hardness != _EASY else gone.BY_RULE,
            careful=careful,
            borders=borders,
            absent=absent,
            absent_before=before,
            pins=tuple(pinning.pins(offers.pins)),
        )

    return look
