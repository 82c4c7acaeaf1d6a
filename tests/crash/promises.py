"""What a drive has promised at a moment, and whether an opened drive keeps it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hyperfs.volume.volume import Volume
from tests.volume.model import Allowed, View, view_of_tree, why_not

Snapshots = dict[tuple[int, bytes], int]
"""The version of each (directory, name)."""


@dataclass(eq=False)
class Version:
    """A version as it was: `root` is the hash of its tree, once it was made. One of the two says enough."""

    view: View | None
    root: bytes | None = None


@dataclass(frozen=True)
class Promise:
    """One state that may be found: the live tree, every version, the snapshots."""

    live: Allowed
    versions: dict[int, Version]
    snapshots: Snapshots

    def breaks(self, found: "Found") -> str:
        """What is not as promised; empty when all is."""
        if found.roots.keys() != self.versions.keys():
            return f"versions {sorted(found.roots)} in the place of {sorted(self.versions)}"
        for number, version in self.versions.items():
            if version.root is not None and version.root != found.roots[number]:
                return f"version {number} has another tree"
            if version.view is not None and (number in found.views or version.root is None):
                view = found.views.get(number) or found.view(number)
                if wrong := why_not(Allowed(version.view, {}), view):
                    return f"version {number} has changed: {wrong}"
        if found.snapshots != self.snapshots:
            return f"snapshots {found.snapshots} in the place of {self.snapshots}"
        return why_not(self.live, found.live) or never_had(self.live.loose, found.live)


@dataclass
class Crowd:
    """What several writers at once may rely on, each with a file of its own and nobody else's word on the rest.

    `files`: each file's contents since the last that its fsync promised. `roots`: of the versions known of.
    """

    files: dict[bytes, list[bytes]] = field(default_factory=dict)
    roots: dict[int, bytes] = field(default_factory=dict)

    def breaks(self, found: "Found") -> str:
        """What is not as promised; empty when all is."""
        if changed := [number for number, root in self.roots.items() if found.roots.get(number) != root]:
            return f"versions {changed} have changed"
        if wrong := [name for name, states in self.files.items() if states[0] and name not in found.live]:
            return f"files {wrong} were synced and are not there"
        return never_had({name: states for name, states in self.files.items() if name in found.live}, found.live)


AnyPromise = Promise | Crowd


@dataclass
class Wrote:
    """A file of a crowd is about to get this content."""

    name: bytes
    data: bytes


@dataclass
class Kept:
    """An fsync has promised the contents of a crowd's file from the one with this number on."""

    name: bytes
    data: bytes


@dataclass
class Knows:
    """The crowd knows of a version."""

    number: int
    root: bytes


@dataclass
class Is:
    """From here on this was promised, and nothing else may be found."""

    promise: AnyPromise


@dataclass
class May:
    """From here on these may be found as well, until the next `Is`. Filled in when the workload knows."""

    promises: list[Promise] = field(default_factory=list)


def note(says: object, found: list[AnyPromise]) -> None:
    """Goes on from what may be found by one mark."""
    match says:
        case Is(promise):
            found[:] = [promise]
        case May(promises):
            found += promises
        case Wrote(name, data):
            crowd_of(found).files.setdefault(name, [b""]).append(data)
        case Kept(name, data):
            states = crowd_of(found).files[name]
            del states[: states.index(data)]
        case Knows(number, root):
            crowd_of(found).roots[number] = root


def crowd_of(found: list[AnyPromise]) -> Crowd:
    (crowd,) = found
    assert isinstance(crowd, Crowd)
    return crowd


class Found:
    """All that an open drive shows. Of versions the hashes of their trees, which say all; `thorough`, all bytes."""

    def __init__(self, volume: Volume, thorough: bool) -> None:
        self._volume = volume
        self.live = view_of_tree(volume, volume.overlay.live)
        self.roots = {facts.version: root_of(volume, facts.version) for facts in volume.versions.all()}
        self.views = {number: self.view(number) for number in self.roots} if thorough else {}
        self.snapshots = {(s.directory, s.name): s.version for s in volume.versions.snapshots()}

    def view(self, number: int) -> View:
        return view_of_tree(self._volume, self._volume.versions.tree(number))

    def breaks_all(self, promises: Sequence[AnyPromise]) -> list[str]:
        """What is not as promised; empty when one of the promises is kept."""
        wrong = [promise.breaks(self) for promise in promises]
        return [] if not all(wrong) else wrong


def root_of(volume: Volume, number: int) -> bytes:
    root = volume.versions.commit(number).root
    return b"" if root is None else root.id


def never_had(loose: dict[bytes, list[bytes]], found: View) -> str:
    """Bytes of files that were not synced are bytes that the file had there: zeros too only where it had zeros."""
    for path, states in loose.items():
        data = found[path].data
        assert data is not None
        if data in states:
            continue
        if len(data) < min(map(len, states)):
            return f"{path!r}: {len(data)} bytes; it had {[len(s) for s in states]}"
        for at, byte in enumerate(data):
            if all(at >= len(state) or state[at] != byte for state in states):
                return f"{path!r}: byte {at} of {len(data)} is {byte}; it had {[len(s) for s in states]} bytes"
    return ""
