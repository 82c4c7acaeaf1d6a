"""Who may: asked as the server asks, with an application behind the guard that says so when it is reached."""

from collections.abc import MutableMapping
from typing import Any

import pytest

from hyperfs.web.guard import Guard, Receive, Scope, Send, Session

PORT = 1234
HOST = f"127.0.0.1:{PORT}"
ORIGIN = f"http://{HOST}"


class Answer:
    """What came back; `reached` if the application was asked."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.body += message.get("body", b"")

    @property
    def reached(self) -> bool:
        return self.body == b"reached"


async def reached(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"cache-control", b"private")]})
    await send({"type": "http.response.body", "body": b"reached"})


async def nothing() -> MutableMapping[str, Any]:
    raise AssertionError("the guard reads no body")


class Server:
    def __init__(self) -> None:
        self.session = Session(PORT)
        self.guard = Guard(reached, self.session)
        self.token = self.session.address.partition("token=")[2]
        self.path = f"/{self.session.folder}/files"
        self.cookie = self.session.set_cookie().partition(";")[0]

    async def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Header names with _ for -; an empty value leaves one out."""
        sent = {"host": HOST, **{name.replace("_", "-"): value for name, value in headers.items()}}
        path, _, asked = path.partition("?")
        answer = Answer()
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": asked.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in sent.items() if value],
        }
        await self.guard(scope, nothing, answer.send)
        return answer


@pytest.fixture
def server() -> Server:
    return Server()


async def test_the_token_opens_once(server: Server) -> None:
    first = await server.ask(f"/enter?token={server.token}")
    assert first.status == 303
    assert first.headers["location"] == server.path
    cookie = first.headers["set-cookie"]
    assert cookie.startswith(server.cookie)
    assert {"HttpOnly", "SameSite=Strict", f"Path=/{server.session.folder}/"} <= set(cookie.split("; "))
    second = await server.ask(f"/enter?token={server.token}")
    assert second.status == 403
    assert "set-cookie" not in second.headers
    assert b"used already" in second.body
    assert (await server.ask(server.path, cookie=server.cookie)).reached


@pytest.mark.parametrize("asked", ["", "?token=", "?token=wrong", "?token=%00", "?token=%C3%A4", "?other=1"])
async def test_nothing_else_does_and_it_stays_good(server: Server, asked: str) -> None:
    assert (await server.ask(f"/enter{asked}")).status == 403
    assert (await server.ask(f"/enter?token={server.token}")).status == 303


async def test_a_look_ahead_does_not_use_the_token_up(server: Server) -> None:
    assert (await server.ask(f"/enter?token={server.token}", method="HEAD")).status == 405
    assert (await server.ask(f"/enter?token={server.token}")).status == 303


@pytest.mark.parametrize("cookie", ["", "hyperfs=", "hyperfs=wrong", "other=1", "hyperfs", '"', "hyperfs=\xe4", "=;=;"])
async def test_without_the_cookie_nothing_is_reached(server: Server, cookie: str) -> None:
    for path in (server.path, "/", f"/{server.session.folder}/page.css", "/enter/files"):
        assert (await server.ask(path, cookie=cookie)).status == 403


async def test_the_token_is_no_cookie(server: Server) -> None:
    assert (await server.ask(server.path, cookie=f"hyperfs={server.token}")).status == 403


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "evil.example:1234", "127.0.0.1", "127.0.0.1:80", "127.0.0.1:1234.evil.example", "[::1]:1234"],
)
async def test_attack_l02_another_host_is_refused_even_with_token_or_cookie(server: Server, host: str) -> None:
    assert (await server.ask(server.path, host=host, cookie=server.cookie)).status == 421
    assert (await server.ask(f"/enter?token={server.token}", host=host)).status == 421
    assert (await server.ask(f"/enter?token={server.token}")).status == 303


async def test_localhost_is_this_host_too(server: Server) -> None:
    assert (await server.ask(server.path, host=f"localhost:{PORT}", cookie=server.cookie)).reached


@pytest.mark.parametrize(
    "origin",
    ["", "null", "http://evil.example", "http://127.0.0.1", "http://127.0.0.1:80", f"https://{HOST}", f"{ORIGIN}/"],
)
async def test_attack_l02_a_form_comes_from_the_page_itself(server: Server, origin: str) -> None:
    assert (await server.ask(server.path, "POST", origin=origin, cookie=server.cookie)).status == 403
    assert (await server.ask(server.path, "POST", origin=ORIGIN, cookie=server.cookie)).reached


@pytest.mark.parametrize("site", ["cross-site", "same-site", "anything"])
async def test_attack_l02_other_sites_and_other_ports_see_nothing(server: Server, site: str) -> None:
    assert (await server.ask(server.path, cookie=server.cookie, sec_fetch_site=site)).status == 403
    for own in ("same-origin", "none"):
        assert (await server.ask(server.path, cookie=server.cookie, sec_fetch_site=own)).reached


async def test_attack_l02_a_read_from_another_origin_is_refused(server: Server) -> None:
    assert (await server.ask(server.path, cookie=server.cookie, origin="http://evil.example")).status == 403


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "get"])
async def test_methods_that_no_page_needs_are_refused(server: Server, method: str) -> None:
    assert (await server.ask(server.path, method, cookie=server.cookie, origin=ORIGIN)).status == 405


async def test_every_answer_forbids_what_could_run(server: Server) -> None:
    answers = [
        await server.ask(server.path, cookie=server.cookie),
        await server.ask(server.path),
        await server.ask("/", host="evil.example"),
        await server.ask(f"/enter?token={server.token}"),
    ]
    for answer in answers:
        assert answer.headers["content-security-policy"].startswith("default-src 'none';")
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answers[0].headers["cache-control"] == "private"  # an answer's own word counts
    assert answers[1].headers["cache-control"] == "no-store"


async def test_each_run_has_other_secrets() -> None:
    one, other = Server(), Server()
    assert len({one.token, other.token, one.cookie, other.cookie, one.path, other.path, one.session.form}) == 7
    assert (await one.ask(other.path, cookie=other.cookie)).status == 403
