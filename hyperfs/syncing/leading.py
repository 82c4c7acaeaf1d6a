"""Which of a drive's peers is followed, where another device writes to it: one at a time, of those that are connected.

Whoever comes first leads. Where another peer has more, and the one that leads has not got it within some seconds, that
one leads from then on: both are connected anew, since a log is either taken in or shown over a connection.
"""

from collections.abc import Mapping
from typing import Final

import trio

from hyperfs.replication.one_session import Session
from hyperfs.replication.session import Exchanger
from hyperfs.syncing.following import Following
from hyperfs.syncing.shown_log import ShownLog

LOOK_SECONDS: Final = 0.05
"""Between two looks at what has come."""
SHOWS_SECONDS: Final = 1.0
"""After so long is looked though nothing has come: what was waited for may have come by another way."""
PATIENCE_SECONDS: Final = 3.0
WAY_SECONDS: Final = 10.0
"""For so long the way is kept free for a peer that is to lead."""


class Leads:
    """Shared by a drive's connections. Owned by the trio thread."""

    def __init__(self, following: Following) -> None:
        self.following = following
        self.leader: Session | None = None
        self._next: tuple[bytes, float] = b"", 0.0  # whose turn it is, by its key, and until when

    def take(self, session: Session) -> bool:
        """Whether this connection leads now."""
        key, until = self._next
        is_kept_free = key not in (b"", session.remote_key) and trio.current_time() < until
        if self.leader is not None or is_kept_free:
            return False
        self.leader = session
        return True

    def leave(self, session: Session) -> None:
        if self.leader is session:
            self.leader = None
            self.following.end()

    def hand_over(self, session: Session) -> None:
        self._next = session.remote_key, trio.current_time() + WAY_SECONDS
        for found in (self.leader, session):
            if found is not None:
                found.close()


class Leading:
    """Of one connection."""

    def __init__(self, leads: Leads | None, session: Session, exchanger: Exchanger) -> None:
        self._leads = leads
        self._session = session
        self._exchanger = exchanger

    def begin(self) -> Mapping[int, ShownLog]:
        """The logs that are taken in over this connection; the chains have met."""
        if self._leads is None or not self._leads.take(self._session):
            return {}
        self._leads.following.begin(self._exchanger)
        return self._leads.following.logs

    def end(self) -> None:
        if self._leads is not None:
            self._leads.leave(self._session)

    async def run(self, logs: dict[int, ShownLog]) -> None:
        """Until it is cancelled. `logs`: all of the connection, to which those come that the drive gets."""
        if self._leads is None:
            return
        if self._leads.leader is self._session:
            await self._follow(self._leads.following, logs)
        await self._watch(self._leads, logs)

    async def _follow(self, following: Following, logs: dict[int, ShownLog]) -> None:
        while True:
            changed = self._exchanger.changed
            logs.update(following.logs)
            await following.turn()
            with trio.move_on_after(SHOWS_SECONDS):
                await changed.wait()
            await trio.sleep(LOOK_SECONDS)

    async def _watch(self, leads: Leads, logs: Mapping[int, ShownLog]) -> None:
        since: float | None = None
        while since is None or trio.current_time() - since < PATIENCE_SECONDS:
            await trio.sleep(LOOK_SECONDS * 5)
            if leads.leader is None:
                break
            is_wanted = any(_is_ahead(leads.following, *found) for found in logs.items())
            since = (since or trio.current_time()) if is_wanted else None
        leads.hand_over(self._session)


def _is_ahead(following: Following, number: int, shown: ShownLog) -> bool:
    """Whether that side has more of another device's log than is here."""
    growing, exchange = following.growing(number), shown.exchange
    return growing is not None and exchange is not None and exchange.remote.length > growing.length
