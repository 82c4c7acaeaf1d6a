"""An object store that speaks S3, through obstore; no other module imports that.

obstore tells of the server's answer only in words, which may quote a key: they are looked at here for the number and
the code, and never passed on. Its own retries are for one request (server errors, dropped connections); what fails for
longer is the caller's to try again. Reads end after 20 s and writes after 300, each without a byte for 10.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from hyperfs.errors import HyperfsError, NoSuchObject, PlaceFull, PlaceRefuses, Unreachable
from hyperfs.store.objects import AccessKey, Location, ObjectInfo

if TYPE_CHECKING:
    from obstore import Attributes
    from obstore.store import S3Config, S3Credential

T = TypeVar("T")

READ_SECONDS: Final = 20
WRITE_SECONDS: Final = 300
SILENT_SECONDS: Final = 10
CONNECT_SECONDS: Final = 5
RETRIES: Final = 2
RETRY_SECONDS: Final = 8
LISTED_AT_ONCE: Final = 1000
DEFAULT_REGION: Final = "us-east-1"

_STATUS: Final = re.compile(r"status code: ([0-9]{3})")
_CODE: Final = re.compile(r"<Code>([A-Za-z]{1,64})</Code>")
_FULL: Final = frozenset({"QuotaExceeded", "XMinioStorageFull", "InsufficientCapacity", "EntityTooLarge"})
_NO_BUCKET: Final = "NoSuchBucket"
_CLASS_REFUSED: Final = frozenset({400, 403, 405, 501})
"""With these a store may say that it has no such class, or that we have no right to it; or all else that is wrong with
a request: it is asked once more without the class."""


class _ClassRefused(Exception):
    """The store may take it in its standard class."""


class S3Objects:
    """Objects below a prefix of a bucket. The bucket is there already: making one is a decision on its own."""

    def __init__(self, where: Location, key: AccessKey) -> None:
        self._where = where
        self._prefix = f"{where.path}/" if where.path else ""
        self._reading = _client(where, key, READ_SECONDS)
        self._writing = _client(where, key, WRITE_SECONDS)

    def prepare(self) -> None:
        """There is nothing to do: a bucket that is not there says so."""

    def put(self, name: str, data: bytes, storage_class: str = "") -> bool:
        if storage_class:
            with suppress(_ClassRefused):
                self._ask(name, lambda: self._put(name, data, storage_class), absent="the bucket", refusable=True)
                return True
        self._ask(name, lambda: self._put(name, data, ""), absent="the bucket")
        return not storage_class

    def _put(self, name: str, data: bytes, storage_class: str) -> object:
        # Whole, in one request: its tag is then the MD5 of the bytes, and nothing hidden is left of one that failed.
        attributes: Attributes | None = {"Storage-Class": storage_class} if storage_class else None
        return obstore.put(self._writing, self._prefix + name, data, attributes=attributes, use_multipart=False)

    def read(self, name: str, start: int, end: int) -> bytes:
        found = self._ask(
            name, lambda: bytes(obstore.get_range(self._reading, self._prefix + name, start=start, end=end))
        )
        if len(found) != end - start:
            raise Unreachable(f"{self._shown()} gave {len(found)} bytes of {name} where {end - start} were asked for")
        return found

    def info(self, name: str) -> ObjectInfo:
        found = self._ask(name, lambda: obstore.head(self._reading, self._prefix + name))
        return ObjectInfo(name, found["size"], _tag(found["e_tag"]))

    def list(self, folder: str) -> Iterator[ObjectInfo]:
        pages = obstore.list(self._reading, self._prefix + folder, chunk_size=LISTED_AT_ONCE)
        while True:
            page = self._ask(folder, lambda: next(pages, None), absent="the bucket")
            if page is None:
                return
            for found in page:
                name = found["path"].removeprefix(self._prefix)
                yield ObjectInfo(name, found["size"], _tag(found["e_tag"]))

    def remove(self, name: str) -> None:
        try:
            self._ask(name, lambda: obstore.delete(self._writing, self._prefix + name))
        except NoSuchObject:
            return

    def _ask(self, name: str, ask: Callable[[], T], absent: str = "", refusable: bool = False) -> T:
        """`refusable`: raises _ClassRefused for what may be meant for the class alone."""
        try:
            return ask()
        except FileNotFoundError as error:
            if absent or _NO_BUCKET in str(error):
                raise Unreachable(f"{self._shown()}: the bucket does not exist") from None
            raise NoSuchObject(f"{self._shown()} has no object {name}") from None
        except BaseError as error:
            status = _STATUS.search(str(error))
            if refusable and status is not None and int(status[1]) in _CLASS_REFUSED:
                raise _ClassRefused from None
            self._fail(str(error))

    def _fail(self, words: str) -> NoReturn:
        status, code = _STATUS.search(words), _CODE.search(words)
        number = int(status[1]) if status else 0
        said = f"{number}{f' {code[1]}' if code else ''}" if number else _without_answer(words)
        kind: type[HyperfsError] = Unreachable
        if number == 507 or (code and code[1] in _FULL):
            kind = PlaceFull
        elif number in (401, 403):
            kind = PlaceRefuses
        elif code and code[1] == _NO_BUCKET:
            said = "the bucket does not exist"
        raise kind(f"{self._shown()}: {said}") from None

    def _shown(self) -> str:
        at = self._where.endpoint or "AWS"
        return f"the bucket {self._where.bucket} at {at}"


def _client(where: Location, key: AccessKey, seconds: int) -> S3Store:
    def credentials() -> "S3Credential":
        # Not as plain settings: obstore would put what it finds in the environment beside them.
        return {
            "access_key_id": key.key_id,
            "secret_access_key": key.secret,
            "token": key.token or None,
            "expires_at": None,
        }

    config: S3Config = {"region": where.region or DEFAULT_REGION}
    if where.endpoint:
        config["endpoint"] = where.endpoint
    return S3Store(
        where.bucket,
        config=config,
        credential_provider=credentials,
        virtual_hosted_style_request=False,
        disable_bulk_delete=True,
        client_options={
            "allow_http": where.endpoint.startswith("http:"),
            "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
            "read_timeout": timedelta(seconds=SILENT_SECONDS),
            "timeout": timedelta(seconds=seconds),
        },
        retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_SECONDS)},
    )


def _tag(given: str | None) -> str:
    return (given or "").strip('"').lower()


def _without_answer(words: str) -> str:
    """Why there was no answer with a number."""
    for sign, meaning in (
        ("Connection refused", "the connection was refused"),
        ("TimedOut", "it did not answer in time"),
        ("timed out", "it did not answer in time"),
        ("dns error", "its name is not known"),
        ("certificate", "its certificate is not trusted"),
        ("region", "the region is another one: say it with region= in the URL"),
        ("Range", "it gave other bytes than were asked for"),
        ("range requested", "it gave other bytes than were asked for"),
    ):
        if sign in words:
            return meaning
    return "it did not answer as S3 does"
