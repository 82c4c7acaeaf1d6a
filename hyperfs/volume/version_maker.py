"""Makes versions by itself, whenever one is due, and says what keeps it from that."""

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from hyperfs.errors import Corrupt, FormatTooNew, SyncFailed
from hyperfs.volume.catalog import Catalog
from hyperfs.volume.commit import Committer
from hyperfs.volume.due import Due
from hyperfs.volume.journaling import Journaling

SETTLED_SECONDS: Final = 1.0
"""A state in which a file stood closed for so long is a version."""
SETTLED_NS: Final = int(SETTLED_SECONDS * 1e9)
OPEN_SECONDS: Final = 5.0
"""A file that is kept open and written is written back and committed this often; promised are ten seconds."""
RETRY_SECONDS: Final = 5.0

WriteBack = Callable[[], Awaitable[None]]


class VersionMaker:
    """What is due, and the task that makes it. Trio thread only. `warnings` are the volume's: two of them are ours."""

    def __init__(
        self, committer: Committer, journaling: Journaling, catalog: Catalog, warnings: dict[str, str]
    ) -> None:
        self._committer = committer
        self._journaling = journaling
        self._catalog = catalog
        self._warnings = warnings
        self._due = Due()
        self._making = False
        self.write_back: WriteBack | None = None
        """Has the kernel send what it holds; set by a mount."""
        self.writers = 0
        """Open handles for writing."""

    @property
    def version_waits(self) -> bool:
        """Whether a version is due, or being made."""
        due = self._due.at
        return self._making or (due is not None and trio.current_time() >= due)

    def settled(self) -> None:
        """Something changed that is whole in itself: a name, attributes, a closed file."""
        self._due.within(SETTLED_SECONDS)

    def written(self) -> None:
        """An open file changed."""
        self._due.within(OPEN_SECONDS)

    def at_once(self) -> None:
        """A version is due now."""
        self._due.within(0)

    def is_settled(self, age_ns: int) -> bool:
        """Whether a state of a closed file that lasted so long is to be a version."""
        return age_ns >= SETTLED_NS

    async def run(self) -> None:
        """Commits whenever a version is due; never returns."""
        while True:
            if self._due.at is None:
                await self._due.changed.wait()
            self._due.changed = trio.Event()
            at = self._due.at
            assert at is not None
            with trio.move_on_at(at):
                await self._due.changed.wait()
                continue  # something is due earlier
            self._due.at = None
            self._making = True
            try:
                await self._make()
            finally:
                self._making = False

    async def _make(self) -> None:
        try:
            if self.write_back is not None and self.writers:
                await self.write_back()
            await self._committer.commit()
        except SyncFailed as error:
            self._journaling.read_only_because = f"a sync of the store failed ({error}); remount to go on"
            self._warnings["commit"] = self._journaling.read_only_because
        except OSError as error:
            self._warnings["commit"] = (
                f"the newest changes could not be made a version: {error.strerror or error}. "
                "They are kept and it is tried again; make room on the disk of the store if it is full"
            )
            self._due.within(RETRY_SECONDS)
        except (Corrupt, FormatTooNew) as error:
            # Not the end of the mount: all else stays readable, and what is fsynced is in the journal.
            self._warnings["commit"] = (
                f"the newest changes could not be made a version, since a part of the drive is damaged: {error}. "
                "Copy out what is new; `hyperfs verify` says what is touched"
            )
            self._due.within(RETRY_SECONDS)
        else:
            self._warnings.pop("commit", None)
            self._note_index()
            await self._committer.restore_reserve()
            if self.writers:
                self._due.within(OPEN_SECONDS)  # what the kernel holds for them comes only when asked for

    def _note_index(self) -> None:
        trouble = self._catalog.trouble
        if trouble:
            self._warnings["index-writes"] = f"the index can't be written and is kept in memory ({trouble})"
        else:
            self._warnings.pop("index-writes", None)
