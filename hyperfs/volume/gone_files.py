"""The newest root's marks of files that are absent from versions which are kept. Pure once read."""

from bisect import bisect_right
from typing import Final

from hyperfs.trie.node import Load, Ref
from hyperfs.trie.walk import walk
from hyperfs.volume import keys
from hyperfs.volume.entries import decode_gone

PREFIX: Final = keys.prefix(keys.NO_INO, keys.GONE) + bytes([keys.GONE_FILE])
_NO_END: Final = (1 << 64) - 1


class GoneFiles:
    """Ranges of versions, ascending and apart, by inode and device."""

    def __init__(self, load: Load, root: Ref | None) -> None:
        """Raises Corrupt, NotResident. Without a root there are no marks."""
        self._ranges: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for key, value, _ in walk(load, root, PREFIX):
            ino, device, first = keys.decode_gone_file_key(key)
            self._ranges.setdefault((ino, device), []).append((first, decode_gone(value).last))

    def has(self, ino: int, device: int, version: int) -> bool:
        """Whether the file or folder is absent from that version by a rule."""
        ranges = self._ranges.get((ino, device), [])
        position = bisect_right(ranges, (version, _NO_END)) - 1
        return position >= 0 and version <= ranges[position][1]
