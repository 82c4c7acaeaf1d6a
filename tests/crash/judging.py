"""Opening what a power cut left: is everything promised there, and can one go on?"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import trio

from hyperfs.store.files import Disk
from hyperfs.volume.check import verify
from hyperfs.volume.volume import Volume
from tests.volume.conftest import Clock, Store, kill, write_file
from tests.volume.model import Allowed, View, view_of_tree, walk_tree

from .promises import AnyPromise, Found, Is, May, Promise, Version, root_of
from .recording import Recording
from .states import Image, State

LATER_NS = 1_795_300_000_000_000_000
THOROUGH = 8
"""Of every so many states all bytes of all versions are read; of the others all blocks are verified."""
UNSEEN = ("reserve", "lock", "index", "socket")
"""Not told by a recording: space, a lock that goes with the process, what is derived."""


def read_state(folder: Path) -> State:
    """The files of a closed store."""
    state = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and name.partition("/")[0] not in UNSEEN:
            data = path.read_bytes()
            state[name] = Image(data.rstrip(b"\0"), len(data))
    return state


def lay_out(state: State, folder: Path, index: Path | None = None) -> None:
    """A store with these files; `index` is an older index to be found in it."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("logs", "journal"):
        (folder / name).mkdir(parents=True)
    if index is not None:
        shutil.copytree(index, folder / "index")
    else:
        (folder / "index").mkdir()
    for name, image in state.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(image.data)
        if image.size != len(image.data):
            os.truncate(path, image.size)


class Judge:
    """Opens states in one folder, one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recording = Recording()
        self.opened = 0

    def broken(
        self,
        state: State,
        promises: Sequence[AnyPromise],
        index: Path | None = None,
        recording: Recording | None = None,
    ) -> list[str]:
        """What is wrong with what is found; empty when all is well.

        `recording` writes down what opening and going on do, and promise, for the next power cut.
        """
        lay_out(state, self.folder, index)
        self.recording = recording or Recording()
        store = Store(self.folder, Clock(LATER_NS), recording.disk if recording else Disk)
        self.opened += 1
        try:
            return self._broken(store, promises, index is not None)
        except Exception as error:  # noqa: BLE001  # whatever it is: the drive does not open, or not work
            return [f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])]

    @staticmethod
    def promise(live: View, versions: dict[int, Version], found: Found) -> Promise:
        return Promise(Allowed(live, {}), versions, found.snapshots)

    def _broken(self, store: Store, promises: Sequence[AnyPromise], indexed: bool) -> list[str]:
        volume = store.open(memory_index=not indexed)
        try:
            found = Found(volume, thorough=self.opened % THOROUGH == 0)
            if wrong := found.breaks_all(promises):
                return wrong
            # An index that is older than a prune is made anew, and that is told.
            if warnings := {what: text for what, text in volume.warnings.items() if not (indexed and what == "index")}:
                return [f"warns: {warnings}"]
            return self._goes_on(volume, found) or self._again(store, volume, found, indexed)
        finally:
            kill(volume)

    def _goes_on(self, volume: Volume, found: Found) -> list[str]:
        """Recovery makes a version of what was found, and nothing else."""
        versions = {number: Version(None, root) for number, root in found.roots.items()}
        self.recording.mark(Is(self.promise(found.live, versions, found)))
        made = Version(found.live)
        self.recording.mark(May([self.promise(found.live, {**versions, max(versions) + 1: made}, found)]))
        trio.run(volume.recover)
        after = Found(volume, thorough=False)
        if after.live != found.live:
            return ["recovery has changed the live tree"]
        if {n: after.roots.get(n) for n in found.roots} != found.roots:
            return ["recovery has changed a version"]
        if after.view(max(after.roots)) != found.live:
            return ["the newest version is not what was found"]
        versions = {number: Version(None, root) for number, root in after.roots.items()}
        self.recording.mark(Is(self.promise(found.live, versions, found)))
        if wrong := wrong_totals(volume):
            return [wrong]
        damage = verify(volume.parts).damage
        return [f"verify: {d.what} ({d.where})" for d in damage]

    def _again(self, store: Store, volume: Volume, found: Found, indexed: bool) -> list[str]:
        """What is written now survives the next kill, with all the rest."""

        name = b"later%d" % len(found.live)

        async def work() -> None:
            inode = await write_file(volume, name, b"written after the power cut " * 300)
            expected = view_of_tree(volume, volume.overlay.live)
            versions = {f.version: Version(None, root_of(volume, f.version)) for f in volume.versions.all()}
            promise = self.promise(expected, versions, found)
            self.recording.mark(May([promise]))
            await volume.fsync(inode)
            self.recording.mark(Is(promise))

        trio.run(work)
        expected = view_of_tree(volume, volume.overlay.live)
        kill(volume)
        store.disk = Disk  # what comes now is no part of the recording
        again = store.open(memory_index=not indexed)
        try:
            if view_of_tree(again, again.overlay.live) != expected:
                return ["what was fsynced after the power cut is not there after a kill"]
        finally:
            kill(again)
        return []


def wrong_totals(volume: Volume) -> str:
    inodes = {inode.ino: inode for _, inode in walk_tree(volume.overlay.live)}.values()
    files = [inode for inode in inodes if not inode.is_directory]
    size = sum(inode.size for inode in files if inode.is_file)
    right = len(files), len(inodes) - len(files), size
    totals = volume.overlay.files, volume.overlay.directories, volume.overlay.file_bytes
    return "" if totals == right else f"totals {totals} in the place of {right}"
