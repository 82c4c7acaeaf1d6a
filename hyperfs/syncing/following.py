"""What other devices write, followed: their logs grow here, over one connection at a time, and the newest version that
they have come to hold is shown in the place of the one before.

For a drive that is only read on this machine, by a link or as a clone. Names and versions are taken whole as they come,
contents are elsewhere until somebody reads them.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from hyperfs.crypto.keys import LOG_METADATA
from hyperfs.errors import NotResident
from hyperfs.log.sparse import SparseLog
from hyperfs.replication.session import Exchanger
from hyperfs.syncing.growing import Growing
from hyperfs.syncing.shown_log import ShownLog
from hyperfs.volume.advancing import Advanced, advance
from hyperfs.volume.cloning import wanted_of
from hyperfs.volume.device_logs import log_folder
from hyperfs.volume.residence import Run
from hyperfs.volume.volume import Volume

NEWEST_BLOCKS: Final = 16
"""Of a version, that come with word of it."""

log = logging.getLogger("hyperfs.following")

Show = Callable[[Advanced], Awaitable[None]]


class Following:
    """Owned by the trio thread. Who has a connection calls `begin`, then `turn` when something has come, then `end`.

    `show`: has the kernel ask again. `from_start`: names and versions come whole; else what is added from now on.
    """

    def __init__(self, volume: Volume, show: Show, from_start: bool) -> None:
        self._volume = volume
        self._show = show
        self._from_start = from_start
        self._growing: dict[int, Growing] = {}
        self._marked: dict[int, int] = {}
        self._exchanger: Exchanger | None = None
        self.shows = True
        """Whether newer versions take the place of what is shown."""
        self.logs: dict[int, ShownLog] = {}
        """Of the connection over which it is followed now."""
        for number in volume.parts.logs:
            self._add(number)

    def growing(self, number: int) -> Growing | None:
        """None of a log that is this device's."""
        return self._growing.get(number)

    @property
    def all_growing(self) -> Mapping[int, Growing]:
        return self._growing

    def _add(self, number: int) -> None:
        parts = self._volume.parts
        found, entry = parts.logs[number], parts.chain.logs[number]
        if isinstance(found, SparseLog) and number not in self._growing and entry.device != parts.device:
            first = 0 if self._from_start else found.signed_length
            self._growing[number] = Growing(parts.disk, log_folder(entry), found, first)
            self._marked[number] = found.signed_length
            self._want(number)

    def _is_metadata(self, number: int) -> bool:
        return self._volume.parts.chain.logs[number].kind == LOG_METADATA

    def _want(self, number: int) -> None:
        """What was cleared since never comes."""
        growing = self._growing[number]
        growing.want(wanted_of(self._volume.parts.chain, number) if self._is_metadata(number) else ())

    # The connection

    def begin(self, exchanger: Exchanger) -> None:
        """The logs are exchanged over it."""
        self._exchanger = exchanger
        self.logs = {}
        for number in self._growing:
            self._exchange(number, exchanger)

    def end(self) -> None:
        self._exchanger = None
        self.logs = {}

    def _exchange(self, number: int, exchanger: Exchanger) -> None:
        growing, is_metadata = self._growing[number], self._is_metadata(number)
        shown = ShownLog(growing.log, is_metadata, exchanger.touch, growing)
        shown.want(growing.wanted)
        shown.want_newest(NEWEST_BLOCKS if is_metadata else 0)
        self.logs[number] = shown
        exchanger.add(shown)

    def look_at_chain(self) -> None:
        """The drive's control chain has grown: there may be logs more, and blocks less."""
        for number in self._volume.parts.logs:
            self._add(number)
        for number, growing in self._growing.items():
            self._want(number)
            if number in self.logs:
                self.logs[number].want(growing.wanted)
            elif self._exchanger is not None:
                self._exchange(number, self._exchanger)

    # What came

    def behind_blocks(self) -> int:
        """Of names and versions, that the peer has and are not here; 0 while nobody is followed."""
        return sum(shown.lacking() for number, shown in self.logs.items() if self._is_metadata(number))

    async def turn(self) -> None:
        """Shows what is there. Raises what the files of a log failed with."""
        for shown in self.logs.values():
            if shown.error is not None:
                raise shown.error
        self._mark()
        if self.shows and self._is_whole():
            await self._advance()

    def _mark(self) -> None:
        """New blocks of content are elsewhere."""
        for number, growing in self._growing.items():
            length, before = growing.log.signed_length, self._marked[number]
            if length > before:
                self._marked[number] = length
                if not self._is_metadata(number):
                    self._volume.parts.residence.grown(Run(number, before, length))

    def _is_whole(self) -> bool:
        """Whether of all logs of names everything is here that was not cleared."""
        return all(not self._growing[number].wanted or shown.is_whole for number, shown in self.logs.items())

    async def _advance(self) -> None:
        try:
            found = advance(self._volume)
        except NotResident as absent:
            log.info("a version waits for blocks: %s", absent)
            return
        if found is not None:
            log.info("version %d", found.version)
            await self._show(found)
