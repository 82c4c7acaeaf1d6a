"""What programs see of a tree: compared between the drive and a plain folder, and with itself after a remount.

Where the two may differ, and why (also in docs/posix.md):

what                     why it is not compared
-----------------------  ---------------------------------------------------------------------------------
size of a directory      4096 here; ext4's grows with its entries
st_blocks, st_blksize    the drive counts what is in no hole, in 4 KiB; ext4 what it has allocated
inode numbers            any, but the same for all names of one file
atime                    the drive changes it only when told to, ext4 by relatime when read
the clock's times        which of them change with a call must be the same; the values are those of two moments
order of a listing       no filesystem promises one
attributes over 3 KB     ext4 has a block for all of a file's; the drive holds 64 KiB each
times before 1901 and
after 2446               ext4 has no room for them
ctime of an attribute    ext4 leaves it when the value is what it was, others do not: each value is another here
setgid without group's   a write by another user takes it away on ext4; the kernel does not ask FUSE to
execution
times after an ACL       ext4 leaves them where the mode says as much as the ACL
truncate to the size     ext4 sets the times, the kernel leaves those of a FUSE file: the size is another here
that a file has
XATTR_CREATE | REPLACE   pyfuse3 keeps the flags to itself, and the first counts; together they make no sense
SEEK_DATA, SEEK_HOLE,    the interface has no room for them (docs/posix.md): not among the calls
fallocate, O_TMPFILE
opening devices          the mount is nodev
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from .calls import Place, shown

TOLERANCE_NS = 2_000_000
"""The drive's clock and the kernel's coarse one may be this far apart."""


class Glance(NamedTuple):
    """Attributes of all things by path, open files by `#number`; `names` are the entries by directory."""

    facts: dict[bytes, os.stat_result]
    names: dict[int, dict[bytes, int]]


def glance(place: Place, top: bytes) -> Glance:
    """All that stat tells of what is below `top` and of what is held open."""
    facts: dict[bytes, os.stat_result] = {b".": os.lstat(top)}
    names: dict[int, dict[bytes, int]] = {}
    waiting = [(b"", top)]
    while waiting:
        below, folder = waiting.pop()
        entries = names.setdefault(facts[below or b"."].st_ino, {})
        for name in os.listdir(folder):
            path, full = below + name, folder + b"/" + name
            facts[path] = os.lstat(full)
            entries[name] = facts[path].st_ino
            if stat.S_ISDIR(facts[path].st_mode):
                waiting.append((path + b"/", full))
                facts[path + b"/"] = facts.pop(path)
    for number, fd in place.files.items():
        facts[b"#%d" % number] = os.fstat(fd)
    return Glance(facts, names)


@dataclass
class Moment:
    """A glance, and the clock before and after what has led to it."""

    seen: Glance
    begin_ns: int = 0
    end_ns: int = 0


def different(mounted: Moment, plain: Moment, before: tuple[Glance, Glance], timed: bool) -> Iterator[str]:
    """Sentences about what differs now between the two, each having been `before`; of times only if `timed`."""
    one, other = mounted.seen.facts, plain.seen.facts
    if one.keys() != other.keys():
        yield f"names: only mounted {sorted(one.keys() - other.keys())}, only plain {sorted(other.keys() - one.keys())}"
        return
    old = [{facts.st_ino: facts for facts in glance.facts.values()} for glance in before]
    for path in sorted(one):
        if shown(one[path]) != shown(other[path]):
            yield f"{path!r}: mounted {shown(one[path])}, plain {shown(other[path])}"
        if not timed:
            continue
        changes = [
            changed(old[0].get(one[path].st_ino), one[path]),
            changed(old[1].get(other[path].st_ino), other[path]),
        ]
        if changes[0] != changes[1]:
            yield f"{path!r}: of its times there changed, mounted {changes[0]}, plain {changes[1]}"
        elif one[path].st_mtime_ns != other[path].st_mtime_ns and "mtime" in changes[0]:
            yield from out_of_time(path, "mtime", one[path].st_mtime_ns, mounted)
        if "ctime" in changes[0]:
            yield from out_of_time(path, "ctime", one[path].st_ctime_ns, mounted)


def changed(old: os.stat_result | None, new: os.stat_result) -> tuple[str, ...]:
    if old is None:
        return ("new", "mtime", "ctime")
    named = []
    if old.st_mtime_ns != new.st_mtime_ns:
        named.append("mtime")
    if old.st_ctime_ns != new.st_ctime_ns:
        named.append("ctime")
    return tuple(named)


def out_of_time(path: bytes, name: str, time_ns: int, moment: Moment) -> Iterator[str]:
    """A time that the system set lies between the beginning and the end of the call."""
    if not moment.begin_ns - TOLERANCE_NS <= time_ns <= moment.end_ns + TOLERANCE_NS:
        yield f"{path!r}: {name} is {time_ns}, the call went from {moment.begin_ns} to {moment.end_ns}"


Things = dict[bytes, tuple[object, ...]]


def everything(top: bytes) -> Things:
    """All of a tree, with bytes, targets and attributes; names of one file are told by the first of them."""
    found: Things = {}
    first: dict[int, bytes] = {}
    for path, facts in sorted(glance(Place(top), top).facts.items()):
        full = os.path.join(top, path.rstrip(b"/"))
        content: object = None
        if stat.S_ISREG(facts.st_mode):
            with open(full, "rb") as file:
                content = file.read()
        elif stat.S_ISLNK(facts.st_mode):
            content = os.readlink(full)
        names = sorted(os.listxattr(full, follow_symlinks=False))
        attributes = {name: os.getxattr(full, name, follow_symlinks=False) for name in names}
        found[path] = (shown(facts), first.setdefault(facts.st_ino, path), attributes, content)
    return found


def times(seen: Glance) -> Things:
    """All times of a tree: no remount and no kill may change one."""
    return {
        path: (facts.st_atime_ns, facts.st_mtime_ns, facts.st_ctime_ns)
        for path, facts in seen.facts.items()
        if not path.startswith(b"#")
    }


def differences(one: dict[bytes, tuple[object, ...]], other: dict[bytes, tuple[object, ...]]) -> list[str]:
    """Short sentences about what is not the same in both."""
    return [
        f"{path!r}: {short(one.get(path))} and {short(other.get(path))}"
        for path in sorted(one.keys() | other.keys())
        if one.get(path) != other.get(path)
    ]


def short(facts: tuple[object, ...] | None) -> str:
    if facts is None:
        return "nothing"
    return ", ".join(
        f"{value[:12]!r}... {len(value)} bytes" if isinstance(value, bytes) and len(value) > 40 else repr(value)
        for value in facts
    )
