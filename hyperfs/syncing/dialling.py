"""Connecting to a peer: first where it was heard of nearby, then at its address. Its key decides, wherever that is."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import trio

from hyperfs.errors import HyperfsError, Misbehaved, Unreachable, innermost
from hyperfs.replication.address import Endpoint
from hyperfs.replication.client import PeerClient
from hyperfs.replication.dialogue_codec import Notified, Request
from hyperfs.replication.one_session import Session
from hyperfs.replication.session import Exchanger, open_exchanger
from hyperfs.syncing.home import Home, log
from hyperfs.syncing.limits import LimitedStream
from hyperfs.syncing.settings import Known
from hyperfs.syncing.trouble import trouble_of

T = TypeVar("T")

CONNECT_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 60.0
NEARBY_SECONDS: Final = 2.0
"""For each place that was heard of, the handshake included."""


@asynccontextmanager
async def connected(
    home: Home, known: Known, hear: Callable[[Notified], None]
) -> AsyncIterator[tuple[Exchanger, Session]]:
    """A connection that is proved to be the peer's. Raises OSError, Unreachable, Misbehaved."""

    def heard(_: Session, said: Request | Notified) -> None:
        if isinstance(said, Notified):
            hear(said)

    async with open_exchanger(home.key_pair, hear=heard) as exchanger:
        session = await _nearby(home, known, exchanger)
        if session is None:
            session = await _at_address(home, known, exchanger)
        yield exchanger, session


async def asked(home: Home, known: Known, ask: Callable[[PeerClient], Awaitable[T]]) -> T:
    """What a peer answers, over a connection of its own. Raises Unreachable, Refused and their like, with words."""
    error: Exception
    try:
        with trio.move_on_after(ANSWER_SECONDS) as waiting:
            async with connected(home, known, lambda said: None) as (_, session):
                return await ask(PeerClient(session))
        assert waiting.cancelled_caught
        error = Unreachable(f"{known.address.endpoint} did not answer within {ANSWER_SECONDS:.0f} s")
    except* (HyperfsError, OSError) as group:
        error = innermost(group)
    raise trouble_of(error).raised(known.name)


async def _at_address(home: Home, known: Known, exchanger: Exchanger) -> Session:
    host, port = known.address.endpoint
    with trio.move_on_after(CONNECT_SECONDS) as waiting:
        stream = await trio.open_tcp_stream(host, port)
    if waiting.cancelled_caught:
        raise Unreachable(f"{known.address.endpoint} does not answer within {CONNECT_SECONDS:.0f} s")
    return await exchanger.connect(LimitedStream(stream, home.up, home.down), known.address.key, offers=True)


async def _nearby(home: Home, known: Known, exchanger: Exchanger) -> Session | None:
    """None where it was not heard of, or somebody else had said so."""
    key = known.address.key
    for place in home.listening.places(key):
        try:
            with trio.fail_after(NEARBY_SECONDS):
                stream = await trio.open_tcp_stream(*place)
                session = await exchanger.connect(LimitedStream(stream, home.up, home.down), key, offers=True)
        except Misbehaved as error:
            log.warning("%s says that it is the peer %s, and is not: %s", Endpoint(*place), known.name, error)
            home.listening.shun(key, place)
        except (HyperfsError, OSError, trio.TooSlowError) as error:
            log.info("the peer %s is not at %s any more: %s", known.name, Endpoint(*place), error or "no answer")
            home.listening.lose(key, place)
        else:
            log.info("the peer %s is nearby, at %s", known.name, Endpoint(*place))
            return session
    return None
