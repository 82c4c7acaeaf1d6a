"""All shared folders of a mounted drive: kept equal while it is mounted; shared and ended by requests."""

import logging
import os
import shutil
from typing import TYPE_CHECKING, Final

import trio

from hyperfs.daemon.shared_folder import SharedFolder
from hyperfs.errors import Corrupt, FormatTooNew, HyperfsError, Refused
from hyperfs.replication.client import PeerClient
from hyperfs.sharing import folder_store
from hyperfs.sharing.folder_store import FolderStore, ShareRecord
from hyperfs.syncing import settings
from hyperfs.syncing.dialling import asked
from hyperfs.volume.inode import Inode

if TYPE_CHECKING:
    from hyperfs.daemon.drive import Drive

MOST_FOLDERS: Final = 32
"""Each is a drive of its own, open beside this one."""
TELL_AGAIN_SECONDS: Final = 600.0

log = logging.getLogger("hyperfs.sharing")


class SharedFolders:
    """Owned by the trio thread. `run` must be running."""

    def __init__(self, drive: "Drive") -> None:
        self._drive = drive
        self._folders: dict[str, SharedFolder] = {}  # by the store's name
        self._nursery: trio.Nursery | None = None
        self._making = trio.Lock()
        self._ending = trio.Lock()  # one at a time takes ended ones away

    async def run(self) -> None:
        """Until it is cancelled."""
        async with trio.open_nursery() as self._nursery:
            for store in folder_store.stores_in(self._drive.store):
                if not store.is_made and not store.is_ended:
                    await trio.to_thread.run_sync(shutil.rmtree, store.path)  # its making was killed
                elif not store.is_ended:
                    self._begin(store)
            await self._keep_telling()

    def _begin(self, store: FolderStore, record: ShareRecord | None = None) -> SharedFolder | None:
        try:
            found = SharedFolder(self._drive, store, record if record is not None else store.record())
        except (Corrupt, FormatTooNew, OSError) as error:
            log.error("a shared folder can't be opened: %s", error)
            self._drive.volume.warnings[f"share-{store.path.name}"] = f"a shared folder can't be opened: {error}"
            return None
        self._folders[store.path.name] = found
        assert self._nursery is not None
        self._nursery.start_soon(found.run)
        return found

    def all(self) -> list[SharedFolder]:
        return sorted(self._folders.values(), key=lambda found: found.record.made_ns)

    def of(self, ino: int) -> SharedFolder | None:
        return next((found for found in self._folders.values() if found.record.folder == ino), None)

    def that_lay_at(self, path: bytes) -> SharedFolder | None:
        """One whose folder is gone, and was shared under this path."""
        gone = (found for found in self.all() if found.done is not None and not found.done.is_there)
        return next((found for found in gone if found.record.path == path), None)

    async def share(self, folder: Inode, path: bytes) -> SharedFolder:
        """Begins to keep it equal; the one that is shared already. Raises Refused, OSError."""
        async with self._making:
            found = self.of(folder.ino)
            if found is not None:
                return found
            if len(self._folders) >= MOST_FOLDERS:
                raise Refused(f"{MOST_FOLDERS} folders of this drive are shared: 'hyperfs share --stop' ends one")
            volume, store = self._drive.volume, folder_store.new_store(self._drive.store)
            record = ShareRecord(folder.ino, volume.overlay.now_ns(), path)
            await trio.to_thread.run_sync(store.make, volume.parts.transport, folder, record)
            begun = self._begin(store, record)
            assert begun is not None
            return begun

    def warnings(self) -> list[str]:
        found = ((os.fsdecode(folder.record.path), folder.words()) for folder in self.all())
        return [f"the shared folder {path!r}: {words}" for path, words in found if words is not None]

    async def stop(self, folder: SharedFolder) -> list[str]:
        """It is not kept equal any more, and what it took goes, here and at all peers; those that could not be told.
        They are tried again."""
        folder.end()
        await folder.closed.wait()
        async with self._ending:
            del self._folders[folder.store.path.name]
            await trio.to_thread.run_sync(folder.store.end)
            return await self._tell_of(folder.store)

    async def _tell_of(self, store: FolderStore) -> list[str]:
        """Has the peers let go of what was ended."""
        part, failed = store.ended_drive(), []

        async def dismiss(client: PeerClient) -> None:
            assert part is not None
            await client.dismiss(self._drive.volume.drive_id, part)

        for known in settings.known(self._drive.volume).values() if part is not None else ():
            try:
                await asked(self._drive.peers.home, known, dismiss)
            except Refused as error:
                log.info("the peer %s: %s", known.name, error)  # it does not hold it
            except HyperfsError as error:
                log.warning("the peer %s was not told that a folder is not shared any more: %s", known.name, error)
                failed.append(known.name)
        if not failed:
            await trio.to_thread.run_sync(store.remove)
        return failed

    async def _keep_telling(self) -> None:
        while True:
            async with self._ending:
                for store in folder_store.stores_in(self._drive.store):
                    if store.is_ended:
                        await self._tell_of(store)
            await trio.sleep(TELL_AGAIN_SECONDS)
