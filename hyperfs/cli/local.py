"""A store that is not mounted, opened in the command's own process."""

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import trio

from hyperfs.crypto.keys import RootSeed
from hyperfs.daemon import requests
from hyperfs.daemon.client import Progress
from hyperfs.daemon.drive import Drive
from hyperfs.daemon.wire import Message
from hyperfs.errors import HyperfsError
from hyperfs.volume.enrolling import check_root
from hyperfs.volume.volume import Volume


class Local:
    """Runs the volume in a thread with an event loop, and answers requests as a mounted drive's process would.

    A context manager: on the way out the volume is committed and closed.
    """

    def __init__(self, store: Path, volume: Volume) -> None:
        self._drive = Drive(volume, store)
        self._thread = threading.Thread(target=self._run, name="volume")
        self._started = threading.Event()
        self._token: trio.lowlevel.TrioToken | None = None
        self._stop: trio.Event | None = None
        self._failure: BaseException | None = None

    def take_root(self, root: RootSeed) -> None:
        """For requests that only the root may make. Raises BadRecoveryKey for another drive's."""
        check_root(self._drive.volume.parts.chain, root)
        self._drive.root = root

    def request(self, name: str, params: Message | None = None, progress: Progress | None = None) -> Message:
        async def tell(what: str, done: int, of: int) -> None:
            if progress is not None:
                progress(what, done, of)

        scope = trio.CancelScope()
        over = threading.Event()

        async def ask() -> Message:
            try:
                with scope:
                    return await requests.answer(self._drive, name, params or {}, tell)
            finally:
                over.set()
            raise HyperfsError(f"{name} was interrupted")

        assert self._token is not None
        try:
            return trio.from_thread.run(ask, trio_token=self._token)
        except KeyboardInterrupt:
            # What works for the request in a thread uses the volume: it must have stopped before that is closed.
            self._token.run_sync_soon(scope.cancel)
            over.wait()
            raise

    def _run(self) -> None:
        try:
            trio.run(self._serve)
        except BaseException as error:  # noqa: BLE001  # raised again by whoever waits for this thread
            self._failure = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        async with self._drive.volume.running():
            self._stop = trio.Event()
            self._token = trio.lowlevel.current_trio_token()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._drive.cold.run, False)  # brings nothing anywhere, but fetches
                nursery.start_soon(self._drive.peers.run, False)
                self._started.set()
                await self._stop.wait()
                nursery.cancel_scope.cancel()

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        if self._token is None:
            self._join()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._token is not None
        assert self._stop is not None
        self._token.run_sync_soon(self._stop.set)
        self._join()

    def _join(self) -> None:
        self._thread.join()
        if self._failure is not None:
            raise self._failure
