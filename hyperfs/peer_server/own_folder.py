"""What a peer's folder says of the peer itself: its key, where it can be reached, its invites.

For its owner's commands, which work beside the process that serves: without the folder's lock, by whole files that are
renamed into their place.
"""

import os
import time
from pathlib import Path
from typing import Final

from hyperfs.crypto.keys import SigningKeyPair
from hyperfs.errors import BadRequest, Corrupt, Refused, StoreLocked
from hyperfs.peer import identity
from hyperfs.peer.blockstore import OWN, BlockStore
from hyperfs.peer.folder_store import FORMAT_FILE, FolderStore, OwnRecords
from hyperfs.peer.invites import Invite, name_of
from hyperfs.replication.address import Address, Endpoint, parse_endpoint
from hyperfs.replication.invitation import ID_BYTES, SECRET_BYTES, Invitation, verifier

ADDRESS: Final = "address"
"""Record: HOST:PORT and a line end."""
BEGINNING_SECONDS: Final = 10.0
"""A server that has just been started is waited for so long until it has said where it is."""
_LOOK_AGAIN_SECONDS: Final = 0.05


def remember(store: BlockStore, endpoint: Endpoint) -> None:
    """Where the peer can be reached, for invites. Durable; nothing is written where it is known already."""
    data = f"{endpoint}\n".encode()
    if store.read(OWN, ADDRESS) != data:
        store.write(OWN, ADDRESS, data)


def decode_address(data: bytes) -> Endpoint:
    """Corrupt for what remember did not write."""
    try:
        return parse_endpoint(data.decode())
    except (ValueError, BadRequest):
        raise Corrupt("a peer's address is damaged", f"record {ADDRESS}", "serve it once more") from None


def invite(
    path: Path, public: Endpoint | None, now_ns: int, valid_ns: int, quota_bytes: int | None, is_default_quota: bool
) -> Invitation:
    """A new one, durable. `public`: where the peer can be reached; without, where it was served last. Makes the folder
    of a new peer where `public` says that. Refused where nothing says where the peer can be reached."""
    key, where = _own(path, public)
    found = Invitation(Address(key, where), os.urandom(ID_BYTES), os.urandom(SECRET_BYTES))
    kept = Invite(verifier(found.id, found.secret), now_ns + valid_ns, quota_bytes, is_default_quota)
    OwnRecords(path).write(name_of(found.id), kept.encode())
    return found


def _own(path: Path, public: Endpoint | None) -> tuple[bytes, Endpoint]:
    """The peer's key, and where it can be reached."""
    until = time.monotonic() + BEGINNING_SECONDS
    while True:
        is_served = _make_if_free(path, may_make=public is not None)
        records = OwnRecords(path) if (path / FORMAT_FILE).exists() or not is_served else None
        seed, where = (records.read(name) if records else None for name in (identity.NAME, ADDRESS))
        if seed is not None and (public is not None or where is not None):
            return SigningKeyPair(identity.decode(seed)).public_key, public or decode_address(where or b"")
        if not is_served or time.monotonic() > until:
            raise Refused(
                "where can this peer be reached? Serve it once "
                f"('hyperfs peer serve --store {path} --listen HOST:PORT'), or say it: --public HOST:PORT"
            )
        time.sleep(_LOOK_AGAIN_SECONDS)


def _make_if_free(path: Path, may_make: bool) -> bool:
    """See that the peer has its key. True where another process has the folder, and sees to it itself."""
    if not may_make and not (path / FORMAT_FILE).exists() and not (path / "lock").exists():
        raise Refused(f"there is no cloud peer in {path}: serve it first, or say --public HOST:PORT to make one")
    try:
        store = FolderStore(path)
    except StoreLocked:
        return True
    try:
        identity.seed_of(store, os.urandom(32))
    finally:
        store.close()
    return False
