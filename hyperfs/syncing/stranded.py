"""What has left this device and is at no place any more that has proved it: a peer that had it holds the drive no more.

Told in `status` with the files that it is for, so that nobody learns of it by reading them.
"""

import time
from collections.abc import Mapping
from typing import Final

import trio

from hyperfs.errors import HyperfsError
from hyperfs.syncing.absent import unproven
from hyperfs.syncing.home import Home, bytes_of_runs, log
from hyperfs.syncing.runs import Runs
from hyperfs.trie.walk import walk
from hyperfs.volume.entries import extent_in
from hyperfs.volume.name_finder import NameFinder
from hyperfs.volume.tree import Tree

NAMED_MOST: Final = 20
_WORK_SECONDS: Final = 0.002
_REST_SECONDS: Final = 0.008


def warning_of(name: str) -> str:
    return f"peer-{name}-gone"


def stranded(home: Home) -> dict[int, Runs]:
    """By log, the blocks that are not here and that no place has proved."""
    found = {}
    for number, _ in home.logs():
        away = home.away(number) - home.cleared(number)
        runs = Runs(sorted(unproven(home.volume.returning.elsewhere, number, away)))
        if runs:
            found[number] = runs
    return found


class Stranding:
    """What is told of it because of one peer. Owned by the trio thread."""

    def __init__(self, home: Home, name: str) -> None:
        self._home = home
        self._key = warning_of(name)
        self._name = name
        self._told: dict[int, Runs] = {}

    async def look(self) -> None:
        """The peer does not hold the drive. Looks for the names of files where more is stranded than was told."""
        try:
            await self._look()
        except Exception as error:  # noqa: BLE001  # a warning that is not told must not end the drive
            log.error("what is stranded could not be looked for", exc_info=error)

    async def _look(self) -> None:
        volume = self._home.volume
        found = stranded(self._home)
        if not found:
            volume.warnings.pop(self._key, None)
        elif found != self._told:
            nbytes = sum(bytes_of_runs(volume.parts.logs[number], runs) for number, runs in found.items())
            tree = volume.versions.tree(volume.versions.newest.version)
            names = await trio.to_thread.run_sync(files_in, tree, found)
            words = (
                f"the peer {self._name} holds this drive no more, and {nbytes} bytes that left this device are at no "
                f"other place that has proved it: {_of(names)} can't be read until a place has them again"
            )
            log.error("%s", words)
            volume.warnings[self._key] = words
        self._told = found

    def look_again(self) -> None:
        """The peer holds the drive: what was stranded may not be any more."""
        if self._told and not stranded(self._home):
            self._told = {}
            self._home.volume.warnings.pop(self._key, None)


def _of(names: list[bytes]) -> str:
    if not names:
        return "old versions"
    more = " and more" if len(names) > NAMED_MOST else ""
    return ", ".join(name.decode(errors="replace") for name in names[:NAMED_MOST]) + more


def files_in(tree: Tree, blocks: Mapping[int, Runs]) -> list[bytes]:
    """In a worker thread: paths of files that have bytes in these blocks, one more than are named at most. Where the
    tree can't be read, those that were found until then."""
    names: list[bytes] = []
    finder = NameFinder()
    rested = time.monotonic()
    last = 0
    try:
        for key, value, hint in walk(tree.load, tree.root):
            if time.monotonic() - rested >= _WORK_SECONDS:
                time.sleep(_REST_SECONDS)  # the interpreter is also the mount's
                rested = time.monotonic()
            ino = int.from_bytes(key[:8], "big")
            extent = extent_in(key, (value, hint)) if ino != last else None
            if extent is None:
                continue
            places = (extent.place, *extent.place.bases)
            if any(at.block in blocks[at.log] for at in places if at.log in blocks):
                last = ino
                names.append(finder.path(tree, ino))
                if len(names) > NAMED_MOST:
                    break
    except HyperfsError as error:
        log.info("not all names of what is stranded could be told: %s", error)
    return sorted(names)
