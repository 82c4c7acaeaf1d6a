"""How much this device is to hold at most: a setting of its own, `local_budget`."""

from hyperfs.errors import InvalidArgument
from hyperfs.policy.placement import read_budget
from hyperfs.volume import keys
from hyperfs.volume.volume import Volume


def budget_of(volume: Volume) -> int | None:
    """In bytes; None for no limit, which is also what a value counts as that a later hyperfs wrote."""
    value = volume.overlay.live.fact(keys.budget_key(volume.device))
    try:
        return None if value is None else read_budget(value.decode())
    except (InvalidArgument, UnicodeDecodeError):
        return None
