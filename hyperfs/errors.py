"""What can go wrong, as facts.

Errors carry no errno and no exit code: each boundary (FUSE, command line) has one table that turns these
classes into its own codes. Absent, corrupt and unreachable are three different errors.
"""

from collections.abc import Iterable
from typing import overload

from hyperfs.values import BlockRef


class HyperfsError(Exception):
    """Base of all errors of ours. `str()` is a sentence for people: what happened and what to do."""


class Corrupt(HyperfsError):
    """Bytes are there and are not what was written."""

    def __init__(self, what: str, where: str = "", advice: str = "") -> None:
        self.what = what
        self.where = where
        self.advice = advice
        super().__init__(f"{what}{f' ({where})' if where else ''}{f': {advice}' if advice else ''}")


class IndexDamaged(Corrupt):
    """The derived index can't be read. Nothing is lost: it is rebuilt from the logs."""


class TreeAbsent(Corrupt):
    """Merkle nodes whose place in the file is empty: damage in a whole log, not yet come in one that comes in parts."""


class NotResident(HyperfsError):
    """The blocks are known and not on this machine. `ahead`: others that are most likely wanted next."""

    def __init__(self, blocks: Iterable[BlockRef], ahead: Iterable[BlockRef] = ()) -> None:
        self.blocks = tuple(blocks)
        self.ahead = tuple(ahead)
        shown = ", ".join(f"log {b.log} block {b.index}" for b in self.blocks[:4])
        super().__init__(f"not on this device: {shown}{' ...' if len(self.blocks) > 4 else ''}")


class Unreachable(HyperfsError):
    """The thing exists somewhere that can't be reached now (a daemon, a peer, a store)."""


class PlaceRefuses(Unreachable):
    """A place that is not this device says no: credentials, rights."""


class PlaceFull(Unreachable):
    """A place that is not this device takes no more."""


class NoSuchObject(HyperfsError):
    """A store has no object of that name: the answer is certain."""


class FormatTooNew(HyperfsError):
    """Written by a later hyperfs."""

    def __init__(self, what: str, found: int, known: int) -> None:
        self.found = found
        self.known = known
        super().__init__(
            f"{what} has format {found}; this hyperfs reads up to {known}: update hyperfs to open it "
            "(if no later one has written it, it is damaged)"
        )


class Misbehaved(HyperfsError):
    """What came over a connection breaks the protocol or its bounds: the connection ends, and nothing of it is kept."""


class NotAStore(HyperfsError):
    """The folder is no hyperfs store, or only half of one."""


class StoreLocked(HyperfsError):
    """Another process has the store open."""

    def __init__(self, path: str, pid: int | None) -> None:
        self.pid = pid
        by = f" by process {pid}" if pid else ""
        super().__init__(f"{path} is in use{by}: one process at a time may open a store")


class WrongPassphrase(HyperfsError):
    """The passphrase does not open the key file."""


class KeyMissing(HyperfsError):
    """A key that the operation needs is not on this machine."""


class BadRecoveryKey(HyperfsError):
    """The text is no recovery key, or that of another drive."""


class BadWhen(HyperfsError):
    """A WHEN that does not parse."""


class NoSuchVersion(HyperfsError):
    """A WHEN that parses and names no version of this drive or path."""


class NoSpace(HyperfsError):
    """The disk of the store, or the reserve that ordinary writes may not touch, is full."""


class OverQuota(NoSpace):
    """A drive has as much on a cloud peer as it may have."""


class ReadOnlyDrive(HyperfsError):
    """The drive takes no writes now; the message says why."""


class ReadOnlyVersion(HyperfsError):
    """An attempt to change the past."""


class Refused(HyperfsError):
    """A rule of the drive forbids it."""


class NotHeld(Refused):
    """A peer does not hold the drive or log, or not for this side: it says the same of both."""


class Contradiction(Refused):
    """Two signed histories of one log or chain that can't both be true: whose key, and where they part."""


class BadRequest(HyperfsError):
    """Wrong usage: arguments that make no sense together."""


class FileError(HyperfsError):
    """An ordinary answer of a filesystem: the subclasses are POSIX's, one for one."""


class NotFound(FileError):
    """No such name or inode."""


class Exists(FileError):
    """The name is taken."""


class NotADirectory(FileError):
    """A directory was needed."""


class IsADirectory(FileError):
    """A directory was not wanted."""


class NotEmpty(FileError):
    """The directory has entries."""


class NameTooLong(FileError):
    """Longer than 255 bytes."""


class InvalidArgument(FileError):
    """A value that the operation can't take."""


class NotPermitted(FileError):
    """The operation is not allowed on this object, for anybody."""


class TooManyLinks(FileError):
    """The link count is at its limit."""


class FileTooBig(FileError):
    """Beyond the largest offset."""


class NoAttribute(FileError):
    """No extended attribute of that name."""


class AttributeTooBig(FileError):
    """An extended attribute's value over its limit."""


class StaleHandle(FileError):
    """A handle or inode that is no more."""


class SyncFailed(OSError):
    """A failed fsync or fdatasync is final for its file: the kernel may have dropped the pages."""


@overload
def innermost(error: Exception) -> Exception: ...
@overload
def innermost(error: BaseException) -> BaseException: ...
def innermost(error: BaseException) -> BaseException:
    """The one error in a group of one, which is how nurseries pass them on."""
    while isinstance(error, BaseExceptionGroup):
        ours = [e for e in error.exceptions if isinstance(innermost(e), HyperfsError | OSError)]
        error = (ours or list(error.exceptions))[0]
    return error
