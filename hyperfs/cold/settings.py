"""The cold stores of a drive, as it remembers them: a setting `cold:NAME` with the URL in the tree, so that whoever
recovers the drive learns where its blocks are; and access keys beside it, in this device's store folder only.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from hyperfs.cold import access
from hyperfs.cold.access import AccessKeys
from hyperfs.errors import Corrupt, FormatTooNew, InvalidArgument, PlaceRefuses
from hyperfs.policy.storage import LOCAL_ONLY, PLACES_MOST, parse_places
from hyperfs.store.object_folder import FolderObjects
from hyperfs.store.objects import FILE, AccessKey, Location, ObjectInfo, Objects, parse_url
from hyperfs.volume import keys
from hyperfs.volume.volume import Volume

PREFIX: Final = b"cold:"


def urls(volume: Volume) -> dict[str, str]:
    """The URL of each place, by name."""
    prefix = keys.setting_key(PREFIX)
    found = volume.overlay.live.facts(prefix)
    return {
        key[len(prefix) :].decode(errors="replace"): value.decode(errors="replace")
        for key, value in sorted(found.items())
    }


async def remember(volume: Volume, name: str, url: str | None) -> None:
    """Durable when it returns; None forgets the place."""
    volume.check_writable()
    volume.overlay.set_fact(keys.setting_key(PREFIX + name.encode()), None if url is None else url.encode())
    volume.settled()
    await volume.fsync(None)


def check_name(name: str) -> str:
    """Raises InvalidArgument for what `places` could not name."""
    if name == LOCAL_ONLY or parse_places(name) != (name,):
        raise InvalidArgument(f"{name!r} is no name of a place: write letters, digits, '.', '_' and '-'")
    return name


def name_for(where: Location, taken: Mapping[str, str]) -> str:
    """A name for a place that was given none: the last part of its path, else its bucket."""
    last = where.path.rpartition("/")[2] or where.bucket
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", last).strip("-._")[:60] or "cold"
    candidates = [plain, *(f"{plain}-{number}" for number in range(2, PLACES_MOST + 2))]
    return next(name for name in candidates if name not in taken and name != LOCAL_ONLY)


def same_place(one: Location, other: Location) -> bool:
    """Whether they are one and the same, however they are reached: then it would be counted twice."""
    return one._replace(region="", storage_class="") == other._replace(region="", storage_class="")


# Access keys


def access_keys(volume: Volume) -> dict[str, AccessKey]:
    """Those that were given with places. Raises Corrupt, FormatTooNew, OSError."""
    disk = volume.parts.disk
    if not disk.exists(access.FILE):
        return {}
    return AccessKeys(volume.parts.node_id_key).decode(disk.read_all(access.FILE))


def keep_access_key(volume: Volume, name: str, key: AccessKey | None) -> None:
    """Durable when it returns; None forgets it. A file that can't be read is made anew."""
    try:
        found = access_keys(volume)
    except (Corrupt, FormatTooNew):
        found = {}
    if key is None and name not in found:
        return
    changed = {other: kept for other, kept in found.items() if other != name} | ({name: key} if key else {})
    volume.parts.disk.replace(access.FILE, AccessKeys(volume.parts.node_id_key).encode(changed))


def key_for(name: str, kept: Mapping[str, AccessKey], environ: Mapping[str, str]) -> AccessKey | None:
    """The key that a place is asked with. Raises InvalidArgument, OSError."""
    if name in kept:
        return kept[name]
    home = environ.get("HOME", "/nonexistent")
    path = Path(environ.get("AWS_SHARED_CREDENTIALS_FILE") or f"{home}/.aws/credentials")
    try:
        text = path.read_text(errors="replace")[: access.TEXT_MOST] if path.is_file() else None
    except PermissionError:
        text = None
    return access.of_environment(environ, text)


# Stores


def open_objects(where: Location, key: AccessKey | None) -> Objects:
    """Asks nothing yet."""
    if where.scheme == FILE:
        return FolderObjects(Path(where.path))
    if key is None:
        return Unusable(
            f"there are no credentials for the bucket {where.bucket}: set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY or a profile where 'hyperfs mount' runs, or give --access-key-file"
        )
    from hyperfs.store.s3 import S3Objects  # 5 MiB that a drive without such a store does without

    return S3Objects(where, key)


def open_place(name: str, url: str, kept: Mapping[str, AccessKey], environ: Mapping[str, str]) -> Objects:
    """A place as it was remembered; one that says why, where it can't be used."""
    try:
        where = parse_url(url)
        return open_objects(where, None if where.scheme == FILE else key_for(name, kept, environ))
    except (InvalidArgument, OSError) as error:
        return Unusable(str(error))


class Unusable:
    """A store that can't be asked, and why."""

    def __init__(self, why: str) -> None:
        self._why = why

    def prepare(self) -> None:
        raise PlaceRefuses(self._why)

    def put(self, name: str, data: bytes, storage_class: str = "") -> bool:
        raise PlaceRefuses(self._why)

    def read(self, name: str, start: int, end: int) -> bytes:
        raise PlaceRefuses(self._why)

    def info(self, name: str) -> ObjectInfo:
        raise PlaceRefuses(self._why)

    def list(self, folder: str) -> Iterator[ObjectInfo]:
        raise PlaceRefuses(self._why)

    def remove(self, name: str) -> None:
        raise PlaceRefuses(self._why)
