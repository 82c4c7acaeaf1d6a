"""One shared folder of a mounted drive: its own drive is open beside that, kept equal to the folder, and synced to the
same peers."""

import logging
import math
from collections.abc import Sequence
from typing import Any, Final

import trio

from hyperfs.daemon.drive import Drive
from hyperfs.daemon.retention import Clocks, Retention, paced
from hyperfs.daemon.wire import Tell
from hyperfs.errors import HyperfsError, KeyMissing, innermost
from hyperfs.replication.client import PeerClient
from hyperfs.sharing.folder_store import FolderStore, ShareRecord, keys_of
from hyperfs.sharing.mirror import Done, Mirror
from hyperfs.syncing import chain_sync, settings
from hyperfs.syncing.dialling import asked
from hyperfs.syncing.settings import Known
from hyperfs.syncing.trouble import Kind
from hyperfs.volume.moving import Mover

PAUSE_SECONDS: Final = 1.0
"""Between two turns."""
RETRY_SECONDS: Final = 15.0
LOOK_SECONDS: Final = 60.0
"""So often it is looked whether a peer has forgotten it."""

log = logging.getLogger("hyperfs.sharing")


class SharedFolder:
    """Owned by the trio thread. `run` must be running."""

    def __init__(self, source: Drive, store: FolderStore, record: ShareRecord) -> None:
        self._source = source
        self.store = store
        self.record = record
        self.drive: Drive | None = None
        """Its own, while it is open."""
        self.done: Done | None = None
        """The last turn."""
        self.trouble: str | None = None
        """Why it is not equal to the folder."""
        self.refused: dict[str, str] = {}
        """By peer, why that does not take it in."""
        self.closed = trio.Event()
        self._scope = trio.CancelScope()
        self._moved = trio.Event()

    # Running

    async def run(self) -> None:
        """Until it is cancelled or ended. What goes wrong is `trouble` and not the end of the mount."""
        try:
            with self._scope:
                await self._run()
        except KeyMissing:
            self.trouble = "another device of the drive had shared it: end it with --stop, then share it anew here"
        except Exception as error:  # whatever it is must not end the drive
            log.error("the folder %s is not mirrored", self.store.path.name, exc_info=error)
            self.trouble = str(innermost(error))
        finally:
            self.drive = None
            self.closed.set()
            self._tell()

    def end(self) -> None:
        """`closed` is set when its drive is closed."""
        self._scope.cancel()

    async def _run(self) -> None:
        source = self._source.volume
        volume = await trio.to_thread.run_sync(self.store.open, source.parts.transport)
        async with volume.running(is_copy=True):
            drive = Drive(volume, self.store.path)
            home, above = drive.peers.home, self._source.peers.home
            home.up, home.down, home.used_ago = above.up, above.down, above.used_ago
            secret = keys_of(source.parts.transport, self.store.salt).secret
            mirror = Mirror(source, volume, self.record.folder, secret)
            self.drive = drive
            drive.mover = Mover(volume)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(drive.peers.run)
                nursery.start_soon(drive.mover.run, paced())
                nursery.start_soon(Retention(drive, Clocks(volume.overlay.now_ns)).run)
                nursery.start_soon(self._keep_equal, mirror)
                nursery.start_soon(self._keep_admitted, drive)

    def _tell(self) -> None:
        moved, self._moved = self._moved, trio.Event()
        moved.set()

    async def moved(self) -> None:
        """Returns when anything here is otherwise."""
        await self._moved.wait()

    # Equal to the folder

    async def _keep_equal(self, mirror: Mirror) -> None:
        source = self._source.volume
        while True:
            made, wait = source.committer.made, math.inf
            try:
                self.done = await mirror.turn(frozenset(settings.known(source)))
                self.trouble = None
            except (HyperfsError, OSError) as error:
                log.warning("the folder %s is not mirrored at the moment: %s", self.store.path.name, error)
                self.trouble, wait = str(error), RETRY_SECONDS
            self._tell()
            with trio.move_on_after(wait):
                await made.wait()
            await trio.sleep(PAUSE_SECONDS)

    # At the peers of the drive

    async def _keep_admitted(self, drive: Drive) -> None:
        """The drive's own peers are those of the drive that the folder is in, once they have let it in."""
        admitted: dict[str, Known] = {}
        while True:
            changed = self._source.peers.home.proven
            drive.peers.set_limits(self._source.peers.limits)
            known = settings.known(self._source.volume)
            for name in [name for name in admitted if name not in known]:
                del admitted[name]
                drive.peers.remove(name)
            for name, peer in known.items():
                if admitted.get(name) != peer or self._is_unknown_at(drive, name):
                    await self._have_admitted(drive, peer, admitted)
            with trio.move_on_after(RETRY_SECONDS if self.refused else LOOK_SECONDS):
                await changed.wait()
            await trio.sleep(PAUSE_SECONDS)

    def _is_unknown_at(self, drive: Drive, name: str) -> bool:
        peer = drive.peers.peer(name)
        return peer is not None and peer.trouble is not None and peer.trouble.kind is Kind.NOT_HELD

    async def _have_admitted(self, drive: Drive, peer: Known, admitted: dict[str, Known]) -> None:
        source, volume = self._source.volume, drive.volume

        async def admit(client: PeerClient) -> None:
            await client.admit(source.drive_id, volume.drive_id)
            await chain_sync.meet(client, volume.parts.chain)

        try:
            await asked(self._source.peers.home, peer, admit)
        except HyperfsError as error:
            self.refused[peer.name] = str(error)
        else:
            self.refused.pop(peer.name, None)
            admitted[peer.name] = peer
            drive.peers.add(peer)
        self._tell()

    async def until_synced(self, version: int, names: Sequence[str], tell: Tell) -> None:
        """Returns when these peers have attested all that it was in a version of the drive; at once where that can't be
        now, which `words` tell. Raises as Peers.until_synced."""
        while (self.done is None or self.done.version < version) and self.trouble is None:
            await self.moved()
        drive = self.drive
        while drive is not None and self.words() is None and not all(map(drive.peers.peer, names)):
            await self.moved()
        if drive is None or drive.mover is None or self.words() is not None:
            return
        await drive.mover.looked()
        await drive.peers.until_synced(names, tell)

    # In words

    async def facts(self) -> dict[str, Any]:
        """For programs. `behind_bytes`: by peer, what has not arrived there yet."""
        drive, done = self.drive, self.done
        behind: dict[str, int | None] = dict.fromkeys(self.refused)
        for peer in drive.peers.all() if drive is not None else ():
            await peer.refresh()
            behind[peer.name] = peer.lag()[1]
        return {
            "bytes": drive.volume.overlay.file_bytes if drive is not None else None,
            "files": drive.volume.overlay.files if drive is not None else None,
            "version": done.version if done is not None else None,
            "is_there": done is None or done.is_there,
            "behind_bytes": behind,
            "trouble": self.words(),
        }

    def words(self) -> str | None:
        """What is wrong."""
        if self.trouble is not None:
            return self.trouble
        if self.done is not None and not self.done.is_there:
            return "the folder is not there any more: what was shared last is shown until --stop"
        if self.done is not None and not self.done.may_go:
            return "its policy 'places' keeps it from a peer: nothing of it is shown"
        return next(iter(self.refused.values()), None)

