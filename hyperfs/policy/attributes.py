"""The extended attributes that are policies: their names, and what each of them may say. Pure.

A further one is a further row of VALUES; what follows from a value is decided where it is used.
"""

from collections.abc import Callable, Mapping
from typing import Final

from hyperfs.errors import InvalidArgument
from hyperfs.policy.retention import parse_keep
from hyperfs.policy.storage import parse_class, parse_copies, parse_places, parse_protect

PREFIX: Final = b"user.hyperfs."
CLASS: Final = PREFIX + b"class"
PROTECT: Final = PREFIX + b"protect"
COPIES: Final = PREFIX + b"copies"
PLACES: Final = PREFIX + b"places"
KEEP: Final = PREFIX + b"keep"

VALUES: Final[Mapping[bytes, Callable[[str], object]]] = {
    CLASS: parse_class,
    PROTECT: parse_protect,
    COPIES: parse_copies,
    PLACES: parse_places,
    KEEP: parse_keep,
}
"""By name, what reads a value; it raises InvalidArgument for a wrong one."""
DEFAULTS: Final[Mapping[bytes, bytes]] = {CLASS: b"auto", PROTECT: b"trash", COPIES: b"2"}
"""What holds where nothing was set. Without places, bytes may go to any; of copies one is enough where there is one."""
FILED: Final = frozenset({CLASS, PROTECT, COPIES, PLACES})
"""Those of which a fact says which inodes have them."""
OWNERS: Final[Mapping[bytes, bytes]] = {CLASS: b"archive", PROTECT: b"lock"}
"""Values that only an owner may set, take away or overrule."""

POLICY: Final = PREFIX + b"policy"
VERSION: Final = PREFIX + b"version"
RESIDENT: Final = PREFIX + b"resident"
COPIES_NOW: Final = PREFIX + b"copies_now"
LINK: Final = PREFIX + b"link"
COMPUTED: Final = frozenset({POLICY, VERSION, RESIDENT, COPIES_NOW, LINK})
"""Those that can be read, and are neither set nor listed."""


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
