"""Who may: the outermost layer of the server. What is refused here has asked the drive nothing.

The rules and their reasons stand in docs/web.md, "Who may see it".
"""

import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE: Final = "hyperfs"
METHODS: Final = ("GET", "HEAD", "POST")
OWN_SITE: Final = ("same-origin", "none")
"""Of Sec-Fetch-Site: the page itself, and what a person typed. `same-site` would be another port of this computer."""

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""Of every answer that does not say otherwise."""


class Session:
    """The secrets of one run of the server. Owned by the event loop's thread; `folder` and `form` never change."""

    def __init__(self, port: int) -> None:
        self.hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
        self.folder = secrets.token_urlsafe(16)
        """The first part of the path of everything: other ports of this computer are not sent the cookie."""
        self.form = secrets.token_urlsafe(24)
        """What a form must bring back."""
        self._cookie = secrets.token_urlsafe(32)
        self._token: str | None = secrets.token_urlsafe(32)
        self.address = f"http://{self.hosts[0]}/enter?token={self._token}"

    def take(self, token: str) -> bool:
        """Whether it is the token, which then is none any more."""
        if self._token is None or not secrets.compare_digest(token.encode(), self._token.encode()):
            return False
        self._token = None
        return True

    @property
    def is_taken(self) -> bool:
        return self._token is None

    def set_cookie(self) -> str:
        return f"{COOKIE}={self._cookie}; Path=/{self.folder}/; HttpOnly; SameSite=Strict"

    def is_form(self, secret: str) -> bool:
        return secrets.compare_digest(secret.encode("utf-8", "replace"), self.form.encode())

    def knows(self, cookie: str) -> bool:
        return secrets.compare_digest(cookie.encode(), self._cookie.encode())


class Guard:
    """An ASGI application around another one."""

    def __init__(self, app: App, session: Session) -> None:
        self._app = app
        self._session = session

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # the server speaks nothing else
        headers = _headers(scope)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _answer(send, *refusal)
        elif scope["path"] == "/enter":
            await self._enter(scope, send)
        elif not self._has_cookie(headers):
            await _answer(send, 403, NOT_ENTERED)
        else:
            await self._app(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        """What is wrong with a request, whoever sends it."""
        host = headers.get("host", "")
        if host not in self._session.hosts:
            return 421, f"This server is {self._session.hosts[0]} and nothing else."
        if scope["method"] not in METHODS:
            return 405, "This server knows GET, HEAD and POST."
        entering = scope["path"] == "/enter"
        if not entering and headers.get("sec-fetch-site", "none") not in OWN_SITE:
            return 403, "The request comes from another page. Open the address in a new tab."
        if scope["method"] == "POST":
            if entering or headers.get("origin") != f"http://{host}":
                return 403, "The request does not come from this server's own page."
        elif headers.get("origin", f"http://{host}") != f"http://{host}":
            return 403, "The request comes from another page."
        return None

    async def _enter(self, scope: Scope, send: Send) -> None:
        if scope["method"] != "GET":  # a look ahead does not use the token up
            await _answer(send, 405, "Open the address in a browser.")
            return
        tokens = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])
        if not self._session.take(tokens[0]):
            await _answer(send, 403, USED if self._session.is_taken else "That is not the token.")
            return
        more = {"location": f"/{self._session.folder}/files", "set-cookie": self._session.set_cookie()}
        await _answer(send, 303, "Go on to the page.", more)

    def _has_cookie(self, headers: dict[str, str]) -> bool:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return found is not None and self._session.knows(found.value)


NOT_ENTERED: Final = (
    "You have not entered here yet: open the address that 'hyperfs web' printed. It is good for one visit. If it was "
    "used up, end 'hyperfs web' with Ctrl-C and start it again."
)
USED: Final = (
    "This address was used already; it is good for one visit. Go back to the browser in which you opened it, or end "
    "'hyperfs web' with Ctrl-C and start it again. Do that too if it was not you."
)


def _headers(scope: Scope) -> dict[str, str]:
    """By name. Of one that comes twice both, so that it is nobody's right value."""
    found: dict[str, str] = {}
    for raw, value in scope["headers"]:
        name, text = raw.decode("latin-1").lower(), value.decode("latin-1")
        joiner = "; " if name == "cookie" else ", "
        found[name] = f"{found[name]}{joiner}{text}" if name in found else text
    return found


async def _answer(send: Send, status: int, words: str, more: dict[str, str] | None = None) -> None:
    body = (words + "\n").encode()
    headers = HEADERS | {"content-type": "text/plain; charset=utf-8", "content-length": str(len(body))} | (more or {})
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


def _with_headers(send: Send) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            there = {name.lower() for name, _ in message["headers"]}
            more = [(n.encode(), v.encode()) for n, v in HEADERS.items() if n.encode() not in there]
            message["headers"] = [*message["headers"], *more]
        await send(message)

    return sending
