"""A cloud peer without its network: any number of drives that it holds and can't read."""

from collections.abc import Container, Iterator
from typing import Final

from hyperfs.errors import Corrupt, HyperfsError, Refused
from hyperfs.log.heads import Signer
from hyperfs.log.receipt import SignedReceipt
from hyperfs.peer import dropping, rules
from hyperfs.peer.account import PART_OF, PartOf, decode_part
from hyperfs.peer.blockstore import OWN, BlockStore
from hyperfs.peer.drive import SETTINGS, HeldDrive
from hyperfs.peer.facts import SHOWN
from hyperfs.peer.lent import LentLog
from hyperfs.peer.settings import Settings

FLOOR_BYTES: Final = 64 << 20
"""Of the disk, kept free of blocks: so that chains, clears and records of what is held can always be written."""


class Peer:
    """One thread at a time. Owns the store."""

    def __init__(
        self, store: BlockStore, signer: Signer, only_listed: bool = False, floor_bytes: int = FLOOR_BYTES
    ) -> None:
        """`signer` signs receipts: see identity. A drive whose records are damaged is in `broken`, with why, and the
        others are served all the same."""
        self.store = store
        self._signer = signer
        self.floor_bytes = floor_bytes
        self.only_listed = only_listed
        self.drives: dict[bytes, HeldDrive] = {}
        self.broken: dict[bytes, str] = {}
        dropping.finish(store)
        for drive in store.drives():
            try:
                self.drives[drive] = HeldDrive(store, drive, floor_bytes)
            except (HyperfsError, OSError) as error:
                self.broken[drive] = str(error)
        for drive in list(self.drives):
            self._count_as_part(drive)

    def _count_as_part(self, drive: bytes) -> None:
        """With the drive that it is part of, if that is here."""
        try:
            if (found := self.store.read(drive, PART_OF)) is None:
                return
            part = decode_part(found)
            of = self.drives.get(part.drive)
            if of is None or of.id == drive or of.account.owner_of(of) is not None:
                raise Corrupt("it is a part of a drive that is not held here any more")
            of.account.join(self.drives[drive], part.device)
        except (HyperfsError, OSError) as error:
            self.broken[drive] = str(error)
            self.drives.pop(drive).close()

    @property
    def key(self) -> bytes:
        """The public key by which devices know the peer."""
        return self._signer.public_key

    def close(self) -> None:
        """What was not synced is forgotten."""
        for drive in self.drives.values():
            drive.close()
        self.store.close()

    def admit(self, drive: bytes, quota_bytes: int | None = None) -> HeldDrive:
        """Hold this drive from now on, or with another quota; durable. What it has comes by sessions."""
        if drive in self.broken:
            raise Refused(f"drive {drive.hex()[:16]} is here and can't be served: {self.broken[drive]}")
        if drive in self.drives:
            self.drives[drive].set_quota(quota_bytes)
        else:
            self.store.write(drive, SETTINGS, Settings(quota_bytes).encode())
            self.drives[drive] = HeldDrive(self.store, drive, self.floor_bytes)
        return self.drives[drive]

    def admit_part(self, of: HeldDrive, device: int, drive: bytes) -> HeldDrive:
        """Hold this drive from now on as a part of another one, in its quota, for one of its devices; durable. Refused
        where it is held here for itself, or `of` is a part."""
        here = self.drives.get(drive)
        if here is not None and here.account.owner_of(here) is of:
            return here
        if drive in self.broken or here is not None or of.account.owner_of(of) is not None:
            raise Refused(f"drive {drive.hex()[:SHOWN]} can't be held here as a part of that one")
        of.account.check_room_for_part()
        self.store.write(drive, PART_OF, PartOf(of.id, device).encode())
        found = self.admit(drive)
        of.account.join(found, device)
        return found

    def dismiss(self, of: HeldDrive, drive: bytes) -> None:
        """All of a part of a drive goes, at once; durable. Refused for what is none."""
        found = self.drives.get(drive)
        if found is None or found.account.owner_of(found) is not of:
            raise Refused(f"drive {drive.hex()[:SHOWN]} is not held here as a part of that one")
        self._forget(drive)
        dropping.erase(self.store, drive)

    def drop(self, drive: bytes) -> tuple[bytes, ...]:
        """A drive and its parts go, at once, whatever is wrong with them; durable. Which ones went. Refused for one
        that is not here. Killed meanwhile, the next opening goes on with it."""
        if drive not in self.store.drives():
            self.store.discard(OWN, dropping.name_of(drive))
            raise Refused(f"drive {drive.hex()[:SHOWN]} is not held here")
        gone = dropping.with_parts(self.store, drive)
        self.store.write(OWN, dropping.name_of(drive), dropping.ASKED)
        for found in gone:
            self._forget(found)
            dropping.erase(self.store, found)
        self.store.discard(OWN, dropping.name_of(drive))
        return tuple(gone)

    def _forget(self, drive: bytes) -> None:
        self.broken.pop(drive, None)
        held = self.drives.pop(drive, None)
        if held is not None:
            held.account.leave(held)
            held.close()

    def lend(
        self,
        log: bytes,
        holds: rules.Holds,
        knows_log_key: bool,
        fork: int | None = None,
        roots: Container[bytes] = (),
    ) -> LentLog:
        """The log of a discovery key, for a session whose other side has proved which transport key it `holds` and, by
        the capability, that it knows the log's key. `roots`: drives whose root it has proved to be; then it may have
        what a listed device may. The same Refused for what is not here and what is not for it."""
        for drive in self._with_log(log):
            is_listed_only = self.only_listed and drive.id not in roots
            if rules.may_replicate(holds, knows_log_key, is_listed_only, drive.chain):
                return drive.lend(log, fork)
        raise Refused(f"the log with discovery key {log.hex()[:16]} is not served to this peer")

    def receipt(self, drive: bytes, log: bytes, challenge: bytes, now_ns: int, start: int = 0) -> SignedReceipt:
        """See HeldDrive.receipt. Refused for a drive that is not held."""
        if drive not in self.drives:
            raise Refused(f"drive {drive.hex()[:16]} is not held here")
        return self.drives[drive].receipt(log, challenge, self._signer, now_ns, start)

    def sweep(self, now_ns: int) -> dict[bytes, str]:
        """HeldDrive.sweep of all; those in which it failed, with why: the others are swept all the same."""
        failed: dict[bytes, str] = {}
        for drive in self.drives.values():
            try:
                drive.sweep(now_ns)
            except (HyperfsError, OSError) as error:
                failed[drive.id] = str(error)
        return failed

    def survey(self) -> dict[bytes, str]:
        """Open every log once, so that facts name them all; the drives of which one can't be opened, with why."""
        failed: dict[bytes, str] = {}
        for drive in self.drives.values():
            try:
                drive.lend_all()
            except (HyperfsError, OSError) as error:
                failed[drive.id] = str(error)
            drive.rest()
        return failed

    def rest(self) -> None:
        """HeldDrive.rest of all: for when the process has many files open."""
        for drive in self.drives.values():
            drive.rest()

    def _with_log(self, log: bytes) -> Iterator[HeldDrive]:
        return (drive for drive in self.drives.values() if drive.has_log(log))
