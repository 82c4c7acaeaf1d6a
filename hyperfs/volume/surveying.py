"""Keeps the survey of a volume up to date: whole at first and after a policy was set, else by what has changed. What
an earlier mount has kept in the index is gone on from."""

import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final, NamedTuple

import trio

from hyperfs.crypto.keys import LOG_CONTENT, LOG_METADATA
from hyperfs.errors import Corrupt, NoSuchVersion, NotResident
from hyperfs.trie.node import Ref
from hyperfs.volume.commit_record import Commit
from hyperfs.volume.resurvey import resurvey
from hyperfs.volume.survey import HOUR_NS, Ask, Own, Progress, Survey, Surveyed, chunks_moved, survey
from hyperfs.volume.survey_rows import Kept, SurveyRows, encode
from hyperfs.volume.tree import Tree
from hyperfs.volume.versions import read_commit
from hyperfs.volume.volume import Volume

KEEP_SECONDS: Final = 3600.0
"""So often it is kept in the index while it changes, and when the drive is closed."""

log = logging.getLogger("hyperfs.elsewhere")


class _Made(NamedTuple):
    """A survey and what it went by."""

    survey: Survey
    version: int
    root: Ref | None
    policies: int
    hour: int
    uses: Mapping[int, int]
    own: Own


class Surveyor:
    """Owned by the trio thread."""

    def __init__(self, volume: Volume, rows: SurveyRows | None = None) -> None:
        """`rows`: where it is kept for the next mount, and what the last one has kept is found."""
        self._volume = volume
        self._rows = None if volume.read_only else rows
        self._unread = rows
        self._kept_at = -KEEP_SECONDS
        self._kept: tuple[int, int] | None = None  # version and changes of policies of the one that is kept
        self._made: _Made | None = None
        self.whole = 0
        """How often all was looked at."""

    @property
    def newest(self) -> Survey | None:
        return None if self._made is None else self._made.survey

    @property
    def policies(self) -> int:
        """How many changes of policies there had been when it was made."""
        return -1 if self._made is None else self._made.policies

    async def now(self, progress: Progress) -> Survey:
        """Of the newest version. Raises OSError, Corrupt, NotResident."""
        if self._unread is not None:
            await self._recall(self._unread)
        volume, before = self._volume, self._made
        newest, changes = volume.versions.newest, volume.overlay.policies.changes
        hour = volume.overlay.now_ns() // HOUR_NS
        if before is not None and before[1:5] == (newest.version, newest.root, changes, hour):
            return before.survey
        whole, since = self._ask(), None
        if before is not None and before.policies == changes:
            since = replace(whole, roots=self._since(before, newest))

        def run() -> _Made:
            ask = replace(whole, uses=volume.uses.known())
            made = None
            if before is not None and since is not None:
                made = self._go_on(replace(since, uses=ask.uses), before, progress)
            if made is None:
                self.whole += 1
                made = survey(ask, progress)
            return _Made(made, newest.version, newest.root, changes, hour, ask.uses, ask.policies)

        self._made = await trio.to_thread.run_sync(run)
        volume.survey = Surveyed(self._made.survey, changes)
        if trio.current_time() - self._kept_at >= KEEP_SECONDS:
            await self._keep()
        return self._made.survey

    @asynccontextmanager
    async def keeping(self) -> AsyncIterator[None]:
        """At the end of the block the newest survey is kept."""
        try:
            yield
        finally:
            with trio.CancelScope(shield=True):
                await self._keep()

    async def _keep(self) -> None:
        """The next mount goes on from the newest survey."""
        rows, made = self._rows, self._made
        if rows is None or made is None or self._kept == (made.version, made.policies):
            return
        kept = Kept(made.survey, made.version, made.root, rows.hash_of(made.own), made.hour)
        for _ in rows.save(await trio.to_thread.run_sync(encode, kept)):
            await trio.lowlevel.checkpoint()
        self._kept, self._kept_at = (made.version, made.policies), trio.current_time()

    async def _recall(self, rows: SurveyRows) -> None:
        """What an earlier mount has kept, where it is of this drive's past and went by the policies of now."""
        volume, self._unread = self._volume, None
        kept = await trio.to_thread.run_sync(rows.load)
        own, changes = volume.overlay.policies.snapshot(), volume.overlay.policies.changes
        if kept is None or not self._is_past(kept) or rows.hash_of(own) != kept.policies:
            return

        def made() -> _Made:
            kept.survey.moved = chunks_moved(self._tree(kept.root))
            # What was used shortly before may not have been known then.
            uses = {ino: hour for ino, hour in volume.uses.known().items() if hour < kept.hour - 1}
            return _Made(kept.survey, kept.version, kept.root, changes, -1, uses, own)

        try:
            self._made = await trio.to_thread.run_sync(made)
            self._kept, self._kept_at = (kept.version, changes), trio.current_time()
        except (Corrupt, NotResident) as error:
            log.info("the survey of the last mount can't be gone on from: %s", error)

    def _is_past(self, kept: Kept) -> bool:
        versions = self._volume.versions
        try:
            return kept.version <= versions.newest.version and versions.commit(kept.version).root == kept.root
        except (NoSuchVersion, Corrupt, NotResident):
            return False

    def _tree(self, root: Ref | None) -> Tree:
        parts = self._volume.parts
        return Tree(parts.nodes.load, root, parts.chunkstore.read_chunk)

    def _go_on(self, ask: Ask, before: _Made, progress: Progress) -> Survey | None:
        """None where that can't be: then all is looked at."""
        if any(len(had.needs) > ask.lengths.get(number, 0) for number, had in before.survey.logs.items()):
            return None
        try:
            return resurvey(ask, before.survey, before.uses, progress)
        except (Corrupt, NotResident) as error:  # the version before was let go, and its nodes; or it is damaged
            log.info("what has changed since the last survey can't be read: %s", error)
            return None

    def _ask(self) -> Ask:
        """For all that there is."""
        volume, parts = self._volume, self._volume.parts
        newest = volume.versions.newest
        tree = self._tree(newest.root)
        kinds = {number: entry.kind for number, entry in parts.chain.logs.items()}
        lengths = {number: found.signed_length for number, found in parts.logs.items()}
        content = {number: length for number, length in lengths.items() if kinds[number] == LOG_CONTENT}
        content[newest.content.log] = min(content[newest.content.log], newest.content.length)
        return Ask(
            nodes=parts.nodes,
            read_chunk=parts.chunkstore.read_chunk,
            lengths=content,
            metadata={number: length for number, length in lengths.items() if kinds[number] == LOG_METADATA},
            roots=self._roots(newest, [(pin.log, pin.block) for pin in volume.versions.offers.pins]),
            policies=volume.overlay.policies.snapshot(),
            is_there=lambda ino: tree.inode(ino) is not None,
            uses={},
        )

    def _roots(self, newest: Commit, pins: list[tuple[int, int]]) -> Iterator[Ref | None]:
        """Of all versions, the newest first, and of what is pinned."""
        volume = self._volume
        yield newest.root
        kept = [(facts.log, facts.index) for facts in volume.versions.all() if facts.version < newest.version]
        for place in (*reversed(kept), *dict.fromkeys(pins)):
            yield read_commit(volume.parts.nodes, *place).root

    def _since(self, before: _Made, newest: Commit) -> Iterator[Ref | None]:
        """Of the version before and those that were made since."""
        volume = self._volume
        yield before.root
        for facts in list(volume.versions.all(before.version + 1)):
            if facts.version < newest.version:
                yield read_commit(volume.parts.nodes, facts.log, facts.index).root
        yield newest.root
