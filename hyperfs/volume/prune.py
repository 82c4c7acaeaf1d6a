"""Prune by hand: all but the last versions are let go. By rules: see retaining.py."""

from hyperfs.errors import InvalidArgument
from hyperfs.volume import gone
from hyperfs.volume.clearing import Progress
from hyperfs.volume.collecting import Plan, Pruned, collect
from hyperfs.volume.volume import Volume

__all__ = ["Pruned", "prune"]


async def prune(volume: Volume, keep_last: int, dry_run: bool, progress: Progress) -> Pruned:
    """Keeps the newest `keep_last` versions that `.versions` lists and all since the first of them, named snapshots,
    and what is being read. `progress` is called from another thread.

    Raises InvalidArgument, and what `collect` raises.
    """
    if keep_last < 1:
        raise InvalidArgument("the newest version always stays: keep at least 1")

    def look() -> Plan:
        facts = list(volume.versions.all())
        listed = [found.version for found in facts if found.second]
        oldest = listed[-keep_last] if len(listed) >= keep_last else 0
        kept = [found for found in facts if found.version >= oldest]
        return Plan(kept, [found for found in facts if found.version < oldest], gone.BY_HAND)

    return await collect(volume, look, dry_run, progress)
