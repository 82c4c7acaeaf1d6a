"""A link to a drive, as one line of text: whoever has it may read the drive, all of it and what comes.

    hyper://DRIVE/#SECRET                             the drive as it is, live
    hyper://DRIVE+VERSION/PATH?tree=HASH#SECRET       one version of it, and what its writer signed of it
    hyper://DRIVE+VERSION/PATH?tree=HASH              the same without what opens it: to name and to compare

What stands behind the # never has to be sent to anybody who only follows links. Page: docs/sharing.md. Pure.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NoBase64
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from hmac import compare_digest
from typing import Final
from urllib.parse import unquote_to_bytes

from hyperfs.errors import BadRequest, Corrupt, FormatTooNew
from hyperfs.log.compact import Reader, buffer, text, uint
from hyperfs.replication.address import Address, parse_endpoint
from hyperfs.volume.link_name import link_name

LINK_FORMAT: Final = 1
MOST_CHARACTERS: Final = 16_384
MOST_ADDRESSES: Final = 16
MOST_EPOCHS: Final = 128
_KEY: Final = 32
_CHECKSUM: Final = 8
_DOMAIN: Final = b"hyperfs/v1/link"
_LAST: Final = (1 << 64) - 1
_LINK: Final = re.compile(
    r"hyper://([0-9a-f]{64})(?:\+([1-9][0-9]{0,19}))?(/[!-~]*?)?(?:\?tree=([0-9a-f]{64}))?(?:#([A-Za-z0-9_-]+))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What whoever made a link saw of a log: blocks, and the hash of the tree over them, which the writer signed."""

    length: int
    tree_hash: bytes


@dataclass(frozen=True, slots=True)
class Opening:
    """What opens a drive for a reader. `log`: the public key of a metadata log, and `seen` what it was then."""

    addresses: tuple[Address, ...]
    log: bytes
    seen: Seen
    epochs: Mapping[int, bytes] = field(repr=False)
    drive_key: bytes = field(repr=False)

    def encode(self) -> bytes:
        found = [uint(LINK_FORMAT), uint(len(self.addresses))]
        found += [address.key + buffer(str(address.endpoint).encode()) for address in self.addresses]
        found += [self.log, uint(self.seen.length), self.seen.tree_hash, uint(len(self.epochs))]
        found += [uint(number) + key for number, key in sorted(self.epochs.items())]
        return b"".join([*found, self.drive_key])


@dataclass(frozen=True, slots=True)
class Link:
    """`version` and `tree`: of a link to one version; the tree hash is that of its log up to its commit. `path`: in
    the drive, b"" its root."""

    drive: bytes
    opening: Opening | None = None
    version: int | None = None
    tree: bytes | None = None
    path: bytes = b""

    @property
    def public(self) -> str:
        """The part that opens nothing."""
        return link_name(self.drive, self.version, self.tree, self.path)

    def __str__(self) -> str:
        if self.opening is None:
            return self.public
        return joined(self.public, self.opening.encode())

    def __repr__(self) -> str:
        return f"Link({self.public})"


def joined(public: str, body: bytes) -> str:
    """The public part, and behind it what opens."""
    return f"{public}#{urlsafe_b64encode(body + _checksum(public, body)).rstrip(b'=').decode()}"


def parse(words: str) -> Link:
    """Raises BadRequest for what is no link, or a torn one; FormatTooNew."""
    words = words.strip()
    found = _LINK.fullmatch(words) if len(words) <= MOST_CHARACTERS else None
    if found is None:
        raise BadRequest(
            f"{words[:24]!r}... is no link to a drive: they look like hyper://DRIVE/#..., in one piece. "
            "'hyperfs share' prints one"
        )
    drive, version, path, tree, secret = found.groups()
    if (version is None) != (tree is None) or (version is not None and int(version) > _LAST):
        raise BadRequest("the link names a version without its tree, or a tree without a version: a part is missing")
    link = Link(
        bytes.fromhex(drive),
        None,
        None if version is None else int(version),
        None if tree is None else bytes.fromhex(tree),
        _path(path or "/"),
    )
    if secret is None:
        return link
    public = words.partition("#")[0]
    if public != link.public:
        raise BadRequest("the link was changed on its way: its path is written in another way than hyperfs does")
    try:
        opening = _opening(public, secret)
    except (Corrupt, NoBase64) as error:
        raise BadRequest(f"the link is torn or was mistyped ({error}): copy it anew, in one piece") from None
    if link.tree is not None and link.tree != opening.seen.tree_hash:
        raise BadRequest("the link names two trees: it was forged")
    return Link(link.drive, opening, link.version, link.tree, link.path)


def _path(words: str) -> bytes:
    path = unquote_to_bytes(words)[1:]
    parts = path.split(b"/") if path else []
    if b"\0" in path or any(part in (b"", b".", b"..") for part in parts):
        raise BadRequest("the link's path is none of a drive")
    return path


def _opening(public: str, secret: str) -> Opening:
    data = urlsafe_b64decode(secret + "=" * (-len(secret) % 4))
    if urlsafe_b64encode(data).rstrip(b"=").decode() != secret:
        raise Corrupt("its last character has bits too many")
    if data and 0xFD > data[0] > LINK_FORMAT:
        raise FormatTooNew("the link", data[0], LINK_FORMAT)
    body, checksum = data[:-_CHECKSUM], data[-_CHECKSUM:]
    if not compare_digest(checksum, _checksum(public, body)):
        raise Corrupt("its checksum is not that of its text")
    reader = Reader(body, "the link")
    if (number := reader.uint()) != LINK_FORMAT:
        raise Corrupt(f"it is of format {number}")
    addresses = tuple(_address(reader) for _ in range(_few(reader, MOST_ADDRESSES)))
    log, seen = reader.take(_KEY), Seen(reader.uint(), reader.take(_KEY))
    epochs: dict[int, bytes] = {}
    for _ in range(_few(reader, MOST_EPOCHS)):
        epoch = reader.uint()
        if not max(epochs, default=0) < epoch <= 0xFFFFFFFF:
            raise Corrupt(f"epoch {epoch} is out of order")
        epochs[epoch] = reader.take(_KEY)
    drive_key = reader.take(_KEY)
    reader.end()
    return Opening(addresses, log, seen, epochs, drive_key)


def _few(reader: Reader, most: int) -> int:
    number = reader.uint()
    if not 1 <= number <= most:
        raise Corrupt(f"{number} where 1 to {most} may be")
    return number


def _address(reader: Reader) -> Address:
    key = reader.take(_KEY)
    words = text(reader.buffer(), "a peer's address")
    endpoint = parse_endpoint(words)
    if str(endpoint) != words:
        raise Corrupt("a peer's address is written in another way than hyperfs does")
    return Address(key, endpoint)


def _checksum(public: str, body: bytes) -> bytes:
    return blake2b(_DOMAIN + b"\0" + public.encode() + b"\0" + body, digest_size=_CHECKSUM).digest()
