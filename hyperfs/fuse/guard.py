"""What stands around every handler. An exception that is no FUSEError and leaves a handler kills the mount."""

import functools
import logging
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from pyfuse3 import FUSEError

from hyperfs.errors import HyperfsError, NotResident
from hyperfs.fuse.errnos import FAULTS, errno_of

P = ParamSpec("P")
R = TypeVar("R")

log = logging.getLogger("hyperfs.fuse")


def guarded(handler: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
    """Turns errors of ours and of the system into their errno; any other exception into EIO and a log line. What the
    handler lacks on this device is brought, and it runs again."""

    @functools.wraps(handler)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            try:
                return await handler(*args, **kwargs)
            except NotResident as absent:
                operations: Any = args[0]
                handle: Any = args[1] if handler.__name__ == "read" else None
                repeat = functools.partial(handler, *args, **kwargs)
                return await operations.state.absences.again(repeat, handle, absent)  # type: ignore[no-any-return]
        except FUSEError:
            raise
        except (HyperfsError, OSError) as error:
            if isinstance(error, (*FAULTS, OSError)):
                log.error("%s: %s", handler.__name__, error)
            raise FUSEError(errno_of(error)) from None
        except Exception:
            # Numbers only: a name of the user's has no place in a file that nobody seals.
            numbers = [argument for argument in args if isinstance(argument, int)]
            log.exception("%s%r failed; the program sees EIO", handler.__name__, numbers)
            raise FUSEError(errno_of(HyperfsError())) from None

    return wrapper
