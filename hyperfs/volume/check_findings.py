"""What verify found: damages by place, and which versions and paths they touch."""

import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from hyperfs.chunks.extents import Extent, Place
from hyperfs.trie.node import Load, Ref
from hyperfs.values import ROOT_INO
from hyperfs.volume import keys
from hyperfs.volume.entries import decode_dentry
from hyperfs.volume.rescue import readable_entries

MOST_PATHS: Final = 1000
MOST_STEPS: Final = 20_000
"""Folders that are gone through for the paths of one inode."""
"""Paths listed for one damage; a whole folder lost is listed as the folder."""
MOST_USES: Final = 64
MOST_TREES: Final = 64
"""Versions whose names are read to give damages their paths; each costs one walk over that version's tree."""
_INO_NIBBLES: Final = 16
_FOLDER: Final = stat.S_IFDIR >> 12

RootOf = Callable[[int], Ref | None]
"""The trie root of a version; None also for one whose commit can't be read."""


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


@dataclass
class LostChunk:
    """A chunk that some version needs and that can't be read. `uses`: (inode, offset in the file, skip in the chunk)
    of some extents that are cut from it."""

    log: int
    block: int
    length: int
    uses: list[tuple[int, int, int]] = field(default_factory=list)


@dataclass
class Losses:
    """What would have to be found again, for a repair. Grows with the damage."""

    chunks: dict[bytes, LostChunk] = field(default_factory=dict)
    nodes: dict[bytes, Ref] = field(default_factory=dict)
    blocks: set[tuple[int, int]] = field(default_factory=set)
    policies: dict[bytes, bytes | None] = field(default_factory=dict)
    """Facts of the newest version that must be otherwise, by key; None for those that there must not be."""

    def chunk(self, extent: Extent, ino: int) -> None:
        lost = self.chunks.setdefault(extent.chunk, LostChunk(extent.log, extent.block, extent.chunk_length))
        if len(lost.uses) < MOST_USES:
            lost.uses.append((ino, extent.offset, extent.skip))

    def base(self, chunk: bytes, place: Place, needed: Extent, ino: int) -> None:
        """A chunk that only a delta needs. An older state of the same file had it, about there; how long it is isn't
        known."""
        lost = self.chunks.setdefault(chunk, LostChunk(place.log, place.block, needed.chunk_length))
        if len(lost.uses) < MOST_USES:
            lost.uses.append((ino, needed.offset, needed.skip))


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
    lost: set[Range] = field(default_factory=set)
    versions: list[int] = field(default_factory=list)


class Findings:
    """All that was found so far, one entry a place. The first word on a place counts: later ones follow from it."""

    def __init__(self) -> None:
        self._found: dict[str, Finding] = {}

    def add(self, what: str, where: str) -> Finding:
        return self._found.setdefault(where, Finding(what, where))

    def at(self, where: str) -> Finding | None:
        return self._found.get(where)

    def report(self, load: Load, root_of: RootOf) -> list[Damage]:
        """The damages in the order of their finding."""
        return [
            Damage(finding.what, finding.where, tuple(paths), tuple(sorted(set(finding.versions))))
            for finding, paths in self._with_paths(load, root_of)
        ]

    def touch(self, version: int) -> bool:
        """Whether anything was found that a version can't be read whole for."""
        return any(version in finding.versions for finding in self._found.values())

    def _with_paths(self, load: Load, root_of: RootOf) -> list[tuple[Finding, list[bytes]]]:
        by_version: dict[int, list[Finding]] = {}
        for finding in self._found.values():
            if finding.versions and (finding.inos or finding.lost):
                by_version.setdefault(max(finding.versions), []).append(finding)
        paths: dict[int, list[bytes]] = {}
        for version in sorted(by_version, reverse=True)[:MOST_TREES]:
            names = Names(load, root_of(version), by_version[version])
            paths.update((id(finding), names.paths(finding)) for finding in by_version[version])
        return [(finding, paths.get(id(finding), [])) for finding in self._found.values()]


class Names:
    """The readable names of one version that some findings are about, and those of all folders.

    Memory grows with the number of folders and of what was found, not with the number of files.
    """

    def __init__(self, load: Load, root: Ref | None, findings: Iterable[Finding]) -> None:
        self._of: dict[int, list[tuple[int, bytes]]] = {}
        wanted = {ino for finding in findings for ino in finding.inos}
        room = {lost: MOST_PATHS for finding in findings for lost in finding.lost}
        for key, value, _ in readable_entries(load, root):
            if len(key) <= keys.PREFIX_BYTES or key[keys.PREFIX_BYTES - 1] != keys.DENTRY:
                continue
            parent = int.from_bytes(key[:8], "big")
            ino, kind = decode_dentry(value, f"inode {parent}")
            if ino in wanted or kind == _FOLDER or _takes(room, ino):
                self._of.setdefault(ino, []).append((parent, key[keys.PREFIX_BYTES :]))

    def paths(self, finding: Finding) -> list[bytes]:
        """At most MOST_PATHS, sorted."""
        inos = set(finding.inos)
        for first, last in finding.lost:
            inos |= {ino for ino in (1, *self._of) if first <= ino <= last}
        found = sorted({path for ino in inos for path in self._paths(ino)})
        return found[:MOST_PATHS]

    def _paths(self, ino: int) -> Iterator[bytes]:
        """All names of an inode as paths; none when a folder above it can't be read.

        A folder may lie in itself, where somebody has written that: then something on the way has a second name, and
        no path goes through that twice.
        """
        waiting: list[tuple[int, bytes, frozenset[int]]] = [(ino, b"", frozenset())]
        for _ in range(MOST_STEPS):
            if not waiting:
                return
            at, path, met = waiting.pop()
            names = self._of.get(at, ())
            if at == ROOT_INO:
                yield path
            elif at not in met:
                met = met | {at} if len(names) > 1 else met
                waiting += [(parent, name + b"/" + path if path else name, met) for parent, name in names]


def _takes(room: dict[Range, int], ino: int) -> bool:
    """Whether the inode may be one of those that a lost part was about, as far as so many are listed."""
    for lost, left in room.items():
        if left and lost.first <= ino <= lost.last:
            room[lost] = left - 1
            return True
    return False
