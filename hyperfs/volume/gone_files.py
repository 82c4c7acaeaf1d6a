"""The newest root's marks of files and folders that are absent from versions which are kept: form 2 of `gone`.

Pure once read. Format: docs/formats/place-and-gone.md.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from hyperfs.errors import Corrupt
from hyperfs.volume import keys
from hyperfs.volume.entries import Gone, decode_gone, encode_gone

PREFIX: Final = keys.prefix(keys.NO_INO, keys.GONE) + bytes([keys.GONE_FILE])
_NO_END: Final = (1 << 64) - 1

Span = tuple[int, Gone]
"""The first of the versions, and the mark, which says the last one."""


class GoneFiles:
    """Ranges of versions, ascending and apart, by inode and device."""

    def __init__(self, facts: Mapping[bytes, bytes]) -> None:
        """`facts`: the keys below PREFIX and their values. Raises Corrupt."""
        self._spans: dict[tuple[int, int], list[Span]] = {}
        for key, value in sorted(facts.items()):
            ino, device, first = keys.decode_gone_file_key(key)
            gone = decode_gone(value, "mark of a file that is gone")
            if gone.last < first:
                raise Corrupt("a mark of a file that is gone ends before it begins", f"{first} to {gone.last}")
            self._spans.setdefault((ino, device), []).append((first, gone))

    def __bool__(self) -> bool:
        return bool(self._spans)

    def inos(self) -> set[int]:
        """What has any mark."""
        return {ino for ino, _ in self._spans}

    def has(self, ino: int, device: int, version: int) -> bool:
        """Whether the file or folder is absent from that version by a rule."""
        spans = self._spans.get((ino, device), [])
        position = bisect_right(spans, version, key=lambda span: span[0]) - 1
        return position >= 0 and version <= spans[position][1].last

    def set_to(self, wanted: Mapping[tuple[int, int], Iterable[Span]]) -> dict[bytes, bytes | None]:
        """The facts to set (None: to remove) so that there are these marks and no others.

        Of versions that are marked already, `when` stays as it was.
        """
        new = {
            keys.gone_file_key(*place, first): encode_gone(gone)
            for place, spans in wanted.items()
            for first, gone in self._kept_times(place, spans)
        }
        old = {
            keys.gone_file_key(*place, first): encode_gone(gone)
            for place, spans in self._spans.items()
            for first, gone in spans
        }
        changes: dict[bytes, bytes | None] = dict.fromkeys(old.keys() - new.keys())
        return changes | {key: value for key, value in new.items() if old.get(key) != value}

    def _kept_times(self, place: tuple[int, int], spans: Iterable[Span]) -> Iterator[Span]:
        known = dict(self._spans.get(place, []))
        for first, gone in spans:
            before = known.get(first)
            if before is not None and before.last == gone.last:
                gone = gone._replace(when_ns=before.when_ns)
            yield first, gone
