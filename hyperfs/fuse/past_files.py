"""`.versions/.files/NAME`: the distinct states of one file, as entries."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import trio

from hyperfs.errors import BadWhen, NotFound
from hyperfs.fuse.listing import Item
from hyperfs.policy.when import display_name, display_second
from hyperfs.volume.deleted import split_ending
from hyperfs.volume.file_states import Spot, States, pinned_states, states
from hyperfs.volume.volume import Volume

FILES_KEPT: Final = 16
SLICE_SECONDS: Final = 0.004

Resolve = Callable[[str, int], int]
"""The version that a WHEN means in a directory. Raises NotFound."""


class Shown(NamedTuple):
    """What an entry is: inode `ino` as it was in `version`, or with `target` a symlink to such an entry."""

    version: int
    ino: int
    target: bytes = b""


class _Kept(NamedTuple):
    """States, and what they depend on: as long as that is the same they are right."""

    states: States
    signature: tuple[int, int, int, int]


class FileStates:
    """Owned by the trio thread. `prepare` a file before anything else is asked of it."""

    def __init__(self, volume: Volume, resolve: Resolve) -> None:
        self._volume = volume
        self._resolve = resolve
        self._kept: OrderedDict[Spot, _Kept] = OrderedDict()

    def exists(self, spot: Spot) -> bool:
        """Whether the name is or was that of a file. For the versions that have their rows."""
        found = next(states(self._volume, spot), None) or next(pinned_states(self._volume, spot), None)
        return found is not None

    async def prepare(self, spot: Spot) -> None:
        """Finds the states, in slices: 10 us each."""
        await self._volume.changes.caught_up()
        signature = self._signature(spot)
        kept = self._kept.get(spot)
        if kept is not None and kept.signature == signature:
            self._kept.move_to_end(spot)
            return
        found = States()
        until = trio.current_time() + SLICE_SECONDS
        for state in states(self._volume, spot):
            found.add(state.ino, state.first.version, state.last)
            if trio.current_time() >= until:
                await trio.lowlevel.checkpoint()
                until = trio.current_time() + SLICE_SECONDS
        for ino, version in pinned_states(self._volume, spot):
            found.add(ino, version, version)
        found.sort()
        self._kept[spot] = _Kept(found, signature)
        while len(self._kept) > FILES_KEPT:
            self._kept.popitem(last=False)

    def _signature(self, spot: Spot) -> tuple[int, int, int, int]:
        changes, versions = self._volume.changes, self._volume.versions
        dentry = versions.tree(versions.newest.version).dentry(*spot)
        ino = dentry[0] if dentry is not None else 0
        touched = next(changes.touched(ino), None)
        went = next(changes.went(*spot), None)
        return ino, touched.version if touched else 0, went.version if went else 0, versions.let_go

    def names(self, spot: Spot, after: int) -> Iterator[Item]:
        """(name, first version) of the states that began behind a version and that a listed version has, in order."""
        found = self._kept[spot].states
        for position in range(found.after(after), len(found)):
            name = self._name(spot, found, position)
            if not name.startswith(b"@"):
                yield name, found.at(position)[1]

    def state(self, spot: Spot, version: int) -> Shown:
        """The state that a file had in a version. Raises NotFound."""
        kept = self._kept.get(spot)
        position = kept.states.position(version) if kept is not None else None
        if kept is None or position is None:
            raise NotFound(f"there was no {spot.name!r} in version {version}")
        ino, first, _ = kept.states.at(position)
        return Shown(first, ino, self._name(spot, kept.states, position))

    def find(self, spot: Spot, text: bytes) -> Shown:
        """What an entry means: a state under its own name, else a symlink to one. Raises NotFound."""
        ending = split_ending(spot.name)[1]
        for _, version in pinned_states(self._volume, spot):  # the index knows nothing of it
            found = self.state(spot, version)
            if found.target == text:
                return found._replace(target=b"")
        for when in dict.fromkeys((text.removesuffix(ending) if ending else text, text)):
            try:
                found = self.state(spot, self._version(when, spot.directory))
            except NotFound:
                continue
            number = when == b"@%d" % found.version
            return found._replace(target=b"") if found.target == text or number else found
        raise NotFound(f"no state of {spot.name!r} is called {text!r}")

    def _version(self, when: bytes, directory: int) -> int:
        """Raises NotFound."""
        try:
            text = when.decode()
        except UnicodeDecodeError:
            raise NotFound(f"{when!r} names no version") from None
        try:
            listed = self._volume.parts.catalog.at_second(display_second(text))
        except BadWhen:
            listed = None
        return self._resolve(text, directory) if listed is None else listed

    def _name(self, spot: Spot, found: States, position: int) -> bytes:
        """By the first version that is listed, else by the number of the first one."""
        _, first, last = found.at(position)
        ending = split_ending(spot.name)[1]
        for facts in self._volume.versions.all(first):
            if facts.version > last:
                break
            if facts.second:
                return display_name(facts.second).encode() + ending
        second = self._volume.versions.commit(first).display_second  # of one that only a pin keeps
        if second:
            return display_name(second).encode() + ending
        return b"@%d" % first + ending
