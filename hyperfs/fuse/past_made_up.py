"""The folders in `.versions` that no version has: `.files`, `.files/NAME` and `.deleted`."""

from collections.abc import Iterator
from functools import partial

from hyperfs.errors import NotFound
from hyperfs.fuse.listing import Item, Listing
from hyperfs.fuse.past_deleted import DeletedThings
from hyperfs.fuse.past_files import FileStates, Resolve, Shown
from hyperfs.fuse.past_node import DELETED, FILES, PastNode
from hyperfs.volume.changes import DIRECTORY
from hyperfs.volume.file_states import Spot
from hyperfs.volume.volume import Volume


class MadeUp:
    """What is asked of such a node, and of any other nothing. `prepare` it before a lookup or a listing."""

    def __init__(self, volume: Volume, resolve: Resolve) -> None:
        self._volume = volume
        self._files = FileStates(volume, resolve)
        self._deleted = DeletedThings(volume)

    async def prepare(self, node: PastNode) -> None:
        if node.file is not None:
            await self._files.prepare(Spot(node.directory, node.file))
        elif node.is_made_up and not node.is_versions:
            await self._volume.changes.caught_up()

    async def look_again(self, node: PastNode) -> bool:
        """Whether there may be more in a node than there was a moment ago: what was just deleted is so in no version
        before that is made."""
        return node.is_made_up and node.entry == DELETED and await self._deleted.catch_up()

    def lookup(self, node: PastNode, name: bytes) -> Shown | None:
        """What an entry is; None for a folder that is made up. Raises NotFound."""
        if node.entry == FILES:
            if not self._files.exists(Spot(node.directory, name)):
                raise NotFound(f"no file was ever called {name!r} here")
            return None
        if node.file is not None:
            shown = self._files.find(Spot(node.directory, node.file), name)
        else:
            found = self._deleted.find(node.directory, name)
            shown = Shown(found.version, found.went.ino)
        self._volume.look(shown.version)
        return shown

    async def listing(self, node: PastNode) -> Listing:
        if node.entry == DELETED:
            return await self._deleted.listing(node.directory)
        return Listing(partial(self._names, node))

    def _names(self, node: PastNode, item: Item | None) -> Iterator[Item]:
        if node.file is not None:
            yield from self._files.names(Spot(node.directory, node.file), 0 if item is None else item[1])
            return
        for name, (ino, kind) in self._volume.overlay.live.dentries(node.directory, b"" if item is None else item[0]):
            if kind != DIRECTORY:
                yield name, ino
