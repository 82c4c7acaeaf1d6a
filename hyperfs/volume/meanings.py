"""What a path last meant, though it may mean nothing now: by the names that went, not by a search through versions."""

from collections.abc import Iterator
from typing import NamedTuple

from hyperfs.values import ROOT_INO
from hyperfs.volume.paths import parts_of
from hyperfs.volume.volume import Volume


class Meaning(NamedTuple):
    """A path meant inode `ino`, with its last name in `directory`, last in `version`. The root is its own directory."""

    version: int
    directory: int
    ino: int


def last_meaning(volume: Volume, path: bytes) -> Meaning | None:
    """Of the versions that have their rows; None where no kept version has the path."""
    start = Meaning(volume.versions.newest.version, ROOT_INO, ROOT_INO)
    return next(_meanings(volume, start, parts_of(path)), None)


def _meanings(volume: Volume, at: Meaning, parts: list[bytes]) -> Iterator[Meaning]:
    """All that the parts meant from there on, in this version and in those in which a name of them went."""
    if not parts:
        yield at
        return
    name, *rest = parts
    for version in _versions_with(volume, at, name):
        dentry = volume.versions.whole_tree(version).dentry(at.ino, name)
        if dentry is not None:
            yield from _meanings(volume, Meaning(version, at.ino, dentry[0]), rest)


def _versions_with(volume: Volume, at: Meaning, name: bytes) -> Iterator[int]:
    """Newest first, but for what is pinned, which comes first: it is what was deleted last."""
    yield at.version
    for pin in sorted(volume.versions.offers.pinned_from(at.ino), reverse=True):
        if pin.name == name and pin.version < at.version:
            yield pin.version
    for went in volume.changes.went(at.ino, name, at.version):
        before = volume.versions.kept_before(went.time_ns)
        if before:
            yield before
