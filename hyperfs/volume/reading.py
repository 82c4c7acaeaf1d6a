"""Reading a live file: what its extents hold, under what is on its way into chunks, under what is dirty."""

from hyperfs.volume.buffer import lay_over
from hyperfs.volume.content import Content
from hyperfs.volume.inode import Inode
from hyperfs.volume.overlay import Overlay


def read_live(overlay: Overlay, content: Content, inode: Inode, offset: int, size: int) -> bytes:
    """Up to `size` bytes from `offset`; fewer only at the end of the file. Holes read as zeros."""
    size = min(size, inode.size - offset)
    if size <= 0:
        return b""
    if inode.inline is not None:
        base = inode.inline[offset : offset + size]
        if len(base) < size:
            base += bytes(size - len(base))
    else:
        base = content.read(overlay.extents(inode, offset, offset + size), offset, size)
    if inode.dirty is None and not inode.flushing:
        return base
    target = bytearray(base)
    lay_over(target, offset, inode.flushing)
    if inode.dirty is not None:
        inode.dirty.overlay(target, offset)
    return bytes(target)
