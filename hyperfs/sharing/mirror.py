"""Mirroring: the drive of a shared folder is made equal to the folder, as it is in one version of the drive that it
lies in.

By inode numbers: a folder that is renamed stays shared, and what is renamed inside is renamed there. Only what differs
from the version that was mirrored last is looked at. Where that is not kept any more, or other rules hold, the names
and attributes of all of the folder are compared, and of the files those are read whose chunks are others.

What is done makes things equal, whatever they were before: after a kill or an error it is begun anew.
"""

from collections.abc import Mapping
from typing import NamedTuple

import trio

from hyperfs.errors import NoSuchVersion, Unreachable
from hyperfs.sharing.mirror_scope import Shared, Touched, place_rules
from hyperfs.sharing.mirror_turn import Turn
from hyperfs.sharing.mirrored import Mirrored, Reached
from hyperfs.volume.tree import Tree
from hyperfs.volume.volume import Volume


class Done(NamedTuple):
    """What a turn did. `bytes` were read. `whole`: all of the folder was compared. `is_there`: the folder is in that
    version; where it is not, nothing is changed any more. `may_go`: no policy keeps all of it here."""

    version: int
    bytes: int = 0
    whole: bool = False
    is_there: bool = True
    may_go: bool = True


class Mirror:
    """Owned by the trio thread of both volumes. Nobody else changes `into`, but for its retention."""

    def __init__(self, source: Volume, into: Volume, folder: int, secret: bytes) -> None:
        """`secret`: see Mirrored."""
        self._source = source
        self._into = into
        self._folder = folder
        self._mirrored = Mirrored(into.overlay, secret)
        self._reached = self._mirrored.reached  # ahead of the tree's by versions in which nothing of the folder changed

    @property
    def reached(self) -> int:
        """The version of the drive that it equals; 0 where that is under way."""
        return 0 if self._reached is None else self._reached.version

    async def turn(self, places: frozenset[str]) -> Done:
        """Mirrors the newest version, to be shown at `places`; it is a version of the other drive when this returns.

        Raises Unreachable where bytes are nowhere to be had now, and all else has come; Corrupt, OSError: it is to be
        tried again.
        """
        source, version = self._source, self._source.versions.newest.version
        async with self._into.collecting:  # nobody makes a version of what is half done
            with source.reads(version):
                new = source.versions.whole_tree(version)
                rules = place_rules(new)
                shared = Shared(new, self._folder, places, rules)
                if not shared.is_there:
                    return Done(version, is_there=False)
                reached = Reached(version, self._folder, places)
                old = self._comparable(reached, shared, rules)
                self._reached = None  # until all has come
                turn = Turn(source, self._into, self._mirrored, shared, old)
                await self._do(turn, old, new)
            await self._save(reached, turn.things.failed)
            return Done(version, turn.things.bytes, old is None, True, shared.may_go)

    async def _do(self, turn: Turn, old: Tree | None, new: Tree) -> None:
        try:
            if old is None:
                await turn.all()
            elif old.root != new.root:
                await turn.some(await trio.to_thread.run_sync(Touched, old, new))
        except BaseException:
            with trio.CancelScope(shield=True):
                await turn.give_up()
            raise

    async def _save(self, reached: Reached, failed: list[Unreachable]) -> None:
        recorded = self._mirrored.reached
        is_other = recorded is None or recorded._replace(version=reached.version) != reached
        if failed:
            self._mirrored.reached = None
        elif self._into.committer.pending or is_other:
            self._mirrored.reached = reached
        active = self._into.overlay.live.active
        if active.inodes:
            active.began_ns = self._into.overlay.now_ns()  # and not when the files themselves changed
        await self._into.committer.commit()
        if failed:
            raise Unreachable(f"{len(failed)} files can't be read at the moment: {failed[0]}")
        self._reached = reached

    def _comparable(self, reached: Reached, shared: Shared, rules: Mapping[int, bytes]) -> Tree | None:
        """The version that was mirrored last, where only what differs from it need be looked at."""
        last = self._reached
        if last is None or last._replace(version=reached.version) != reached:
            return None
        try:
            old = self._source.versions.whole_tree(last.version)
        except NoSuchVersion:
            return None
        same = place_rules(old) == rules and Shared(old, self._folder, reached.places, rules).may_go == shared.may_go
        return old if same else None
