"""Numbers that look alike and must not be mixed up, and the few records that every layer passes on."""

from typing import Final, NamedTuple, NewType

Ino = NewType("Ino", int)
Version = NewType("Version", int)
LogNumber = NewType("LogNumber", int)
BlockIndex = NewType("BlockIndex", int)

ROOT_INO: Final = Ino(1)
FORMAT_VERSION: Final = 1
NAME_MAX_BYTES: Final = 255


class BlockRef(NamedTuple):
    """Where a block lies: the log's number in the roster and the block's index in that log."""

    log: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody calls here
