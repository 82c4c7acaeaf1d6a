"""The one table from what went wrong to what a program sees."""

import errno
from typing import Final

from hyperfs import errors

_TABLE: Final[dict[type[errors.HyperfsError], int]] = {
    errors.NotFound: errno.ENOENT,
    errors.NoSuchVersion: errno.ENOENT,
    errors.BadWhen: errno.ENOENT,
    errors.Exists: errno.EEXIST,
    errors.NotADirectory: errno.ENOTDIR,
    errors.IsADirectory: errno.EISDIR,
    errors.NotEmpty: errno.ENOTEMPTY,
    errors.NameTooLong: errno.ENAMETOOLONG,
    errors.InvalidArgument: errno.EINVAL,
    errors.NotPermitted: errno.EPERM,
    errors.Refused: errno.EPERM,
    errors.TooManyLinks: errno.EMLINK,
    errors.FileTooBig: errno.EFBIG,
    errors.NoAttribute: errno.ENODATA,
    errors.AttributeTooBig: errno.E2BIG,
    errors.StaleHandle: errno.ESTALE,
    errors.ReadOnlyDrive: errno.EROFS,
    errors.ReadOnlyVersion: errno.EROFS,
    errors.NoSpace: errno.ENOSPC,
    errors.Corrupt: errno.EIO,
    errors.FormatTooNew: errno.EIO,
    errors.NotResident: errno.EIO,
    errors.Unreachable: errno.EIO,
    errors.KeyMissing: errno.EIO,
}

FAULTS: Final = (errors.Corrupt, errors.FormatTooNew, errors.NotResident, errors.Unreachable, errors.KeyMissing)
"""What nobody who asked for it did wrong: these get a line in the log."""


def errno_of(error: Exception) -> int:
    """The errno of a domain error or of the system's own; EIO for what no table knows."""
    if isinstance(error, OSError):
        return error.errno or errno.EIO
    for kind in type(error).__mro__:
        number = _TABLE.get(kind)
        if number is not None:
            return number
    return errno.EIO
