"""`.versions/.deleted`: what was deleted from a directory, as entries."""

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import Final

import trio

from hyperfs.errors import NotFound, ReadOnlyDrive
from hyperfs.fuse.listing import Item, Listing
from hyperfs.volume.deleted import Deleted, deleted_from, find_deleted
from hyperfs.volume.volume import Volume

SLICE_SECONDS: Final = 0.004


class DeletedThings:
    """Owned by the trio thread."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume

    async def catch_up(self) -> bool:
        """Makes a version of what waits for one, and the rows of what is in versions. Whether there was a new one."""
        volume = self._volume
        before = volume.changes.filled
        if not volume.read_only and volume.committer.pending:
            with suppress(OSError, ReadOnlyDrive):  # told as a warning; what is in versions can be had all the same
                await volume.commit(write_back=False)  # the kernel may wait for this very request
        await volume.changes.caught_up()
        return volume.changes.filled > before

    async def listing(self, directory: int) -> Listing:
        """What can be had at this moment, by name. In slices."""
        await self.catch_up()
        found: list[Item] = []
        until = trio.current_time() + SLICE_SECONDS
        for deleted in deleted_from(self._volume, directory):
            found.append((deleted.entry, deleted.version))
            if trio.current_time() >= until:
                await trio.lowlevel.checkpoint()
                until = trio.current_time() + SLICE_SECONDS
        found.sort()

        def after(item: Item | None) -> Iterator[Item]:
            return islice(found, 0 if item is None else bisect_right(found, item), None)

        return Listing(after)

    def find(self, directory: int, entry: bytes) -> Deleted:
        """For the versions that have their rows. Raises NotFound."""
        found = find_deleted(self._volume, directory, entry)
        if found is None:
            raise NotFound(f"nothing called {entry!r} was deleted here, or it is not kept any more")
        return found
