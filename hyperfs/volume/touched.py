"""Which files versions changed or removed, read off their trees. For a worker thread; one piece of work at a time."""

from collections.abc import Callable, Iterator
from typing import Final

from hyperfs.errors import NoSuchVersion
from hyperfs.policy.brake import Sample, Stretch, Touched
from hyperfs.trie.node import Ref
from hyperfs.volume.catalog import VersionFacts
from hyperfs.volume.commit_record import Commit
from hyperfs.volume.parts import Parts
from hyperfs.volume.rescue import UNREADABLE
from hyperfs.volume.tree import Tree
from hyperfs.volume.tree_changes import CONTENT, Event, InodeChanged, NameWent, tree_changes
from hyperfs.volume.versions import read_commit

FILE: Final = 8  # as d_type

Pace = Callable[[], None]
"""Called often: rests, and raises where the work is to end."""


class Trees:
    """The trees of versions, as they are asked for: `Versions` belongs to the trio thread."""

    def __init__(self, parts: Parts, newest: Commit) -> None:
        self._parts = parts
        self._known: dict[int, Tree] = {}
        self.newest = self._at(newest.root)

    def of(self, version: int) -> Tree:
        """Raises NoSuchVersion where it was let go, and UNREADABLE."""
        found = self._known.get(version)
        if found is None:
            facts = self._parts.catalog.version(version)
            if facts is None:
                raise NoSuchVersion(f"version {version} is not kept")
            commit = read_commit(self._parts.nodes, facts.log, facts.index)
            found = self._known[version] = self._at(commit.root)
        return found

    def between(self, first: int, last: int) -> list[VersionFacts]:
        """The kept ones of these."""
        found = []
        for facts in self._parts.catalog.versions(first):
            if facts.version > last:
                break
            found.append(facts)
        return found

    def before(self, facts: VersionFacts) -> int:
        """The kept version right before one; 0 before the first."""
        return self._parts.catalog.at_time(facts.time_ns - 1) or 0  # no two versions have one time

    def _at(self, root: Ref | None) -> Tree:
        return Tree(self._parts.nodes.load, root, self._parts.chunkstore.read_chunk)


def look_at(trees: Trees, stretch: Stretch, sample: Sample, pace: Pace) -> Iterator[Stretch]:
    """Puts into `sample` the files that these versions changed or removed; how many they are, by version."""
    for facts in trees.between(stretch.first, stretch.last):
        files = 0
        try:
            for found in _touched(trees, facts, pace):
                files += 1
                sample.add(found)
        except (NoSuchVersion, *UNREADABLE):
            pass  # damaged, or let go a moment ago: what can't be read is not known to be lost
        yield Stretch(facts.version, facts.version, facts.time_ns, files, known=True)


def _touched(trees: Trees, facts: VersionFacts, pace: Pace) -> Iterator[Touched]:
    before = trees.before(facts)
    if not before:
        return
    new = trees.of(facts.version)
    for event in tree_changes(trees.of(before), new):
        pace()
        found = _file_of(event, new)
        if found is not None:
            yield Touched(*found, before, facts.time_ns, facts.time_ns)


def _file_of(event: Event | None, new: Tree) -> tuple[int, int, bytes] | None:
    """(ino, directory, name) of a file that an event changed or removed; None for any other. A file that was renamed
    is still there."""
    if isinstance(event, InodeChanged):
        is_other = event.flags & CONTENT and event.before.is_file and event.before.size
        return (event.before.ino, event.before.parent, b"") if is_other else None
    if isinstance(event, NameWent) and event.kind == FILE and new.inode(event.ino) is None:
        return event.ino, event.directory, event.name
    return None
