"""A full disk is an error with a name, NoSpace, whatever was written. Other errors of the disk stay what they are."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from hyperfs.errors import NoSpace

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def told_when_full() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise NoSpace(f"this peer's disk is full ({error.strerror}); what it has acknowledged is safe") from error
