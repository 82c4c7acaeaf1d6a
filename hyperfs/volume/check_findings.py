"""What verify found: damages by place, and which versions and paths they touch."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from hyperfs.trie.node import Load, Ref
from hyperfs.volume import keys
from hyperfs.volume.entries import decode_dentry
from hyperfs.volume.rescue import readable_entries

MOST_PATHS: Final = 1000
"""Paths listed for one damage; a whole folder lost is listed as the folder."""
MOST_TREES: Final = 64
"""Versions whose names are read to give damages their paths; each costs one walk over that version's tree."""
_INO_NIBBLES: Final = 16


@dataclass(frozen=True)
class Damage:
    """Something that is not what was written.

    `where` is a place in the store: "log 2 block 17", "file control". `versions`: those that can't be read
    whole because of it, ascending. `paths`: files and folders that it touches, as they are called in the
    newest of those versions, b"" for the root; at most MOST_PATHS. Both are empty where no reader will notice.
    """

    what: str
    where: str
    paths: tuple[bytes, ...] = ()
    versions: tuple[int, ...] = ()


class Range(NamedTuple):
    """The inode numbers that a lost part of a trie may have been about: `first` <= ino <= `last`."""

    first: int
    last: int


EVERYTHING: Final = Range(0, (1 << 64) - 1)


def inode_range(prefix: bytes, nibbles: int) -> Range:
    """Whose keys begin with the first `nibbles` half bytes of `prefix`."""
    known = min(nibbles, _INO_NIBBLES)
    digits = prefix.hex()[:known]
    return Range(int(digits.ljust(_INO_NIBBLES, "0"), 16), int(digits.ljust(_INO_NIBBLES, "f"), 16))


@dataclass
class Finding:
    """A damage in the making."""

    what: str
    where: str
    inos: set[int] = field(default_factory=set)
    lost: Range | None = None
    versions: list[int] = field(default_factory=list)


class Findings:
    """All that was found so far, one entry a place. The first word on a place counts: later ones follow from it."""

    def __init__(self) -> None:
        self._found: dict[str, Finding] = {}

    def add(self, what: str, where: str) -> Finding:
        return self._found.setdefault(where, Finding(what, where))

    def at(self, where: str) -> Finding | None:
        return self._found.get(where)

    def report(self, load: Load, roots: dict[int, Ref | None]) -> list[Damage]:
        """The damages in the order of their finding. `roots`: the trie root of each version that has one."""
        names: dict[int, Names] = {}
        damages = []
        for finding in self._found.values():
            paths: tuple[bytes, ...] = ()
            if finding.versions and (finding.inos or finding.lost):
                newest = max(finding.versions)
                if newest not in names and newest in roots and len(names) < MOST_TREES:
                    names[newest] = Names(load, roots[newest])
                if newest in names:
                    paths = tuple(names[newest].paths(finding))
            damages.append(Damage(finding.what, finding.where, paths, tuple(sorted(finding.versions))))
        return damages


class Names:
    """Every readable name of one version, by inode."""

    def __init__(self, load: Load, root: Ref | None) -> None:
        self._of: dict[int, list[tuple[int, bytes]]] = {}
        for key, value, _ in readable_entries(load, root):
            if len(key) > keys.PREFIX_BYTES and key[keys.PREFIX_BYTES - 1] == keys.DENTRY:
                parent = int.from_bytes(key[:8], "big")
                ino, _ = decode_dentry(value, f"inode {parent}")
                self._of.setdefault(ino, []).append((parent, key[keys.PREFIX_BYTES :]))

    def paths(self, finding: Finding) -> list[bytes]:
        inos = set(finding.inos)
        if finding.lost is not None:
            first, last = finding.lost
            inos |= {ino for ino in (1, *self._of) if first <= ino <= last}
        found = sorted({path for ino in inos for path in self._paths(ino, 0)})
        return found[:MOST_PATHS]

    def _paths(self, ino: int, depth: int) -> Iterator[bytes]:
        """All names of an inode as paths; none when a folder above it can't be read."""
        if ino == 1:
            yield b""
        elif depth < 10_000:
            for parent, name in self._of.get(ino, ()):
                for above in self._paths(parent, depth + 1):
                    yield above + b"/" + name if above else name
