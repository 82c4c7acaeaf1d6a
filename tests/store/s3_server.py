"""S3 servers for tests, on loopback: moto's, which keeps objects in memory and knows most of S3; and one of our own,
which answers with the faults that it is told."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import pytest

from hyperfs.store.objects import AccessKey, Location, parse_url

KEY = AccessKey("AKIDOFTESTS", "secret-of-tests")
BUCKET = "bucket"


class Asked(NamedTuple):
    """A request that a server has answered. `range`: the header, empty without one; `nbytes`: of the answer's body."""

    method: str
    path: str
    range: str
    nbytes: int


def ranged(asked: Iterable[Asked]) -> list[Asked]:
    """The reads of a part of an object."""
    return [found for found in asked if found.method == "GET" and found.range]


def _noting(application: Any, asked: list[Asked]) -> Any:
    """A WSGI application that notes what it was asked."""

    def answer(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        parts = list(application(environ, start_response))
        found = environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("HTTP_RANGE", "")
        asked.append(Asked(*found, sum(map(len, parts))))
        return parts

    return answer


@contextmanager
def moto_server(asked: list[Asked] | None = None) -> Iterator[str]:
    """The address of a running one, with a bucket. It checks no signatures. `asked` gets what it answered."""
    pytest.importorskip("moto", reason="moto is not installed: packaging/setup --test installs it")
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    application = _noting(DomainDispatcherApplication(create_backend_app), [] if asked is None else asked)
    server = make_server("127.0.0.1", 0, application, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def location(endpoint: str, prefix: str = "a/prefix", more: str = "") -> Location:
    return parse_url(f"s3://{BUCKET}/{prefix}?endpoint={endpoint}{more}")


@dataclass
class Answers:
    """What the server of faults says next: a status with a body, for every request; and what it was asked."""

    status: int = 200
    body: bytes = b""
    before: Callable[[], None] = lambda: None
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)


@contextmanager
def server_of_faults() -> Iterator[tuple[str, Answers]]:
    answers = Answers()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            answers.asked.append((self.command, self.path, dict(self.headers.items())))
            answers.before()
            self.send_response(answers.status)
            self.send_header("content-length", str(len(answers.body)))
            self.send_header("etag", '"0"')
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answers.body)

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _answer  # noqa: N815  # http.server's names

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", answers
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
