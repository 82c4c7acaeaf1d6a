"""The server: one socket of this computer, until it is ended."""

import socket
from collections.abc import Callable
from datetime import tzinfo
from typing import Final

import uvicorn

from hyperfs.web.app import application
from hyperfs.web.door import Door, Opens
from hyperfs.web.guard import Session
from hyperfs.web.site import Site

LOOPBACK: Final = "127.0.0.1"
LAST_ANSWERS_SECONDS: Final = 2
CONNECTIONS_MOST: Final = 64
HEAD_BYTES_MOST: Final = 64 << 10
"""Of a request: two paths of 4 KiB, each byte of them three in an address."""


def serve(opens: Opens, where: str, port: int, zone: tzinfo, ready: Callable[[str], None]) -> None:
    """Serves until SIGINT or SIGTERM, which then goes on to the program. `where`: the path in the drive to begin with;
    `ready` gets the address, once it is answered. Raises OSError for a port that is taken."""
    with socket.create_server((LOOPBACK, port), backlog=CONNECTIONS_MOST) as listener:
        session = Session(listener.getsockname()[1])
        site = Site(Door(opens), session, zone, where)
        server = uvicorn.Server(
            uvicorn.Config(
                application(site),
                http="h11",
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                proxy_headers=False,
                server_header=False,
                limit_concurrency=CONNECTIONS_MOST,
                h11_max_incomplete_event_size=HEAD_BYTES_MOST,
                timeout_graceful_shutdown=LAST_ANSWERS_SECONDS,
            )
        )
        ready(session.address)
        server.run(sockets=[listener])
