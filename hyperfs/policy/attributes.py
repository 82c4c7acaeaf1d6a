"""The extended attributes that are policies: their names, and what each of them may say. Pure.

A further one is a further row of VALUES; what follows from a value is decided where it is used.
"""

from collections.abc import Callable, Mapping
from typing import Final

from hyperfs.errors import InvalidArgument
from hyperfs.policy.retention import parse_keep

PREFIX: Final = b"user.hyperfs."
KEEP: Final = PREFIX + b"keep"

VALUES: Final[Mapping[bytes, Callable[[str], object]]] = {KEEP: parse_keep}
"""By name, what reads a value; it raises InvalidArgument for a wrong one."""


def is_ours(name: bytes) -> bool:
    """Whether the name belongs to us, of an attribute that can be set or not."""
    return name.startswith(PREFIX)


def check(name: bytes, value: bytes) -> None:
    """Raises InvalidArgument when the attribute is a policy that has no such value. Any other takes any value."""
    read = VALUES.get(name)
    if read is None:
        return
    try:
        text = value.decode("ascii")
    except UnicodeDecodeError:
        raise InvalidArgument(f"{name.decode()} is plain text") from None
    read(text)
