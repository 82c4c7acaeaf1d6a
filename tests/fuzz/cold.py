"""As `readers`, for what comes from cold stores and what is said about them."""

from hashlib import blake2b

from hyperfs.cold import access, object_format, proofs
from hyperfs.cold.holdings import Held
from hyperfs.cold.object_format import Head, Name
from hyperfs.errors import Corrupt
from hyperfs.store.objects import AccessKey, Location, parse_url

from .shapes import join, split

_DRIVE, _LOG = bytes(range(32)), bytes(range(32, 64))
_SIZES_AT = 104
_PLACE = "nas"
KEYS = access.AccessKeys(bytes(32))
_NAME = Name(5, 8, 2, "0" * 32, "1" * 32)

Object = tuple[Head, list[bytes]]


def object_seeds() -> list[bytes]:
    whole = Head(_DRIVE, _LOG, 0, 7, (5, 6))
    gaps = Head(_DRIVE, _LOG, 1, 1 << 40, (5, None, 0, 6))
    return [object_format.encode(whole, [b"first", b"second"]), object_format.encode(gaps, [b"first", b"", b"second"])]


def encode_object(value: Object) -> bytes:
    return object_format.encode(*value)


def summed(data: bytes) -> bytes:
    """With the checksum of its head made right, where it has one."""
    count = int.from_bytes(data[96:100], "little")
    end = _SIZES_AT + 4 * count
    if len(data) < end + 32:
        return data
    return data[:end] + blake2b(data[:end], digest_size=32).digest() + data[end + 32 :]


def object_name(data: bytes) -> Name:
    found = Name.decode(data.decode("ascii", "replace"))
    if found is None:
        raise Corrupt("no name of ours")
    return found


def name_seeds() -> list[bytes]:
    return [_NAME.encode().encode(), Name(0, 4096, 4096, "f" * 32, "e" * 32).encode().encode()]


def row(data: bytes) -> Held:
    return proofs.decode_row(_PLACE, *split(data))


def encode_row(held: Held) -> bytes:
    return join(*proofs.row_of(_PLACE, held))


def row_seeds() -> list[bytes]:
    gaps = Held(2, _NAME, 300, "etag", ((5, 6), (7, 8)), 1_795_000_000_000_000_000)
    listed = Held(2, _NAME, 300, "", None)
    return [encode_row(gaps), encode_row(listed)]


def access_key(data: bytes) -> AccessKey | None:
    return access.parse_access_key(data.decode("utf-8", "replace"))


def access_key_seeds() -> list[bytes]:
    return [
        b"[default]\naws_access_key_id = AKID\naws_secret_access_key = secret\n",
        b"aws_access_key_id=AKID\naws_secret_access_key=s%()\naws_session_token: token\n[other]\n",
    ]


def access_keys_seeds() -> list[bytes]:
    return [KEYS.encode({}), KEYS.encode({"nas": AccessKey("AKID", "secret", "token")})]


def url(data: bytes) -> Location:
    return parse_url(data.decode("utf-8", "surrogateescape"))


def url_seeds() -> list[bytes]:
    return [b"file:///mnt/nas/x", b"s3://backup/a/b?endpoint=http://nas:9000&region=eu-central-1&class=GLACIER_IR"]
