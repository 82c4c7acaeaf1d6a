"""A filesystem in a dict, as small as pyfuse3 lets one be: what a request costs when nothing is done for it.

`memory_filesystem.py IGNORED POINT [lite]` serves until it is unmounted; it says `ready` when the mount answers. It
checks nothing and keeps nothing. With `lite` it runs on the event loop's shortcuts of the drive's own process.
"""

import errno
import gc
import os
import stat
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass, field

import pyfuse3
import trio
from pyfuse3 import EntryAttributes, FileInfo, FUSEError

from hyperfs.fuse.event_loop import short_ways

CACHED_SECONDS = 3600.0
FILE, FOLDER, LINK = stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK


@dataclass(slots=True)
class Thing:
    """A file (`data`), folder (`names`) or symlink (`target`)."""

    entry: EntryAttributes
    data: bytearray = field(default_factory=bytearray)
    names: dict[bytes, int] = field(default_factory=dict)
    target: bytes = b""


class MemoryFilesystem(pyfuse3.Operations):
    enable_writeback_cache = True
    enable_acl = True  # as the drive: the kernel then asks for the same attributes

    def __init__(self):
        super().__init__()
        self.things = {}
        self.listings = {}
        self.absent = EntryAttributes()
        self.absent.st_ino = 0
        self.absent.entry_timeout = CACHED_SECONDS
        self.new(FOLDER | 0o755, None)

    def new(self, mode, ctx):
        entry = EntryAttributes()
        entry.st_ino = len(self.things) + 1
        entry.st_mode = mode
        entry.st_nlink = 2 if stat.S_ISDIR(mode) else 1
        if ctx is not None:
            entry.st_uid, entry.st_gid = ctx.uid, ctx.gid
        entry.st_atime_ns = entry.st_mtime_ns = entry.st_ctime_ns = time.time_ns()
        entry.entry_timeout = entry.attr_timeout = CACHED_SECONDS
        thing = self.things[entry.st_ino] = Thing(entry)
        return thing

    def enter(self, parent, name, mode, ctx):
        thing = self.new(mode, ctx)
        self.things[parent].names[name] = thing.entry.st_ino
        return thing

    async def lookup(self, parent, name, ctx):
        number = self.things[parent].names.get(name)
        return self.absent if number is None else self.things[number].entry

    async def getattr(self, number, ctx):
        return self.things[number].entry

    async def setattr(self, number, attr, fields, fh, ctx):
        thing = self.things[number]
        entry = thing.entry
        if fields.update_size:
            thing.data = thing.data[: attr.st_size].ljust(attr.st_size, b"\0")
            entry.st_size = attr.st_size
        if fields.update_mode:
            entry.st_mode = attr.st_mode
        if fields.update_uid:
            entry.st_uid = attr.st_uid
        if fields.update_gid:
            entry.st_gid = attr.st_gid
        if fields.update_atime:
            entry.st_atime_ns = attr.st_atime_ns
        if fields.update_mtime:
            entry.st_mtime_ns = attr.st_mtime_ns
        if fields.update_ctime:
            entry.st_ctime_ns = attr.st_ctime_ns
        return entry

    async def create(self, parent, name, mode, flags, ctx):
        entry = self.enter(parent, name, mode, ctx).entry
        return FileInfo(fh=entry.st_ino), entry

    async def mknod(self, parent, name, mode, rdev, ctx):
        return self.enter(parent, name, mode, ctx).entry

    async def mkdir(self, parent, name, mode, ctx):
        return self.enter(parent, name, FOLDER | mode, ctx).entry

    async def symlink(self, parent, name, target, ctx):
        thing = self.enter(parent, name, LINK | 0o777, ctx)
        thing.target = target
        return thing.entry

    async def readlink(self, number, ctx):
        return self.things[number].target

    async def link(self, number, parent, name, ctx):
        self.things[parent].names[name] = number
        return self.things[number].entry

    async def unlink(self, parent, name, ctx):
        del self.things[parent].names[name]

    async def rmdir(self, parent, name, ctx):
        names = self.things[parent].names
        if self.things[names[name]].names:
            raise FUSEError(errno.ENOTEMPTY)
        del names[name]

    async def rename(self, parent, name, new_parent, new_name, flags, ctx):
        self.things[new_parent].names[new_name] = self.things[parent].names.pop(name)

    def forget(self, inode_list):
        pass  # numbers are given by count: nothing is ever let go

    async def open(self, number, flags, ctx):
        return FileInfo(fh=number)

    async def read(self, fh, offset, size):
        return bytes(self.things[fh].data[offset : offset + size])

    async def write(self, fh, offset, buffer):
        thing = self.things[fh]
        end = offset + len(buffer)
        thing.data[offset:end] = buffer
        thing.entry.st_size = max(thing.entry.st_size, end)
        return len(buffer)

    async def flush(self, fh):
        pass

    async def release(self, fh):
        pass

    async def fsync(self, fh, datasync):
        pass

    async def opendir(self, number, ctx):
        self.listings[number] = []
        return number

    async def readdir(self, fh, start, token):
        if not start:
            self.listings[fh] = list(self.things[fh].names.items())
        for position, (name, number) in enumerate(self.listings[fh][start:], start + 1):
            if not pyfuse3.readdir_reply(token, name, self.things[number].entry, position):
                break

    async def releasedir(self, fh):
        pass

    async def access(self, number, mode, ctx):
        return True

    async def getxattr(self, number, name, ctx):
        raise FUSEError(errno.ENODATA)

    async def listxattr(self, number, ctx):
        return []

    async def statfs(self, ctx):
        answer = pyfuse3.StatvfsData()
        answer.f_bsize = answer.f_frsize = 4096
        answer.f_blocks = answer.f_bfree = answer.f_bavail = answer.f_files = answer.f_ffree = 1 << 30
        answer.f_namemax = 255
        return answer


async def serve(ways):
    print("ready", flush=True)
    with ways:
        await pyfuse3.main()


def main(point, flags):
    pyfuse3.init(MemoryFilesystem(), point, {"default_permissions", "fsname=memory", "allow_other"})
    gc.freeze()
    try:
        trio.run(serve, short_ways() if "lite" in flags else nullcontext())
    finally:
        pyfuse3.close(unmount=True)


if __name__ == "__main__":
    os.umask(0)
    main(sys.argv[2], sys.argv[3:])
