"""The control socket under nonsense: the drive lives on, answers the next good request, and blames nobody's code."""

import json
import os
import random
import socket
import threading
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from hyperfs import errors
from hyperfs.daemon import client, requests, wire
from hyperfs.daemon.drive import Drive
from hyperfs.daemon.server import MOST_CONNECTIONS, ControlSocket
from hyperfs.errors import HyperfsError
from hyperfs.volume.creating import create_store
from tests import tally
from tests.volume.conftest import DRIVE, Store, make_folder, write_file

from .mutations import EXTREMES, changed, steps_of

LONG = os.environ.get("HYPERFS_ALL") == "1"
REQUESTS = int(os.environ.get("HYPERFS_FUZZ_REQUESTS", "3000" if LONG else "300"))
"""A thread, of three."""
SEED = int(os.environ.get("HYPERFS_FUZZ_SEED", "1"))
OURS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, HyperfsError)}
TEXTS = ("", "file", "folder", "folder/file", "/", "..", ".versions", "a\0b", "\ud800", "\udcff", "x" * 300, "é" * 90)
WHENS = ("1", "2", "@1", "@99999999999", "yesterday", "now", "2026-11-21", "\ud800", "release", "10 years ago", "")
SECONDS = 60.0


async def serving(store: Store, work: Callable[[], None]) -> None:
    """`work` in a thread while a drive with a folder and files answers on its socket."""
    make = partial(create_store, store.path, DRIVE, b"no key file is read here", store.options())
    await trio.to_thread.run_sync(make)
    async with store.opened() as volume:
        make_folder(volume, b"folder")
        await write_file(volume, b"file", b"one")
        await write_file(volume, b"folder/file", bytes(100_000))
        await volume.make_snapshot(1, b"release")
        await write_file(volume, b"file", b"two")
        control = ControlSocket(store.path)
        drive = Drive(volume, store.path)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(control.serve, partial(requests.answer, drive))
                await trio.to_thread.run_sync(work)
                nursery.cancel_scope.cancel()
        finally:
            control.close()


def _value(source: random.Random, depth: int = 0) -> Any:
    """Anything that JSON can say, Python's own NaN and half surrogates included."""
    kinds = 7 if depth < 3 else 5
    match source.randrange(kinds):
        case 0:
            return source.choice((*TEXTS, *WHENS))
        case 1:
            return source.choice(EXTREMES) * source.choice((1, -1))
        case 2:
            return source.choice((None, True, False, 0.5, -1e308, float("nan"), float("inf")))
        case 3:
            return source.randrange(5)
        case 4:
            return 10 ** source.randrange(400)
        case 5:
            return [_value(source, depth + 1) for _ in range(source.randrange(4))]
        case _:
            return {source.choice(TEXTS): _value(source, depth + 1) for _ in range(source.randrange(4))}


def _request(source: random.Random) -> dict[str, Any]:
    params: dict[str, Any] = {
        "path": source.choice(TEXTS),
        "name": source.choice(TEXTS),
        "when": source.choice(WHENS),
        "old": source.choice(WHENS),
        "new": source.choice(WHENS),
        "limit": source.randrange(5),
        "version": source.randrange(5),
        "ino": source.choice((0, 1, 2, 3, (1 << 48) + 2, (1 << 48) + 3)),
        "offset": source.choice((0, 1, 10**6)),
    }
    if source.random() < 0.3:
        params["to"] = source.choice(TEXTS)
    for _ in range(source.randrange(3)):
        name = source.choice(sorted(params))
        params[name] = _value(source)
        if source.random() < 0.2:
            del params[name]
    # "end" is asked in a test of its own: it answers when the drive has ended.
    name = source.choice(sorted(set(requests.TABLE) - {"end"}))
    return {"request": name, "params": params} if source.random() < 0.95 else {name: _value(source)}


def _line(source: random.Random) -> bytes:
    """What is sent: mostly a request, else one that was damaged, or something far from any."""
    good = wire.encode(_request(source))
    if source.random() < 0.7:
        return good
    return source.choice(
        [
            changed(good, steps_of(source), [good]),
            good[:-1],
            b"[" * 100_000 + b"\n",
            b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"\n",
            b'{"request": ' + b"9" * 5_000 + b"}\n",
            b"\xff\xfe" + good,
            b"\n\n\n",
            source.randbytes(200) + b"\n",
            b"x" * (wire.MAX_REQUEST_BYTES + 100_000),
        ]
    )


