"""Which versions were let go, by the marks in the newest root: facts under inode 0. Pure values.

Format: docs/formats/place-and-gone.md.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Final, NamedTuple

from hyperfs.errors import Corrupt
from hyperfs.trie.node import Load, Ref
from hyperfs.trie.walk import walk
from hyperfs.volume import keys
from hyperfs.volume.entries import Gone, decode_gone, encode_gone

BY_RULE: Final = 1
BY_FOLDER: Final = 2
FOR_SPACE: Final = 3
BY_HAND: Final = 4
AFTER_DELETION: Final = 5
"""The rules of marks: the drive's retention, a folder's `keep`, want of space, `prune --keep-last`, the end of a
deleted file's time."""
PREFIX: Final = keys.prefix(keys.NO_INO, keys.GONE) + bytes([keys.GONE_VERSIONS])
_KEY_BYTES: Final = len(keys.gone_versions_key(0, 0))


class GoneRange(NamedTuple):
    """Versions `first` to `gone.last` of a device."""

    device: int
    first: int
    gone: Gone


class GoneVersions:
    """The marks of one root. Ranges of one device never overlap."""

    def __init__(self, facts: Mapping[bytes, bytes]) -> None:
        """`facts`: the keys below PREFIX and their values. Raises Corrupt."""
        self.ranges: Final = tuple(_decode(key, value) for key, value in sorted(facts.items()))
        self._by_first: Final = sorted(self.ranges, key=lambda found: found.first)

    def of(self, version: int) -> Gone | None:
        """The mark under which a version is; None for one that is kept. Versions of all devices count as one row."""
        for found in self._by_first:
            if found.first <= version <= found.gone.last:
                return found.gone
        return None

    def has(self, version: int) -> bool:
        return self.of(version) is not None

    def count(self) -> int:
        """How many versions are under a mark."""
        return sum(found.gone.last - found.first + 1 for found in self.ranges)

    def has_all_through(self, version: int) -> bool:
        """Whether no version from 1 to this one is kept."""
        reach = 0
        for found in self._by_first:
            if found.first > reach + 1:
                break
            reach = max(reach, found.gone.last)
        return reach >= version

    def with_more(
        self, versions: Iterable[tuple[int, int]], when_ns: int, by: int, rule: int
    ) -> dict[bytes, bytes | None]:
        """The facts to set (None: to remove) so that these (device, version) are gone as well.

        Ranges that touch and have the same `by` and `rule` are joined, and `when` is the later.
        """
        new = [GoneRange(device, first, Gone(last, when_ns, by, rule)) for device, first, last in _rows(versions)]
        changes: dict[bytes, bytes | None] = {_key(found): None for found in self.ranges}
        for found in _joined([*self.ranges, *new]):
            changes[_key(found)] = encode_gone(found.gone)
        unchanged = {_key(found): encode_gone(found.gone) for found in self.ranges}
        return {key: value for key, value in changes.items() if unchanged.get(key) != value}


def marked_in(load: Load, root: Ref | None) -> GoneVersions:
    """The marks of a stored root; only those of the newest count. Raises Corrupt, NotResident."""
    return GoneVersions({key: value for key, value, _ in walk(load, root, PREFIX)})


def _key(found: GoneRange) -> bytes:
    return keys.gone_versions_key(found.device, found.first)


def _decode(key: bytes, value: bytes) -> GoneRange:
    gone = decode_gone(value, "mark of versions that are gone")
    if len(key) != _KEY_BYTES:
        raise Corrupt("a mark of versions that are gone has an impossible key", key.hex())
    device, first = int.from_bytes(key[-10:-8], "big"), int.from_bytes(key[-8:], "big")
    if gone.last < first:
        raise Corrupt("a mark of versions that are gone ends before it begins", f"{first} to {gone.last}")
    return GoneRange(device, first, gone)


def _rows(versions: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """(device, first, last) of versions that follow one another: there may be a hundred thousand of them."""
    for (device, _), found in groupby(enumerate(versions), lambda at: (at[1][0], at[1][1] - at[0])):
        run = [version for _, (_, version) in found]
        yield device, run[0], run[-1]


def _joined(ranges: Iterable[GoneRange]) -> Iterator[GoneRange]:
    before: GoneRange | None = None
    for found in sorted(ranges, key=lambda found: (found.device, found.first)):
        if before is not None and _joins(before, found):
            when = max(before.gone.when_ns, found.gone.when_ns)
            before = before._replace(gone=found.gone._replace(when_ns=when))
            continue
        if before is not None:
            yield before
        before = found
    if before is not None:
        yield before


def _joins(before: GoneRange, after: GoneRange) -> bool:
    same = (before.device, before.gone.by, before.gone.rule) == (after.device, after.gone.by, after.gone.rule)
    return same and before.gone.last + 1 == after.first
