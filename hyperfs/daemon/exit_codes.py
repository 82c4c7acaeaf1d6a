"""The one table from what went wrong to a command's exit code. What each code means stands in docs/cli.md."""

import errno
from typing import Final

from hyperfs import errors

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
CORRUPT: Final = 3
UNREACHABLE: Final = 4
REFUSED: Final = 5

TABLE: Final[dict[type[errors.HyperfsError], int]] = {
    errors.HyperfsError: FAILED,
    errors.BadRequest: USAGE,
    errors.BadWhen: USAGE,
    errors.InvalidArgument: USAGE,
    errors.NameTooLong: USAGE,
    errors.Corrupt: CORRUPT,
    errors.NotResident: UNREACHABLE,
    errors.Unreachable: UNREACHABLE,
    errors.PlaceFull: FAILED,
    errors.PlaceRefuses: REFUSED,
    errors.FormatTooNew: REFUSED,
    errors.StoreLocked: REFUSED,
    errors.WrongPassphrase: REFUSED,
    errors.KeyMissing: REFUSED,
    errors.BadRecoveryKey: REFUSED,
    errors.ReadOnlyDrive: REFUSED,
    errors.ReadOnlyVersion: REFUSED,
    errors.NotPermitted: REFUSED,
    errors.Refused: REFUSED,
}

_NOT_ALLOWED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class Reported(errors.HyperfsError):
    """What another process of ours met, with the code that it gave it."""

    def __init__(self, kind: str, message: str, exit_code: int) -> None:
        self.kind = kind
        self.exit_code = exit_code
        super().__init__(message)


def exit_code_of(error: BaseException) -> int:
    """The code for a domain error or one of the system; FAILED for what no table knows."""
    if isinstance(error, Reported):
        return error.exit_code
    if isinstance(error, OSError):
        return REFUSED if error.errno in _NOT_ALLOWED else FAILED
    for kind in type(error).__mro__:
        if kind in TABLE:
            return TABLE[kind]
    return FAILED


def words_of(error: BaseException) -> str:
    """The error as a sentence for people."""
    if isinstance(error, OSError) and error.strerror:
        about = f"{error.filename}: " if error.filename else ""
        advice = _ADVICE.get(error.errno or 0)
        return f"{about}{error.strerror}{f'. {advice}' if advice else ''}"
    if isinstance(error, errors.HyperfsError):
        return str(error)
    return f"{type(error).__name__}: {error}"


_ADVICE: Final = {
    errno.ENOSPC: "The disk is full: nothing that was there is lost; make room and try again",
    errno.EROFS: "The disk is mounted read-only: 'hyperfs mount --read-only' works on it",
    errno.EACCES: "This user may not: look at the owner and mode with ls -ld",
    errno.EIO: "The disk could not be read or written: look at its health, and at 'hyperfs verify'",
    errno.ENOTCONN: "Its process has died: 'hyperfs mount' detaches it and mounts again",
}
