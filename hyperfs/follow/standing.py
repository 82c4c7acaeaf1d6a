"""Whether the folder that is there now is the one that was followed. Pure.

A disk that is not mounted looks like a folder that was emptied, or like another folder; neither is a deletion.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

from hyperfs.follow.facts import Identity


@dataclass(frozen=True)
class Standing:
    """Which folder it is, and where the filesystem that it lies in is mounted."""

    identity: Identity
    mounted_at: bytes

    def encode(self) -> bytes:
        return json.dumps([*self.identity, self.mounted_at.hex()]).encode()

    @classmethod
    def decode(cls, data: bytes) -> "Standing | None":
        """None for what says nothing: then nothing is known of the folder as it was."""
        try:
            dev, ino, mounted_at = json.loads(data)
            return cls(Identity((int(dev), int(ino))), bytes.fromhex(mounted_at))
        except (ValueError, TypeError, OverflowError, RecursionError):
            return None


def why_not_it(
    was: Standing | None, now: Standing, is_empty: bool, had_names: bool, shares_a_name: Callable[[], bool]
) -> str | None:
    """Why it has to be waited for; None if it is the folder. `had_names`: there were names in it when it was followed
    last; `shares_a_name`: whether one of them is there now."""
    if had_names and is_empty:
        return "is empty, and was not: its disk may not be mounted"
    if was is None or was.identity == now.identity or not had_names:
        return None
    if now.mounted_at != was.mounted_at and _is_in(was.mounted_at, now.mounted_at):
        return "lies on another disk than before: its own does not seem to be mounted"
    if not shares_a_name():
        return "is another folder than before, with none of the names that were in it"
    return None


def _is_in(path: bytes, folder: bytes) -> bool:
    return path.startswith(folder.rstrip(b"/") + b"/")
