"""Keeps the survey of a volume up to date: whole at first and after a policy was set, else by what has changed."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

import trio

from hyperfs.crypto.keys import LOG_CONTENT, LOG_METADATA
from hyperfs.errors import Corrupt, NotResident
from hyperfs.trie.node import Ref
from hyperfs.volume.commit_record import Commit
from hyperfs.volume.resurvey import resurvey
from hyperfs.volume.survey import HOUR_NS, Ask, Progress, Survey, Surveyed, survey
from hyperfs.volume.tree import Tree
from hyperfs.volume.versions import read_commit
from hyperfs.volume.volume import Volume

log = logging.getLogger("hyperfs.elsewhere")


class _Made(NamedTuple):
    """A survey and what it went by."""

    survey: Survey
    version: int
    root: Ref | None
    policies: int
    hour: int
    uses: Mapping[int, int]


class Surveyor:
    """Owned by the trio thread."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume
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
            return _Made(made, newest.version, newest.root, changes, hour, ask.uses)

        self._made = await trio.to_thread.run_sync(run)
        volume.survey = Surveyed(self._made.survey, changes)
        return self._made.survey

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
        tree = Tree(parts.nodes.load, newest.root, parts.chunkstore.read_chunk)
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
