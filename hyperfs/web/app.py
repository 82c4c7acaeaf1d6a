"""The application: addresses to pages, and what went wrong to a page that says so."""

from collections.abc import Awaitable, Callable
from importlib.resources import files as resources
from typing import Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from hyperfs.daemon.exit_codes import Reported, words_of
from hyperfs.errors import BadRequest, HyperfsError
from hyperfs.web import addresses
from hyperfs.web.guard import Guard
from hyperfs.web.pages import bytes as file_bytes
from hyperfs.web.pages import comparing, deeds, deleted, drive, files, space
from hyperfs.web.site import Site, Values

FORM_BYTES_MOST: Final = 64 << 10
Page = Callable[[Site, Values], Response]

PAGES: Final[dict[str, Page]] = {
    "files": files.files,
    "compare": comparing.compare,
    "changes": comparing.changes,
    "deleted": deleted.deleted,
    "space": space.space,
    "drive": drive.drive,
    "picture": file_bytes.picture,
    "download": file_bytes.download,
}
DEEDS: Final[dict[str, Page]] = {
    "put-back": deeds.put_back,
    "undo": deeds.undo,
    "redo": deeds.redo,
    "policy": deeds.set_policy,
}
STATIC: Final = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}

STATUS: Final = {
    "BadRequest": 400,
    "BadWhen": 400,
    "InvalidArgument": 400,
    "NameTooLong": 400,
    "NotFound": 404,
    "NoSuchVersion": 404,
    "IsADirectory": 400,
    "NotADirectory": 400,
    "NotPermitted": 403,
    "Refused": 403,
    "ReadOnlyDrive": 403,
    "Unreachable": 503,
    "NotResident": 503,
    "NoSpace": 507,
}
"""By the kind of the error; 500 for all others, corrupt data among them."""


def application(site: Site) -> Guard:
    routes: list[BaseRoute] = [Route(f"/{name}", _get(site, page)) for name, page in PAGES.items()]
    routes += [Route(f"/{name}", _post(site, deed), methods=["POST"]) for name, deed in DEEDS.items()]
    routes += [Route(f"/{name}", _static(name, kind)) for name, kind in STATIC.items()]
    app = Starlette(
        routes=[Mount(f"/{site.session.folder}", routes=routes)],
        exception_handlers={HyperfsError: _failed(site), OSError: _failed(site), HTTPException: _not_found},
    )
    return Guard(app, site.session)


def _get(site: Site, page: Page) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return await run_in_threadpool(page, site, addresses.query(request.scope["query_string"]))

    return answer


def _post(site: Site, deed: Page) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        if request.headers.get("content-type") != "application/x-www-form-urlencoded":
            raise BadRequest("that is no form of this page")
        data = bytearray()
        async for piece in request.stream():
            data += piece
            if len(data) > FORM_BYTES_MOST:
                raise BadRequest("that form is too large")
        values = addresses.query(bytes(data))
        if not site.session.is_form(values.get("form", "")):
            return PlainTextResponse("The form is not of this page: load it again.", 403)
        return await run_in_threadpool(deed, site, values)

    return answer


def _static(name: str, kind: str) -> Callable[[Request], Awaitable[Response]]:
    data = (resources("hyperfs.web") / "static" / name).read_bytes()

    async def answer(request: Request) -> Response:
        return Response(data, media_type=kind, headers={"cache-control": "private, max-age=3600"})

    return answer


def _failed(site: Site) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(request: Request, error: Exception) -> Response:
        kind = error.kind if isinstance(error, Reported) else type(error).__name__
        status = STATUS.get(kind, 500)
        return await run_in_threadpool(site.page, "failed.html", {}, status, what=words_of(error), status=status)

    return answer


async def _not_found(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    return PlainTextResponse("There is no such page." if status == 404 else "That is not done here.", status)
