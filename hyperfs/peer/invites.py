"""Invites: who has a peer's one-time code may have it hold a drive. Records of the peer itself, `invite-ID`, as text.

One try: a wrong proof ends the invite. A right one binds it to its drive, which may use it again until it expires: the
answer may have been lost. The secret is not here, only what a proof of it is checked with.
"""

import re
from hmac import compare_digest
from typing import Final, NamedTuple

from hyperfs.errors import Corrupt, FormatTooNew, Refused
from hyperfs.peer.blockstore import OWN, BlockStore
from hyperfs.replication.dialogue_bodies import Pair
from hyperfs.replication.invitation import proof

INVITE_FORMAT: Final = 1
PREFIX: Final = "invite-"
UNKNOWN: Final = "this code is not good here: it was used, has expired, or was tried with a mistake. Ask for a new one"
_FORMAT: Final = re.compile(rb"hyperfs peer invite\nformat ([1-9][0-9]{0,8})\n")
_WHOLE: Final = re.compile(
    rb"hyperfs peer invite\nformat 1\nverifier ([0-9a-f]{64})\nexpires (0|[1-9][0-9]{0,18})\n"
    rb"quota (default|none|0|[1-9][0-9]{0,18})\ndrive (none|[0-9a-f]{64})\n"
)


class Invite(NamedTuple):
    """`verifier`: see invitation.verifier. `quota_bytes` None: none; of one with `is_default_quota` it says nothing.
    `drive`: which has used it."""

    verifier: bytes
    expires_ns: int
    quota_bytes: int | None = None
    is_default_quota: bool = True
    drive: bytes | None = None

    def encode(self) -> bytes:
        quota = "default" if self.is_default_quota else "none" if self.quota_bytes is None else str(self.quota_bytes)
        return (
            f"hyperfs peer invite\nformat {INVITE_FORMAT}\nverifier {self.verifier.hex()}\nexpires {self.expires_ns}\n"
            f"quota {quota}\ndrive {self.drive.hex() if self.drive is not None else 'none'}\n"
        ).encode()


def decode(data: bytes) -> Invite:
    """Corrupt for what encode could not have made, FormatTooNew by the number alone."""
    found = _FORMAT.match(data)
    if found is not None and int(found[1]) > INVITE_FORMAT:
        raise FormatTooNew("an invite", int(found[1]), INVITE_FORMAT)
    whole = _WHOLE.fullmatch(data)
    if whole is None:
        raise Corrupt("an invite is damaged", "record invite")
    verifier, expires, quota, drive = whole.groups()
    return Invite(
        bytes.fromhex(verifier.decode()),
        int(expires),
        int(quota) if quota.isdigit() else None,
        quota == b"default",
        None if drive == b"none" else bytes.fromhex(drive.decode()),
    )


def name_of(id_: bytes) -> str:
    """Of the record."""
    return PREFIX + id_.hex()


class Invites:
    """Of one store. Not its owner."""

    def __init__(self, store: BlockStore) -> None:
        self._store = store

    def redeem(self, pair: Pair, handshake_hash: bytes, now_ns: int) -> Invite:
        """The invite, if the proof is right; Refused, in the same words, where it is not, is used or has expired.
        To be followed by `bind`, once the drive is admitted."""
        name = name_of(pair.invite)
        found = self._read(name)
        if found is None:
            raise Refused(UNKNOWN)
        is_right = compare_digest(pair.proof, proof(found.verifier, handshake_hash, pair.drive))
        if not is_right or now_ns >= found.expires_ns:
            self._store.discard(OWN, name)
            raise Refused(UNKNOWN)
        if found.drive not in (None, pair.drive):
            raise Refused(UNKNOWN)
        return found

    def bind(self, pair: Pair, invite: Invite) -> None:
        """From now on it is this drive's. Durable."""
        self._store.write(OWN, name_of(pair.invite), invite._replace(drive=pair.drive).encode())

    def tidy(self, now_ns: int) -> None:
        """Those that have expired go, and those that can't be read."""
        for name in self._store.names(OWN):
            if name.startswith(PREFIX):
                found = self._read(name)
                if found is None or now_ns >= found.expires_ns:
                    self._store.discard(OWN, name)

    def _read(self, name: str) -> Invite | None:
        """None for one that is not there or says nothing that is understood: then it invites nobody."""
        data = self._store.read(OWN, name)
        try:
            return None if data is None else decode(data)
        except (Corrupt, FormatTooNew):
            return None
