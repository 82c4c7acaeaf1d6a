"""What a shared folder's own drive remembers of the folder: which of its inodes stand for which, and how far it has
come. Facts of its tree, so that they are in a version with what they tell.

Readers of the link see these facts. They tell them nothing of the rest of the drive: inode numbers are hashed, and what
is more than a number of the own drive is sealed, under a secret that only the device has which keeps the folder equal.

    key kind 13, id{16}   -> ino (u64), content{16}
    key kind 13           -> AES-256-SIV of: version (u64), folder (u64), names of places (ASCII, commas between them)
"""

import struct
from collections.abc import Iterator
from hashlib import blake2b
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from hyperfs.crypto.keys import derive
from hyperfs.errors import Corrupt
from hyperfs.volume import keys
from hyperfs.volume.inode import Inode
from hyperfs.volume.overlay import Overlay
from hyperfs.volume.sides import Copy

ID_BYTES: Final = 16
NOT_WHOLE: Final = bytes(16)
"""In place of a content: not all of the bytes have come."""
_ID: Final = b"hyperfs/v1/mirror/id"
_CONTENT: Final = b"hyperfs/v1/mirror/content"
_RECORD: Final = b"hyperfs/v1/mirror/record"
_TWIN: Final = struct.Struct("<Q16s")
_HEAD: Final = struct.Struct("<QQ")
_EXTENT: Final = struct.Struct("<Q16sII")
_INO: Final = struct.Struct("<Q")


class Twin(NamedTuple):
    """What stands for an inode of the folder. `content`: a keyed hash of what its bytes were taken from."""

    ino: int
    content: bytes = NOT_WHOLE

    def encode(self) -> bytes:
        return _TWIN.pack(*self)


def decode_twin(value: bytes) -> Twin:
    """Raises Corrupt."""
    if len(value) != _TWIN.size:
        raise Corrupt("what stands for a shared folder's inode has an impossible length")
    return Twin(*_TWIN.unpack(value))


class Reached(NamedTuple):
    """The drive equals folder `folder` in version `version`, without what may not be at all of `places`."""

    version: int
    folder: int
    places: frozenset[str]

    def encode(self) -> bytes:
        return _HEAD.pack(self.version, self.folder) + ",".join(sorted(self.places)).encode()


def decode_reached(value: bytes) -> Reached:
    """Raises Corrupt."""
    try:
        version, folder = _HEAD.unpack_from(value)
        names = value[_HEAD.size :].decode("ascii")
    except (struct.error, UnicodeDecodeError):
        raise Corrupt("how far a shared folder has come can't be read") from None
    return Reached(version, folder, frozenset(filter(None, names.split(","))))


class Mirrored:
    """Reads and sets these facts in a drive's live tree."""

    def __init__(self, overlay: Overlay, secret: bytes) -> None:
        """`secret`: the device's, 32 bytes; whoever has it can tell which inodes are meant."""
        self._overlay = overlay
        self._id_key = derive(secret, _ID)
        self._content_key = derive(secret, _CONTENT)
        self._cipher = AESSIV(b"".join(derive(secret, _RECORD, bytes([number])) for number in (1, 2)))

    # Inodes

    def twin(self, source: int) -> Twin | None:
        """What stands for an inode of the folder, if that is still there. Raises Corrupt."""
        value = self._overlay.live.fact(self._key(source))
        found = None if value is None else decode_twin(value)
        return found if found is not None and self._is_live(found.ino) else None

    def put(self, source: int, twin: Twin) -> None:
        key, value = self._key(source), twin.encode()
        if self._overlay.live.fact(key) != value:
            self._overlay.set_fact(key, value)

    def forget(self, source: int) -> bool:
        """What stands for it is not there any more; False where nothing was known of it."""
        key = self._key(source)
        if self._overlay.live.fact(key) is None:
            return False
        self._overlay.set_fact(key, None)
        return True

    def tidy(self) -> Iterator[None]:
        """Forgets all whose inode is gone. In steps."""
        for key, value in self._overlay.live.facts(keys.mirror_key(b"")).items():
            if len(key) > keys.PREFIX_BYTES and not self._is_live(decode_twin(value).ino):
                self._overlay.set_fact(key, None)
            yield

    def content(self, copy: Copy) -> bytes:
        """A name for a file's bytes as the drive has them: by the chunks that they are in, without reading them."""
        hashed = blake2b(key=self._content_key, digest_size=len(NOT_WHOLE))
        hashed.update(_INO.pack(copy.inode.size))
        hashed.update(b"\0" if copy.inode.inline is None else b"\1" + copy.inode.inline)
        for extent in copy.extents:
            hashed.update(_EXTENT.pack(extent.offset, extent.chunk, extent.skip, extent.length))
        return hashed.digest()

    def _is_live(self, ino: int) -> bool:
        found: Inode | None = self._overlay.live.inode(ino)
        return found is not None

    def _key(self, source: int) -> bytes:
        return keys.mirror_key(blake2b(_INO.pack(source), key=self._id_key, digest_size=ID_BYTES).digest())

    # How far it has come

    @property
    def reached(self) -> Reached | None:
        """None where it is under way, or what is there is not ours to read: then all is compared."""
        value = self._overlay.live.fact(keys.mirror_key(b""))
        try:
            return None if value is None else decode_reached(self._cipher.decrypt(value, None))
        except (InvalidTag, Corrupt, ValueError):
            return None

    @reached.setter
    def reached(self, value: Reached | None) -> None:
        key = keys.mirror_key(b"")
        sealed = None if value is None else self._cipher.encrypt(value.encode(), None)
        if self._overlay.live.fact(key) != sealed:
            self._overlay.set_fact(key, sealed)
