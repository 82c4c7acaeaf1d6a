"""What a peer's owner has said of a drive: the record `drive`. Text, one line each, so that people can read it.

"hyperfs held drive" LF "format 1" LF "quota " (bytes | "none") LF
"""

import re
from typing import Final, NamedTuple

from hyperfs.errors import Corrupt, FormatTooNew

SETTINGS_FORMAT: Final = 1
_FORMAT: Final = re.compile(rb"hyperfs held drive\nformat ([1-9][0-9]{0,8})\n")
_WHOLE: Final = re.compile(rb"hyperfs held drive\nformat [1-9][0-9]*\nquota (none|0|[1-9][0-9]{0,18})\n")


class Settings(NamedTuple):
    quota_bytes: int | None = None
    """None: as much as there is room for."""

    def encode(self) -> bytes:
        quota = b"none" if self.quota_bytes is None else b"%d" % self.quota_bytes
        return b"hyperfs held drive\nformat %d\nquota %s\n" % (SETTINGS_FORMAT, quota)


def decode(data: bytes) -> Settings:
    """Corrupt for what encode could not have made, FormatTooNew by the number alone."""
    found = _FORMAT.match(data)
    if found is not None and int(found[1]) > SETTINGS_FORMAT:
        raise FormatTooNew("a held drive's settings", int(found[1]), SETTINGS_FORMAT)
    whole = _WHOLE.fullmatch(data)
    if whole is None or found is None or int(found[1]) != SETTINGS_FORMAT:
        raise Corrupt("a held drive's settings are damaged", "record drive")
    return Settings(None if whole[1] == b"none" else int(whole[1]))
