"""Drives that count together on a cloud peer: one that was paired, and those that its devices have had admitted beside
it, as the drives of its shared folders. They share its quota.

The record `part-of` of such a one says so, and which device had it admitted (0: the root): it takes in nothing more
when that one was taken out of the first one's roster.

    "hyperfs part of" LF "format 1" LF "drive " hex64 LF "device " number LF
"""

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from hyperfs.errors import Corrupt, FormatTooNew, Refused
from hyperfs.log.control_codec import REVOKED, ROOT

if TYPE_CHECKING:
    from hyperfs.peer.drive import HeldDrive

PART_OF: Final = "part-of"
PART_FORMAT: Final = 1
MOST_PARTS: Final = 256
_FORMAT: Final = re.compile(rb"hyperfs part of\nformat ([1-9][0-9]{0,8})\n")
_WHOLE: Final = re.compile(rb"hyperfs part of\nformat 1\ndrive ([0-9a-f]{64})\ndevice (0|[1-9][0-9]{0,9})\n")


class PartOf(NamedTuple):
    drive: bytes
    device: int = ROOT

    def encode(self) -> bytes:
        return f"hyperfs part of\nformat {PART_FORMAT}\ndrive {self.drive.hex()}\ndevice {self.device}\n".encode()


def decode_part(data: bytes) -> PartOf:
    """Corrupt for what encode could not have made, FormatTooNew by the number alone."""
    found = _FORMAT.match(data)
    if found is not None and int(found[1]) > PART_FORMAT:
        raise FormatTooNew("what a held drive is part of", int(found[1]), PART_FORMAT)
    whole = _WHOLE.fullmatch(data)
    if whole is None:
        raise Corrupt("what a held drive is part of is damaged", f"record {PART_OF}")
    return PartOf(bytes.fromhex(whole[1].decode()), int(whole[2]))


class Account:
    """The first one was paired."""

    def __init__(self, first: "HeldDrive") -> None:
        self._first = first
        self._parts: dict[bytes, tuple[HeldDrive, int]] = {}  # and by which device
        self._is_over = False

    def owner_of(self, drive: "HeldDrive") -> "HeldDrive | None":
        """Whose part a drive is; None for the first one itself."""
        return self._first if drive is not self._first else None

    def join(self, drive: "HeldDrive", device: int) -> None:
        self._parts[drive.id] = drive, device
        drive.account = self

    def leave(self, drive: "HeldDrive") -> None:
        """It is held here no more; the first one takes in nothing more either."""
        if drive is self._first:
            self._is_over = True
        else:
            self._parts.pop(drive.id, None)

    def check_room_for_part(self) -> None:
        if len(self._parts) >= MOST_PARTS:
            raise Refused(f"{MOST_PARTS} drives are held here beside this one already")

    def check_takes(self, drive: "HeldDrive") -> None:
        """Raises Refused for a part that was dismissed, or whose device was taken out."""
        if drive is self._first and not self._is_over:
            return
        _, device = self._parts.get(drive.id, (drive, None))
        if device is None or self._is_over:
            raise Refused(f"drive {drive.id.hex()[:16]} is not held here any more")
        chain = self._first.chain
        if device != ROOT and (chain is None or chain.devices[device].state == REVOKED):
            raise Refused(f"drive {drive.id.hex()[:16]} belongs to device {device}, which was taken out of its drive")

    @property
    def used_bytes(self) -> int:
        return self._first.used_bytes + sum(drive.used_bytes for drive, _ in self._parts.values())

    @property
    def quota_bytes(self) -> int | None:
        return self._first.settings.quota_bytes
