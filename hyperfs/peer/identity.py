"""The peer's own key pair, by which devices know it and its receipts: the peer's record `identity`.

    identity = "hfspeer\\n" seed{32} BLAKE2b-256 of both

Random, passed in when there is none yet. Lost, the peer is a stranger to every device: so a damaged one is never
replaced in silence.
"""

from typing import Final

from hyperfs.crypto.keys import SigningKeyPair
from hyperfs.errors import Corrupt
from hyperfs.log.merkle import hash32
from hyperfs.peer.blockstore import OWN, BlockStore

NAME: Final = "identity"
_MAGIC: Final = b"hfspeer\n"


def encode(seed: bytes) -> bytes:
    data = _MAGIC + seed
    return data + hash32(data)


def decode(data: bytes) -> bytes:
    """The seed; Corrupt for what encode did not make."""
    seed = data[len(_MAGIC) : len(_MAGIC) + 32]
    if len(seed) != 32 or encode(seed) != data:
        raise Corrupt(
            "the peer's key is damaged", f"record {NAME}", "put it back from a copy: devices know the peer by it"
        )
    return seed


def seed_of(store: BlockStore, new_seed: bytes) -> bytes:
    """The peer's; `new_seed` (32 random bytes), durable, when there was none. Both its key pairs are of it, that which
    signs receipts and that of the wire, and have one public key."""
    found = store.read(OWN, NAME)
    if found is None:
        store.write(OWN, NAME, encode(new_seed))
        found = encode(new_seed)
    return decode(found)


def key_pair(store: BlockStore, new_seed: bytes) -> SigningKeyPair:
    """As seed_of: what signs receipts."""
    return SigningKeyPair(seed_of(store, new_seed))
