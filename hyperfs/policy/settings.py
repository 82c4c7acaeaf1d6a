"""What is set for a whole drive, or for this device alone, with `hyperfs policy set` like a policy. Pure."""

from collections.abc import Callable, Mapping
from typing import Final

from hyperfs.policy import history_room
from hyperfs.policy.placement import read_budget

LOCAL_BUDGET: Final = "local_budget"
"""This device's own."""
SETTINGS: Final[Mapping[str, Callable[[str], object]]] = {**history_room.SETTINGS, LOCAL_BUDGET: read_budget}
"""By name, what reads a value; it raises InvalidArgument for a wrong one."""
