"""A drive that is opened by the keys in a link: by somebody who is none of its devices, and only reads.

He has the keys of the epochs up to a moment. What was sealed under a later one he can't read, and it is said that
there is more.
"""

from collections.abc import Mapping
from typing import Final

from hyperfs.crypto.keys import EpochKeys
from hyperfs.crypto.seal import BlockHeader
from hyperfs.errors import Corrupt, KeyMissing
from hyperfs.log.control import Chain
from hyperfs.log.log import Log

NOBODY: Final = 0
"""Where others have the number of their device: those begin with 1."""
WARNING: Final = "link"
ENDED: Final = (
    "the drive's owner has changed its key since the link was made (a device was taken out): what came after that "
    "can't be read with this link. Ask the owner for a new one"
)


def checked_keys(chain: Chain, keys: Mapping[int, EpochKeys]) -> dict[int, EpochKeys]:
    """Raises Corrupt where they are not those that the drive's records name."""
    for number, found in keys.items():
        epoch = chain.epochs.get(number)
        if epoch is None or epoch.key_id != found.key_id:
            raise Corrupt(f"the link's key of epoch {number} is not the drive's: it is forged, or of another drive")
    if not keys:
        raise KeyMissing("the link has no key")
    return dict(keys)


def has_ended(chain: Chain, keys: Mapping[int, EpochKeys]) -> bool:
    """Whether the drive has a later key than the link."""
    return max(chain.epochs, default=0) > max(keys)


def readable_length(log: Log, length: int, keys: Mapping[int, EpochKeys]) -> int:
    """Of a metadata log that is `length` blocks long, up to the last one that was sealed under a key that is here."""
    last = max(keys)
    while length and BlockHeader.parse(log.get(length - 1)).epoch > last:
        length -= 1
    return length
