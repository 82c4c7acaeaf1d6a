"""A drive with a cloud peer in this process, a link to it, and readers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import trio

from hyperfs.crypto.keys import DeviceKeys
from hyperfs.sharing import making
from hyperfs.sharing import store as stores
from hyperfs.sharing.link import Link
from hyperfs.sharing.reader import Reader
from hyperfs.sharing.strong import show_linked
from hyperfs.volume.advancing import Advanced
from hyperfs.volume.opening import open_volume
from hyperfs.volume.options import Options
from hyperfs.volume.volume import Volume
from tests.syncing.conftest import Server, Side, _nobody_waits, running
from tests.volume.conftest import Store, empty_store, read_file, store, write_file

__all__ = ["_nobody_waits", "empty_store", "store"]

LONG = Random(5).randbytes(300_000)


def no_progress(what: str, done: int, of: int) -> None:
    """Nobody watches."""


def link_of(side: Side, version: int | None = None) -> Link:
    addresses = [server.known.address for server in side.servers.values()]
    if version is None:
        return making.link_to(side.volume, addresses)
    return making.link_to_version(side.volume, addresses, version)


class Machine:
    """A reader's: what it knows of the drive came by the link. `shown`: what the kernel was told."""

    def __init__(self, path: Path, link: Link) -> None:
        self.path = path
        self.link = link
        self.keys = DeviceKeys(*(Random(f"{path}{n}").randbytes(32) for n in range(4)))
        self.shown: list[Advanced] = []

    async def bring(self) -> None:
        await stores.bring_store(self.link, self.path, lambda: (self.keys, b"keys"), no_progress)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[tuple[Volume, Reader]]:
        options = Options(link_keys=stores.keys_in(self.link), memory_index=True)
        volume = open_volume(self.path, self.keys, options)
        if self.link.version is not None:
            try:
                show_linked(volume, self.link)
            except BaseException:
                volume.parts.close()
                raise
        reader = Reader(volume, self.link, self._show, self.link.version is None)
        async with volume.running(), trio.open_nursery() as nursery:
            volume.returning.elsewhere = reader
            nursery.start_soon(reader.run)
            yield volume, reader
            nursery.cancel_scope.cancel()

    async def _show(self, found: Advanced) -> None:
        await trio.lowlevel.checkpoint()
        self.shown.append(found)


async def read(volume: Volume, path: bytes) -> bytes:
    async def look() -> bytes:
        return read_file(volume, path)

    return await volume.returning.complete(look)


async def until_version(volume: Volume, version: int) -> None:
    """The test's timeout is the bound."""
    while volume.versions.newest.version < version:
        await trio.sleep(0.01)


async def written(side: Side, path: bytes, data: bytes) -> int:
    """A version with this file, which the peers have."""
    await write_file(side.volume, path, data)
    version = (await side.volume.commit()).version
    await side.synced()
    return version


@asynccontextmanager
async def owned(
    store: Store, folders: Path, servers: dict[str, Server] | None = None, name: str = "cloud"
) -> AsyncIterator[Side]:
    """A drive that has a long and a short file, at a peer."""
    async with running(store, name, folders=folders, servers=servers) as side:
        await written(side, b"/long", LONG)
        await written(side, b"/short", b"one")
        yield side
