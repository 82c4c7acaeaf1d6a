"""Does what a peer's owner has asked for by `hyperfs peer drop`, beside the process that serves (peer/dropping.py)."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import trio

from hyperfs.errors import HyperfsError
from hyperfs.peer import dropping
from hyperfs.peer.facts import SHOWN, Event
from hyperfs.peer.peer import Peer

LOOK_SECONDS: Final = 1.0
DROPPED: Final = "whoever runs this peer has dropped the drive: nothing of it is here any more"


class Dropper:
    """`run` does something in the thread that may touch the peer's files; `gone` tells who exchanges a drive."""

    def __init__(
        self,
        peer: Peer,
        run: Callable[[Callable[[], Any]], Awaitable[Any]],
        gone: Callable[[bytes, str], None],
        say: Callable[[Event], None],
    ) -> None:
        self._peer = peer
        self._run = run
        self._gone = gone
        self._say = say

    async def keep_looking(self) -> None:
        while True:
            await self.look()
            await trio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """What fails is tried again at the next look; said each time, for somebody waits."""
        try:
            wanted = await self._run(partial(dropping.asked, self._peer.store))
        except OSError:
            return  # others say that the disk fails
        for drive in wanted:
            try:
                nbytes = await self._run(partial(dropping.bytes_of, self._peer.store, drive))
                gone = await self._run(partial(self._peer.drop, drive))
            except (HyperfsError, OSError) as error:
                self._say(Event("error", "drive can't be dropped", drive.hex()[:SHOWN], {"why": str(error)}))
                continue
            for found in gone:
                self._gone(found, DROPPED)
            self._say(Event("warning", "drive dropped", drive.hex()[:SHOWN], {"bytes": nbytes, "parts": len(gone) - 1}))
