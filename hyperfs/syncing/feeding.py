"""Feeding a peer over one connection: the drive's logs are there for it to take, what is newest first.

Metadata goes before content; of each log no more is shown than the peer takes in a moment, and less while programs use
the mount.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import trio

from hyperfs.log.log import Log
from hyperfs.replication.session import Exchanger
from hyperfs.syncing.absent import elsewhere
from hyperfs.syncing.home import Home, bytes_of_runs
from hyperfs.syncing.permits import Permits
from hyperfs.syncing.runs import NONE, Runs
from hyperfs.syncing.shown_log import ShownLog

ROOM_BYTES: Final = 16 << 20
BUSY_BYTES: Final = 512 << 10
BUSY_SECONDS: Final = 0.0625
"""While programs use the mount and nobody waits for the peer, so much of content is shown so often: 8 MiB a second."""
LOOK_SECONDS: Final = 0.5
"""How often is looked at what may go, at most."""
STEP_SECONDS: Final = 0.02
WHOLE_SECONDS: Final = 30.0
"""After so long all is looked at again though nothing seems changed."""


class Lag(NamedTuple):
    """What is to be at the peer, and is not there by its word. `away`: that of it which is not on this device."""

    blocks: int
    nbytes: int
    away_blocks: int = 0
    away_bytes: int = 0


class Feeding:
    """Owned by the trio thread."""

    def __init__(self, home: Home, permits: Permits, exchanger: Exchanger) -> None:
        self._home = home
        self._permits = permits
        self._exchanger = exchanger
        self.logs: dict[int, ShownLog] = {}
        self._seen: dict[int, tuple[object, ...]] = {}
        self._moves: dict[int, int] = {}
        self._has: dict[int, Runs] = {}
        self._looked_at = -LOOK_SECONDS
        self._shown_at = -BUSY_SECONDS
        self.lags: dict[int, Lag] = {}
        """By log, as far as the peer has said where it stands."""
        self._stuck: tuple[float, object] = (0.0, None)  # since when it takes nothing of what was shown, its lag
        self.urgent = 0
        """How many wait for all to be there, metered or not."""

    def begin(self, led: Mapping[int, ShownLog]) -> None:
        """Opens the channels. The control chain has been offered. `led`: logs that this peer is followed in."""
        self.logs.update(led)
        for number, log in self._home.logs():
            if number in led:
                continue
            shown = ShownLog(log, self._home.is_metadata(number), self._exchanger.touch)
            self.logs[number] = shown
            self._exchanger.add(shown)

    async def run(self) -> None:
        while True:
            changed = self._exchanger.changed
            await self.turn()
            with trio.move_on_after(BUSY_SECONDS if self.is_feeding else LOOK_SECONDS):
                await changed.wait()
            await trio.sleep(STEP_SECONDS)

    async def turn(self) -> None:
        self._permits.look()
        if trio.current_time() - self._looked_at >= LOOK_SECONDS:
            self._looked_at = trio.current_time()
            await self._permits.refresh()
            for number, shown in self.logs.items():
                self._look(number, shown)
        for number, shown in self.logs.items():
            self._feed(number, shown)

    def offered(self, number: int) -> Runs:
        """The blocks of a log that are here and may be at the peer."""
        home = self._home
        whole = Runs([(0, home.volume.parts.logs[number].signed_length)])
        if not home.is_metadata(number):
            whole = whole & self._permits.runs(number)
        return whole - home.cleared(number) - home.away(number)

    def _look(self, number: int, shown: ShownLog) -> None:
        log: Log = shown.log
        marks = log.evicted.count if log.evicted is not None else 0
        now = int(trio.current_time() / WHOLE_SECONDS)
        cleared = self._home.volume.parts.catalog.cleared
        proven = self._home.proven if marks else None  # another one each time that more is
        seen = log.fork, log.signed_length, marks, cleared, self._permits.changes, now, proven
        if shown.taking is None and self._seen.get(number) != seen:
            self._seen[number] = seen
            shown.elsewhere = elsewhere(self._home, self._permits, number)
            shown.may_go(self.offered(number))
            self._exchanger.touch(shown)
        if shown.knows_remote:
            if shown.inquire():
                self._exchanger.touch(shown)
            if self._moves.get(number) != shown.moves:
                self._moves[number] = shown.moves
                self.lags[number] = self._lag(shown)
                self._has[number] = Runs(shown.remote_has.runs(0, log.signed_length))

    def _feed(self, number: int, shown: ShownLog) -> None:
        if not shown.knows_remote or not shown.is_known or shown.revealing.is_done:
            return
        if not shown.is_metadata and (self._waits_for_metadata() or self.is_metered):
            return
        is_slow = not shown.is_metadata and not self.urgent and self._home.is_busy
        now = trio.current_time()
        if is_slow and now - self._shown_at < BUSY_SECONDS:
            return
        if shown.show(BUSY_BYTES if is_slow else ROOM_BYTES):
            self._shown_at = now
            self._exchanger.touch(shown)

    @property
    def is_feeding(self) -> bool:
        """Whether there is something here that was not shown yet."""
        return any(not shown.revealing.is_done for shown in self.logs.values())

    @property
    def is_metered(self) -> bool:
        """Whether content waits for a connection that is not paid by the byte."""
        return self._home.is_metered and not self.urgent

    def _waits_for_metadata(self) -> bool:
        return any(shown.is_metadata and not shown.revealing.is_done for shown in self.logs.values())

    @staticmethod
    def _lag(shown: ShownLog) -> Lag:
        missing = shown.missing()
        away = missing & shown.elsewhere
        return Lag(missing.blocks, bytes_of_runs(shown.log, missing), away.blocks, bytes_of_runs(shown.log, away))

    @property
    def damage(self) -> str | None:
        """Why something that was shown could not be given."""
        return next((shown.damage for shown in self.logs.values() if shown.damage is not None), None)

    def stuck_seconds(self) -> float:
        """For so long it takes nothing of what it was shown, and not for damage here. To be asked again and again."""
        lags = tuple(sorted(self.lags.items()))
        now = trio.current_time()
        if not self._is_stuck or self.damage is not None or lags != self._stuck[1]:
            self._stuck = now, lags
        return now - self._stuck[0]

    @property
    def _is_stuck(self) -> bool:
        """All that is here and may go was shown, and not all was taken."""
        behind = any(lag.blocks > lag.away_blocks for lag in self.lags.values())
        return behind and all(shown.is_known and shown.revealing.is_done for shown in self.logs.values())

    def has(self, number: int) -> Runs:
        """What the peer says that it has of a log, as of the last look."""
        return self._has.get(number, NONE)

    def is_level(self, number: int) -> bool:
        """Whether by its word the peer has all of a log that it may have."""
        shown = self.logs[number]
        lag = self.lags.get(number)
        return lag is not None and not lag.blocks and shown.is_known and self._head_is_there(shown)

    @staticmethod
    def _head_is_there(shown: ShownLog) -> bool:
        exchange = shown.exchange
        return exchange is not None and exchange.remote.length >= shown.log.signed_length
