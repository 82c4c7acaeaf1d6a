"""When something changed at or below a path: versions and their times only, for a line of time."""

from collections.abc import Iterator
from typing import NamedTuple

from hyperfs.errors import NotFound
from hyperfs.values import ROOT_INO
from hyperfs.volume.history import versions_of
from hyperfs.volume.history_steps import Steps
from hyperfs.volume.meanings import last_meaning
from hyperfs.volume.volume import Volume


class Moment(NamedTuple):
    """A kept version and its time, ns since 1970."""

    version: int
    time_ns: int


def moments_of(volume: Volume, path: bytes, after: int = 0) -> Iterator[Moment]:
    """The versions behind `after` in which something at or below a path may have changed, in no order; of the root all
    of them. Of a folder by its rows alone: some may have changed nothing that is kept. Raises NotFound."""
    place = last_meaning(volume, path)
    if place is None:
        raise NotFound(f"no version has {path.decode(errors='replace')!r}")
    if place.ino == ROOT_INO:
        for facts in volume.versions.all(after + 1):
            yield Moment(facts.version, facts.time_ns)
        return
    inode = volume.versions.tree(place.version).inode(place.ino)
    if inode is not None and inode.is_directory:
        gone = volume.versions.kept_from(place.version + 1)
        if gone is not None and gone.version > after:
            yield Moment(gone.version, gone.time_ns)
        found = ((facts.version, facts.time_ns) for facts in Steps(volume, path).of_folder(place.ino, place.version))
    else:
        found = ((version.version, version.time_ns) for version in versions_of(volume, path))
    for version, time_ns in found:
        if version <= after:
            return
        yield Moment(version, time_ns)