def _check(line: bytes) -> None:
    """An answer is one of the three; an error is one of ours or the system's, never a fault of the code."""
    message = json.loads(line)
    assert isinstance(message, dict), line
    if "error" in message:
        kind = message["error"]["kind"]
        builtin = getattr(__builtins__, kind, None) if not isinstance(__builtins__, dict) else __builtins__.get(kind)
        assert kind in OURS or (isinstance(builtin, type) and issubclass(builtin, OSError)), line[:500]
    else:
        assert message.keys() & {"result", "progress", "hyperfs"}, line[:500]


def _converse(store: Path, source: random.Random, count: int) -> None:
    """`count` lines over connections that are closed sooner or later, with and without reading."""
    done = 0
    while done < count:
        with socket.socket(socket.AF_UNIX) as raw, raw.makefile("rb") as answers:
            raw.settimeout(SECONDS)
            raw.connect(str(store / "socket"))
            try:
                if source.random() < 0.97:
                    raw.sendall(wire.encode(wire.hello()))
                    _check(answers.readline())
                for _ in range(source.randrange(1, 12)):
                    line = _line(source)
                    done += 1
                    raw.sendall(line)
                    if not line.endswith(b"\n") or source.random() < 0.05:
                        break  # goes away without a word
                    while (answer := answers.readline()) and b'"progress"' in answer[:12]:
                        _check(answer)
                    if not answer:
                        break
                    _check(answer)
            except (BrokenPipeError, ConnectionResetError):
                continue  # it had enough


def _answers_still(store: Path) -> None:
    with client.connect(store) as drive:
        assert drive.check_version().begin().request("status")["version"] >= 1


@pytest.mark.timeout(300 + REQUESTS // 5)
async def test_any_requests_from_many_connections_at_once(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def one(number: int) -> None:
        source = random.Random(f"{SEED} {number}")
        try:
            for _ in range(0, REQUESTS, 50):
                _converse(tmp_path / "store", source, 50)
                _answers_still(tmp_path / "store")
        except BaseException as error:  # noqa: BLE001  # raised again by the test's own thread
            failures.append(error)

    def work() -> None:
        threads = [threading.Thread(target=one, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    await serving(Store(tmp_path / "store"), work)
    if failures:
        raise failures[0]
    tally.add("lines sent to a control socket", 3 * REQUESTS, seed=SEED)


async def test_long_lines_on_many_connections_take_bounded_memory(tmp_path: Path) -> None:
    def work() -> None:
        open_: list[socket.socket] = []
        piece = b"x" * (wire.MAX_REQUEST_BYTES // 4)
        tracemalloc.start()
        try:
            for _ in range(MOST_CONNECTIONS):
                raw = socket.socket(socket.AF_UNIX)
                open_.append(raw)
                raw.settimeout(SECONDS)
                raw.connect(str(tmp_path / "store/socket"))
                raw.sendall(wire.encode(wire.hello()) + piece)  # and never the line's end
                raw.recv(1000)
            # The next is told that there are too many, and when one has gone it is let in.
            with pytest.raises(HyperfsError, match="programs talk to the drive already"):
                client.connect(tmp_path / "store")
            open_.pop().close()
            _answers_soon(tmp_path / "store")
            used = tracemalloc.get_traced_memory()[0]
            assert used < 2 * MOST_CONNECTIONS * len(piece) + (8 << 20)
        finally:
            tracemalloc.stop()
            for raw in open_:
                raw.close()

    await serving(Store(tmp_path / "store"), work)


def _answers_soon(store: Path) -> None:
    """The server learns of a closed connection when its turn comes."""
    while True:
        try:
            _answers_still(store)
        except HyperfsError:
            continue
        return


async def test_who_waits_for_the_end_and_goes_away_takes_no_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "STILL_THERE_SECONDS", 0.01)

    def work() -> None:
        for _ in range(2 * MOST_CONNECTIONS):
            while True:
                try:
                    drive = client.connect(tmp_path / "store")
                except HyperfsError:
                    continue  # until the server has learned that others have gone
                break
            with drive:
                drive.begin().ask("end")
        _answers_soon(tmp_path / "store")

    await serving(Store(tmp_path / "store"), work)
