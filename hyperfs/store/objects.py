"""Object stores: places that keep named bytes and run no code of ours.

Three implementations, `s3.S3Objects`, `object_folder.FolderObjects` and `object_memory.MemoryObjects`, kept to one
behaviour by one test suite. All methods wait for the store and are called in worker threads, any number at a time.
An object is written once and whole: there are no appends, no renames and no conditions.

Every error is one of four: NoSuchObject (absent, for certain), PlaceRefuses and PlaceFull (the store says no, and why),
and Unreachable for all else. What they say holds no credentials: never the store's own words.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from hyperfs.errors import InvalidArgument

FILE: Final = "file"
S3: Final = "s3"
URL_BYTES_MOST: Final = 2048
STORAGE_CLASSES: Final = frozenset(
    {"STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "REDUCED_REDUNDANCY"}
)
"""Those that answer at once; GLACIER and DEEP_ARCHIVE take hours."""

_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,62}")
_PREFIX: Final = re.compile(r"[A-Za-z0-9!_.*'()/-]{0,128}")
_REGION: Final = re.compile(r"[a-z0-9-]{1,32}")
_OPTIONS: Final = ("endpoint", "region", "class")


class ObjectInfo(NamedTuple):
    """What a store says of an object. `tag` is other when the bytes are others; of most S3 stores it is their MD5 in
    hex, of others it is any text."""

    name: str
    size: int
    tag: str


class Objects(Protocol):
    """Names are relative to the store's prefix: parts of letters, digits, `.`, `_` and `-`, joined by `/`."""

    def prepare(self) -> None:
        """Makes the place ready for its first use. Said once, when it is added: from then on a folder that is not
        mounted is told from an empty one."""
        ...

    def put(self, name: str, data: bytes, storage_class: str = "") -> bool:
        """Durable when it returns, as far as the store's word goes. Replaces an object of that name. False where the
        store takes it, but not in that class of its own: then it is in its standard one."""
        ...

    def read(self, name: str, start: int, end: int) -> bytes:
        """Exactly the bytes [start, end), at least one. A shorter object, or answer, is Unreachable."""
        ...

    def info(self, name: str) -> ObjectInfo:
        """What the store says of one object now."""
        ...

    def list(self, folder: str) -> Iterator[ObjectInfo]:
        """All objects below a folder (`a` means `a/...`), in any order. Nothing for a folder that is not there."""
        ...

    def remove(self, name: str) -> None:
        """No object of that name, whether there was one or not."""
        ...


@dataclass(frozen=True)
class AccessKey:
    """Credentials of an S3 store. Not shown by repr, so that no traceback or log tells them."""

    key_id: str = field(repr=False)
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)


class Location(NamedTuple):
    """Where a store is. A folder has only `path`, which is absolute; `endpoint` and `region` may be empty."""

    scheme: str
    bucket: str = ""
    path: str = ""
    endpoint: str = ""
    region: str = ""
    storage_class: str = ""


def parse_url(text: str) -> Location:
    """Raises InvalidArgument, with an example of what is meant."""
    if len(text.encode(errors="replace")) > URL_BYTES_MOST or not text.isprintable():
        raise InvalidArgument(f"a store's URL has up to {URL_BYTES_MOST} bytes and no control characters")
    try:
        parts = urlsplit(text)
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError as error:
        raise InvalidArgument(f"{_safe(text)!r} is no URL: {error}") from None
    if "@" in parts.netloc or parts.fragment:
        raise InvalidArgument(
            "a store's URL has no credentials and no '#': they come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "the AWS profile, or --access-key-file"
        )
    if parts.scheme == FILE:
        return _folder(text, parts.netloc, unquote(parts.path), options)
    if parts.scheme == S3:
        return _bucket(text, parts.netloc, unquote(parts.path), options)
    raise InvalidArgument(
        f"{_safe(text)!r} is no store: write file:///mnt/nas/hyperfs, or s3://BUCKET/PREFIX?endpoint=https://HOST"
    )


def _safe(text: str) -> str:
    """A URL without what may be credentials in it."""
    return re.sub(r"//[^/]*@", "//...@", text)


def _folder(text: str, host: str, path: str, options: Mapping[str, str]) -> Location:
    if host or options or not path.startswith("/") or path == "/" or ".." in path.split("/") or "\0" in path:
        raise InvalidArgument(f"{_safe(text)!r}: write three slashes and an absolute path, as in file:///mnt/nas/hyperfs")
    return Location(FILE, path="/" + path.strip("/"))


def _bucket(text: str, bucket: str, path: str, options: Mapping[str, str]) -> Location:
    prefix = path.strip("/")
    if not _BUCKET.fullmatch(bucket) or not _PREFIX.fullmatch(prefix) or {"", ".", ".."} & set(prefix.split("/")[1:]):
        raise InvalidArgument(f"{_safe(text)!r}: write a bucket and a prefix, as in s3://backup/laptop")
    unknown = sorted(set(options) - set(_OPTIONS))
    if unknown:
        raise InvalidArgument(f"{unknown[0]!r} means nothing in a store's URL: {', '.join(_OPTIONS)} do")
    storage_class = options.get("class", "")
    if storage_class and storage_class not in STORAGE_CLASSES:
        raise InvalidArgument(f"class={storage_class!r}: write {', '.join(sorted(STORAGE_CLASSES))}")
    region = options.get("region", "")
    if region and not _REGION.fullmatch(region):
        raise InvalidArgument(f"region={region!r}: write it as in eu-central-1")
    return Location(S3, bucket, prefix, _endpoint(options.get("endpoint", "")), region, storage_class)


def _endpoint(text: str) -> str:
    if not text:
        return ""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    good = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc and port != 0
    if not good or parts.path.strip("/") or parts.query:
        raise InvalidArgument(f"endpoint={_safe(text)!r}: write it as in https://s3.example.org:9000")
    return f"{parts.scheme}://{parts.netloc}"
