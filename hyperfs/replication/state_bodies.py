"""The bodies of `hyperfs/1` with which a root gets a drive in a single answer: which drives it has, and of one of them
the control chain and all heads. Encode beside decode; parts are the bodies of the methods that ask for them one by one.
"""

from typing import Final, NamedTuple, Self

from hyperfs.errors import Corrupt
from hyperfs.log import compact
from hyperfs.replication.dialogue_bodies import HASH_BYTES, ChainPart, Drives, LogHeads, ProveRoot

_NONE: Final = 0
_ONE: Final = 1


class StateWanted(NamedTuple):
    """Of `drive`; None where the root is thought to have a single one."""

    root: ProveRoot
    drive: bytes | None

    def encode(self) -> bytes:
        return self.root.encode() + (compact.uint(_NONE) if self.drive is None else compact.uint(_ONE) + self.drive)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        root = ProveRoot.decode(body)
        reader = compact.Reader(body[len(root.encode()) :], "request for a root's drive")
        return cls(root, reader.take(HASH_BYTES) if _is_there(reader) else None)


class DriveState(NamedTuple):
    """`chain`: from its first record on, as many as fit."""

    drive: bytes
    chain: ChainPart
    heads: LogHeads


class RootState(NamedTuple):
    """`state` is None where the root has not that drive, none, or several; or it is too long for one answer."""

    drives: Drives
    state: DriveState | None

    def encode(self) -> bytes:
        parts = [compact.buffer(self.drives.encode()), compact.uint(_NONE if self.state is None else _ONE)]
        if self.state is not None:
            drive, chain, heads = self.state
            parts += [drive, compact.buffer(chain.encode()), compact.buffer(heads.encode())]
        return b"".join(parts)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = compact.Reader(body, "state of a root's drive")
        drives = Drives.decode(reader.buffer())
        if not _is_there(reader):
            return cls(drives, None)
        drive = reader.take(HASH_BYTES)
        return cls(drives, DriveState(drive, ChainPart.decode(reader.buffer()), LogHeads.decode(reader.buffer())))


def _is_there(reader: compact.Reader) -> bool:
    flag = reader.uint()
    if flag not in (_NONE, _ONE):
        raise Corrupt(f"{flag} where something is there (1) or not (0)")
    return flag == _ONE
