"""Programs that may bring back what they like, though they look at everything. Facts of the drive: settings."""

import os
from typing import Final

from hyperfs.errors import InvalidArgument, NoAttribute
from hyperfs.volume import keys
from hyperfs.volume.volume import Volume

_PREFIX: Final = b"allow:"
LONGEST_BYTES: Final = 512


def load(volume: Volume) -> None:
    """What the settings say is what holds."""
    prefix = keys.setting_key(_PREFIX)
    volume.scans.allowed = {os.fsdecode(key[len(prefix) :]) for key in volume.overlay.live.facts(prefix)}


async def allow(volume: Volume, program: str, on: bool = True) -> None:
    """`program`: the path of an executable, or its name. Durable when it returns. Raises InvalidArgument, NoAttribute
    where what is to be taken away was not set."""
    name = os.fsencode(program)
    if not name or len(name) > LONGEST_BYTES:
        raise InvalidArgument(f"{program!r} is no program: write its name, or the path of its executable")
    if not on and program not in volume.scans.allowed:
        raise NoAttribute(f"{program!r} was not allowed to bring back more than others")
    volume.check_writable()
    volume.overlay.set_fact(keys.setting_key(_PREFIX + name), b"" if on else None)
    load(volume)
    volume.settled()
    await volume.fsync(None)
