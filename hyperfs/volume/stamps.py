"""Versions as the rules of retention see them."""

from hyperfs.policy.retention import Stamp
from hyperfs.volume.catalog import VersionFacts


def stamp_of(found: VersionFacts) -> Stamp:
    """Listed is what has a second of its own."""
    return Stamp(found.version, found.time_ns, bool(found.second))
