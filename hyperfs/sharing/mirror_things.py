"""Mirroring, second part: what inodes are, apart from their names. Attributes at once, bytes when the names stand."""

from hyperfs.errors import Unreachable
from hyperfs.policy.attributes import is_ours
from hyperfs.sharing import mirror_bytes
from hyperfs.sharing.mirrored import Mirrored, Twin
from hyperfs.volume.inode import Inode
from hyperfs.volume.sides import Copy, copy_of
from hyperfs.volume.tree import Tree
from hyperfs.volume.volume import Volume
from hyperfs.volume.xattrs import HAS_XATTRS


class Things:
    """Numbers are the source's. `old`: the version that was mirrored last, where only what differs is looked at."""

    def __init__(self, source: Volume, into: Volume, mirrored: Mirrored, new: Tree, old: Tree | None) -> None:
        self._source = source
        self._into = into
        self._mirrored = mirrored
        self._new = new
        self._old = old
        self._waiting: dict[int, None] = {}  # files whose bytes differ
        self.bytes = 0
        """Read."""
        self.failed: list[Unreachable] = []
        """Of files whose bytes are not to be had now: they are short, or as they were in part."""

    async def describe(self, source: int) -> None:
        """Makes what stands for an inode equal to it, but for names and bytes."""
        twin = self._mirrored.twin(source)
        copy = await self._copy(self._new, source) if twin is not None else None
        if twin is None or copy is None:
            return
        inode, past = self._into.overlay.inode(twin.ino), copy.inode
        if past.is_file and twin.content != self._mirrored.content(copy):
            self._waiting[source] = None
        self._set_xattrs(inode, copy)
        if _facts(inode) != _facts(past):
            inode.mode, inode.uid, inode.gid, inode.rdev = past.mode, past.uid, past.gid, past.rdev
            inode.atime_ns, inode.mtime_ns = past.atime_ns, past.mtime_ns
            inode.ctime_ns, inode.btime_ns = past.ctime_ns, past.btime_ns
            self._into.overlay.touch(inode)

    async def bring(self) -> None:
        """The bytes of all whose bytes differ. Raises Corrupt, OSError; what is not to be had now is noted."""
        for source in list(self._waiting):
            del self._waiting[source]
            twin, copy = self._mirrored.twin(source), await self._copy(self._new, source)
            if twin is None or copy is None:
                continue
            old = await self._copy(self._old, source) if self._old is not None else None
            if old is not None and self._mirrored.content(old) != twin.content:
                old = None
            self._mirrored.put(source, Twin(twin.ino))
            inode = self._into.overlay.inode(twin.ino)
            try:
                self.bytes += await mirror_bytes.bring(self._source, copy, old, self._into, inode)
            except Unreachable as error:
                self.failed.append(error)
            else:
                self._mirrored.put(source, Twin(twin.ino, self._mirrored.content(copy)))

    async def _copy(self, tree: Tree, source: int) -> Copy | None:
        """All that a version has of an inode. Long attributes may lie elsewhere."""

        async def read() -> Copy | None:
            inode = tree.inode(source)
            return None if inode is None else copy_of(tree, inode)

        return await self._source.returning.complete(read)

    def _set_xattrs(self, inode: Inode, copy: Copy) -> None:
        """But policies, which are the drive's own."""
        overlay = self._into.overlay
        wanted = {name: value for name, value in copy.xattrs.items() if not is_ours(name)}
        there = overlay.live.xattrs(inode.ino) if inode.flags & HAS_XATTRS else {}
        if wanted == there:
            return
        inode.flags |= HAS_XATTRS
        for name in sorted(wanted.keys() | there.keys()):
            if wanted.get(name) != there.get(name):
                overlay.set_xattr(inode.ino, name, wanted.get(name))
        overlay.touch(inode)


def _facts(inode: Inode) -> tuple[int, ...]:
    times = inode.atime_ns, inode.mtime_ns, inode.ctime_ns, inode.btime_ns
    return inode.mode, inode.uid, inode.gid, inode.rdev, *times
