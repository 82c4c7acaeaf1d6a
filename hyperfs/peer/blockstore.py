"""Where a cloud peer's bytes lie: records and logs of any number of drives. Types only.

Two operations make something durable: `write` of a record, which is then the old one or the new one, whole; and `sync`
of a log. Nothing is written in the middle of something, so immutable objects and a conditional put can do all of it:
an object store collects what is kept and puts it at `sync`, blocks first, the head last.

Implementations: FolderStore (files) and MemoryStore; tests/peer/test_blockstore.py runs on both.
"""

from typing import NamedTuple, Protocol

from hyperfs.log.held import Taking


class Place(NamedTuple):
    """One fork of a log of a drive. `log` is the log's discovery key."""

    drive: bytes
    log: bytes
    fork: int


OWN = b""
"""In the place of a drive's id: the records of the peer itself."""


class StoredLog(Taking, Protocol):
    """The blocks of one place. One thread at a time. After an OSError it is spent: close it and open it again."""

    def clear(self, start: int, end: int) -> None:
        """Give up blocks [start, end), those too that were kept and not synced. Durable. If it is killed they are not
        had; again frees the rest."""

    def forget(self, start: int, end: int) -> None:
        """Blocks [start, end) are not had any more. Durable. For damaged ones, which may then come again."""

    def damaged(self, start: int, end: int) -> list[int]:
        """Blocks in [start, end) that are had and are not as signed, found by reading them all."""

    def prefix_hash(self, length: int) -> bytes:
        """The tree hash at an earlier length. NotResident where a node for it has not come."""

    def size_on_disk(self) -> int:
        """Bytes that this takes, for quotas."""


class BlockStore(Protocol):
    def drives(self) -> list[bytes]:
        """Ids of drives of which there is a record, ascending."""

    def names(self, owner: bytes) -> list[str]:
        """Records of a drive or OWN, ascending."""

    def read(self, owner: bytes, name: str) -> bytes | None:
        """A record, durable though the `write` that put it there may have failed; None if there is none."""

    def write(self, owner: bytes, name: str, data: bytes) -> None:
        """Put a record in the place of what it was. Durable when it returns. Names are [a-z0-9-]+."""

    def discard(self, owner: bytes, name: str) -> None:
        """A record goes, durably; nothing happens where there is none."""

    def places(self, drive: bytes) -> list[Place]:
        """Where something was synced, ascending."""

    def open(self, place: Place, public_key: bytes, number: int) -> StoredLog:
        """A place, with all that was synced there, or empty: then nothing is made before something is kept. One open
        log a place at a time."""

    def remove(self, place: Place) -> None:
        """All of a place goes; durable. It must not be open."""

    def size_of(self, place: Place) -> int:
        """As StoredLog.size_on_disk, of a place that need not be open."""

    def free_bytes(self) -> int:
        """How much may still be written; a very large number where nothing says."""

    def close(self) -> None: ...
