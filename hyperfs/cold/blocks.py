"""What cold stores need of the drive: the blocks of its content logs, their sizes, and which were cleared."""

from collections.abc import Iterable, Sequence

from hyperfs.cold.object_format import Head, Run, folder_of
from hyperfs.crypto.keys import LOG_CONTENT
from hyperfs.errors import NotResident
from hyperfs.log.reader import LogReader
from hyperfs.values import BlockRef
from hyperfs.volume.parts import Parts


class Blocks:
    """Reads only. `sealed`, `fits` and `head` may be called in any thread."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.drive_id = parts.drive_id
        self.numbers = tuple(entry.number for entry in parts.chain.logs.values() if entry.kind == LOG_CONTENT)
        """The content logs: only their blocks are ever elsewhere."""
        self._folders = {self.folder(number): number for number in self.numbers}

    def log(self, number: int) -> LogReader:
        return self._parts.logs[number]

    def folder(self, number: int) -> str:
        """Where the objects of a log lie in every place."""
        return folder_of(self.drive_id, self.log(number).discovery_key)

    @property
    def drive_folder(self) -> str:
        """Where all objects of the drive lie."""
        return folder_of(self.drive_id, b"").rstrip("/")

    def number_of(self, folder: str) -> int | None:
        """The log whose objects lie in a folder."""
        return self._folders.get(folder)

    def size(self, number: int, first: int, end: int) -> int:
        """Bytes of blocks [first, end)."""
        start, stop = self.log(number).byte_range(first, end)
        return stop - start

    def signed(self, number: int) -> int:
        """Blocks before this one are covered by a head that is on the disk: only they go elsewhere."""
        return self.log(number).signed_length

    def cleared(self, number: int) -> Sequence[Run]:
        """What retention let go of: ascending and apart."""
        return self._parts.catalog.cleared.ranges(number)

    def fits(self, ref: BlockRef, data: bytes) -> bool:
        return self.log(ref.log).fits(ref.index, data)

    def here(self, number: int, runs: Iterable[Run]) -> dict[BlockRef, bytes | None]:
        """The blocks as they lie in the log, compared with its tree; None for those that are not on this device.
        Raises Corrupt, OSError."""
        log = self.log(number)
        found: dict[BlockRef, bytes | None] = {}
        for first, end in runs:
            for index in range(first, end):
                try:
                    found[BlockRef(number, index)] = log.get_verified(index)
                except NotResident:
                    found[BlockRef(number, index)] = None
        return found

    def head(self, number: int, runs: Sequence[Run]) -> Head:
        """The head of an object with these runs, ascending."""
        log = self.log(number)
        first, end = runs[0][0], runs[-1][1]
        sizes: list[int | None] = [None] * (end - first)
        for low, high in runs:
            for index in range(low, high):
                sizes[index - first] = log.block_range(index)[1]
        return Head(self.drive_id, log.discovery_key, log.fork, first, tuple(sizes))
