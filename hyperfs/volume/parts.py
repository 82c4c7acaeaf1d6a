"""What an open volume is made of, and how it is closed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hyperfs.chunks.chunkstore import ChunkStore
from hyperfs.crypto.keys import BoxKeyPair, EpochKeys
from hyperfs.crypto.seal import Sealer
from hyperfs.log.control import Chain
from hyperfs.log.heads import Signer
from hyperfs.log.log import Log
from hyperfs.store.files import Disk
from hyperfs.store.folder import StoreLock
from hyperfs.store.journal import Journal
from hyperfs.volume.catalog import Catalog
from hyperfs.volume.commit import Committer
from hyperfs.volume.content import Content
from hyperfs.volume.files import Files
from hyperfs.volume.journaling import Journaling
from hyperfs.volume.namespace import Namespace
from hyperfs.volume.nodes import Nodes
from hyperfs.volume.overlay import Overlay
from hyperfs.volume.residence import Residence
from hyperfs.volume.versions import Versions


@dataclass
class Parts:
    """Made by `opening`; owned by the volume."""

    drive_id: bytes
    device: int
    read_only: bool
    why_read_only: str | None  # the drive takes no writes from this device, and why
    link_keys: Mapping[int, EpochKeys] | None  # of a drive that is open by a link: what the link opens
    keeps: bool  # whether the store's files may be written, if only by what comes from elsewhere
    disk: Disk
    lock: StoreLock | None
    chain: Chain
    sealer: Sealer
    epochs_of: Callable[[Chain], Mapping[int, EpochKeys]]  # of a chain: those that this machine has the keys of
    logs: dict[int, Log]
    residence: Residence
    metadata_number: int
    newest_at: tuple[int, int]  # log and block of the version with which it was opened, or that is followed now
    journal: Journal
    catalog: Catalog
    nodes: Nodes
    chunkstore: ChunkStore
    overlay: Overlay
    names: Namespace
    files: Files
    content: Content
    journaling: Journaling
    committer: Committer
    versions: Versions
    node_id_key: bytes
    signer: Signer  # the device's own, for the control chain
    transport: BoxKeyPair  # by which other machines know the device
    replayed: bool  # the journal held something that no commit does
    warnings: dict[str, str] = field(default_factory=dict)

    @property
    def metadata_log(self) -> Log:
        return self.logs[self.metadata_number]

    def close(self) -> None:
        """Closes every file and lets the lock go; syncs nothing."""
        self.journal.close()
        for log in self.logs.values():
            log.close()
        self.catalog.close()
        if self.lock is not None:
            self.lock.release()
