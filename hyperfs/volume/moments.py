"""When something changed at or below a path: versions and their times only, for a line of time."""

from collections.abc import Iterator
from itertools import takewhile
from typing import NamedTuple

from hyperfs.errors import NotFound
from hyperfs.values import ROOT_INO
from hyperfs.volume.file_states import Spot, states
from hyperfs.volume.history import versions_of
from hyperfs.volume.history_steps import Steps
from hyperfs.volume.meanings import Meaning, last_meaning
from hyperfs.volume.paths import find, parts_of
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
        found = _of_folder(volume, path, place)
    else:
        found = _of_file(volume, path)
    yield from takewhile(lambda moment: moment.version > after, found)


def _of_folder(volume: Volume, path: bytes, place: Meaning) -> Iterator[Moment]:
    for facts in Steps(volume, path).of_folder(place.ino, place.version):
        yield Moment(facts.version, facts.time_ns)


def _of_file(volume: Volume, path: bytes) -> Iterator[Moment]:
    """The first version of each state, and the one without it where it is gone; newest first. By rows, where its folder
    is there: a file of 100,000 versions is one whose versions nobody wants to compare one by one."""
    *folders, name = parts_of(path)
    directory = find(volume.overlay.live, b"/".join(folders))
    if directory is None:
        for version in versions_of(volume, path):
            yield Moment(version.version, version.time_ns)
        return
    for count, state in enumerate(states(volume, Spot(directory, name))):
        gone = volume.versions.kept_from(state.last + 1) if not count else None
        if gone is not None:
            yield Moment(gone.version, gone.time_ns)
        yield Moment(state.first.version, state.first.time_ns)
