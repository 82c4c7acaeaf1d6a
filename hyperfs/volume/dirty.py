"""Which files have dirty bytes, and how many in all. Owned by the trio thread; changed only between awaits."""

from collections.abc import Callable

from hyperfs.volume.buffer import Bytes, DirtyBytes, Run
from hyperfs.volume.inode import Inode


class DirtyFiles:
    """`Inode.dirty` is changed through this only, so that the total stays right.

    `nbytes` also counts bytes on their way into chunks: what was taken counts until `settle` or `give_back`.
    """

    def __init__(self) -> None:
        self._files: dict[int, Inode] = {}
        self.nbytes = 0

    @property
    def files(self) -> list[Inode]:
        """In the order in which they became dirty."""
        return list(self._files.values())

    def largest(self, among: Callable[[DirtyBytes], bool] = lambda dirty: True) -> Inode | None:
        """The file with the most dirty bytes, of those whose bytes are as asked for."""
        found = (i for i in self._files.values() if i.dirty is not None and among(i.dirty))
        return max(found, key=lambda i: i.dirty.nbytes if i.dirty else 0, default=None)

    def _buffer(self, inode: Inode) -> DirtyBytes:
        if inode.dirty is None:
            inode.dirty = DirtyBytes()
            self._files[inode.ino] = inode
        return inode.dirty

    def put(self, inode: Inode, offset: int, data: bytes | memoryview) -> DirtyBytes:
        """Bytes over what is there; returns all of the file that are dirty now."""
        buffer = self._buffer(inode)
        before = buffer.nbytes
        buffer.write(offset, data)
        self.nbytes += buffer.nbytes - before
        return buffer

    def fill(self, inode: Inode, offset: int, data: Bytes, loose: list[tuple[int, int]] | None = None) -> None:
        """Bytes under what is there. `loose`: see DirtyBytes.fill."""
        buffer = self._buffer(inode)
        before = buffer.nbytes
        buffer.fill(offset, data, loose)
        self.nbytes += buffer.nbytes - before

    def truncate(self, inode: Inode, size: int) -> None:
        if inode.dirty is not None:
            before = inode.dirty.nbytes
            inode.dirty.truncate(size)
            self.nbytes -= before - inode.dirty.nbytes
            self._drop_if_clean(inode)

    def discard(self, inode: Inode) -> None:
        """Forgets all dirty bytes of a file."""
        if inode.dirty is not None:
            self.nbytes -= inode.dirty.nbytes
            inode.dirty = None
        self._files.pop(inode.ino, None)

    def take(self, inode: Inode, most: int | None, most_runs: int, since: int = 0) -> list[Run]:
        """The file's runs, or the first `most` bytes of those from `since` on in at most so many runs. They still count
        until `settle` or `give_back`."""
        if inode.dirty is None:
            return []
        runs = inode.dirty.take() if most is None else inode.dirty.take_part(most, most_runs, since)
        self._drop_if_clean(inode)
        return runs

    def settle(self, runs: list[Run]) -> None:
        """What was taken is in chunks."""
        self.nbytes -= sum(len(run) for _, run in runs)

    def give_back(self, inode: Inode, runs: list[Run], loose: list[tuple[int, int]]) -> None:
        """What was taken is dirty again, under whatever was written since."""
        self.settle(runs)
        for start, run in runs:
            self.fill(inode, start, run, loose)

    def _drop_if_clean(self, inode: Inode) -> None:
        if inode.dirty is not None and not inode.dirty:
            inode.dirty = None
            self._files.pop(inode.ino, None)
