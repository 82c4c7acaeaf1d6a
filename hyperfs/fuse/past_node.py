"""What stands in the past, as the mount sees it."""

from typing import Final, NamedTuple

from pyfuse3 import EntryAttributes

FILES: Final = b".files"
DELETED: Final = b".deleted"


class PastNode(NamedTuple):
    """Something in the past.

    `directory` is the live inode whose `.versions` it belongs to. Without `version` it is a folder that is made up:
    that `.versions` itself, or with `entry` one in it (`.files`, `.files/NAME`, `.deleted`). With `target` it is a
    symlink from a relative name to an entry; else inode `ino` as it was in `version`: `entry` or something below it.
    """

    number: int
    directory: int
    entry: bytes = b""
    version: int = 0
    ino: int = 0
    target: bytes = b""

    @property
    def is_versions(self) -> bool:
        return not self.entry

    @property
    def is_made_up(self) -> bool:
        return not self.version

    @property
    def file(self) -> bytes | None:
        """The name of the file that the folder `.files/NAME` is of; None for any other node."""
        return self.entry[len(FILES) + 1 :] if self.is_made_up and self.entry.startswith(FILES + b"/") else None


class Listed(NamedTuple):
    """An entry of a listing."""

    name: bytes
    node: PastNode
    entry: EntryAttributes
