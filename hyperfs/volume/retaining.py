"""Retention: the plan of a prune by rules."""

from hyperfs.policy.retention import All, Stamp, kept
from hyperfs.volume import gone
from hyperfs.volume.catalog import Collected, VersionFacts, collected_change
from hyperfs.volume.clearing import Progress
from hyperfs.volume.collecting import Look, Plan, Pruned, collect, forget
from hyperfs.volume.gone import GoneVersions
from hyperfs.volume.rules import rules_of
from hyperfs.volume.volume import Volume


async def retain(volume: Volume, dry_run: bool, progress: Progress, careful: bool = False) -> Pruned:
    """Lets go of what no rule keeps, and gives back its space. `careful`: but for what was looked into lately.

    Raises as `collect`.
    """
    done = await collect(volume, by_rules(volume, careful), dry_run, progress)
    if not dry_run:
        volume.parts.catalog.apply([collected_change(collected_now(volume))])
    return done


async def thin(volume: Volume) -> int:
    """Lets go of what no rule keeps, but for what was looked into lately, without freeing anything; how many versions.

    Raises as `collect`.
    """
    return await forget(volume, by_rules(volume, careful=True))


def collected_now(volume: Volume) -> Collected:
    """What to remember of a collection that ends now."""
    marks = GoneVersions(volume.overlay.live.facts(gone.PREFIX))
    return Collected(
        volume.overlay.now_ns(), marks.count(), sum(log.byte_length for log in volume.parts.logs.values())
    )


def by_rules(volume: Volume, careful: bool) -> Look:
    """A version stays if any folder's rule keeps it, or the drive's."""
    rules = set(rules_of(volume.overlay.live).values())
    now_ns = volume.overlay.now_ns()

    def look() -> Plan:
        facts = list(volume.versions.all())
        stamps = [stamp_of(found) for found in facts]
        stay = [False] * len(facts)
        for rule in {All()} if All() in rules else rules:
            stay = [a or b for a, b in zip(stay, kept(rule, stamps, now_ns), strict=True)]
        return Plan(
            [found for found, stays in zip(facts, stay, strict=True) if stays],
            [found for found, stays in zip(facts, stay, strict=True) if not stays],
            gone.BY_RULE,
            careful=careful,
        )

    return look


def stamp_of(found: VersionFacts) -> Stamp:
    return Stamp(found.version, found.time_ns, bool(found.second))
