"""Retention: the plan of a prune by rules."""

from hyperfs.policy.retention import All, Stamp, kept
from hyperfs.volume import gone
from hyperfs.volume.catalog import VersionFacts
from hyperfs.volume.clearing import Progress
from hyperfs.volume.collecting import Look, Plan, Pruned, collect, forget
from hyperfs.volume.rules import rules_of
from hyperfs.volume.volume import Volume


async def retain(volume: Volume, dry_run: bool, progress: Progress) -> Pruned:
    """Lets go of what no rule keeps, and gives back its space. Raises as `collect`."""
    return await collect(volume, by_rules(volume), dry_run, progress)


async def thin(volume: Volume) -> int:
    """Lets go of what no rule keeps, without freeing anything; how many versions. Raises as `collect`."""
    return await forget(volume, by_rules(volume))


def by_rules(volume: Volume) -> Look:
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
        )

    return look


def stamp_of(found: VersionFacts) -> Stamp:
    return Stamp(found.version, found.time_ns, bool(found.second))
