"""Requests about cold stores: adding one, taking one away, and how they fare."""

import os
import secrets
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio

from hyperfs.cold import access, settings
from hyperfs.cold.cold import Cold
from hyperfs.cold.object_format import folder_of
from hyperfs.cold.place import PUT_SECONDS, Place
from hyperfs.daemon import mounts
from hyperfs.daemon import params as given
from hyperfs.daemon.cold_side import WARNING, keys_of
from hyperfs.daemon.drive import Drive
from hyperfs.daemon.times import iso_time
from hyperfs.daemon.wire import Message, Tell
from hyperfs.errors import BadRequest, InvalidArgument, NotFound, Refused, Unreachable
from hyperfs.policy.storage import PLACES_MOST
from hyperfs.store.objects import FILE, AccessKey, Location, Objects, parse_url
from hyperfs.syncing.home import bytes_of
from hyperfs.syncing.runs import Runs
from hyperfs.volume.volume import Volume

PROBE_BYTES: Final = 1000


async def list_cold(drive: Drive, params: Message, tell: Tell) -> Message:
    """`check`: each is listed first, and what is not proven is proven now."""
    cold = drive.cold
    if params.get("check"):
        for done, name in enumerate(sorted(cold.places)):
            await tell(f"looking through {name}", done, len(cold.places))
            try:
                await cold.look(name)
            except Unreachable:
                continue  # told with the facts
    return {"places": await cold_facts(cold)} | cold.transfer()


async def cold_facts(cold: Cold) -> list[dict[str, Any]]:
    if not cold.places:
        return []
    return [
        asdict(facts) | {"oldest_proof": iso_time(facts.oldest_proof_ns) if facts.oldest_proof_ns else None}
        for facts in await trio.to_thread.run_sync(cold.facts)
    ]


async def add_cold(drive: Drive, params: Message, tell: Tell) -> Message:
    """Adds a place, or gives one that is there other credentials. It is tried first: written to, listed, read."""
    volume, cold = drive.volume, drive.cold
    volume.check_writable()
    url = given.text(params, "url")
    where = parse_url(url)
    remembered = settings.urls(volume)
    name = given.text(params, "name") if params.get("name") is not None else _known_as(remembered, url)
    name = settings.check_name(name) if name is not None else settings.name_for(where, remembered)
    _check_new(name, url, remembered)
    if name in drive.peers.places:
        raise Refused(f"{name} is a peer: give --name, policies call places by their names")
    if where.scheme == FILE:
        _check_folder(drive, Path(where.path))
    key = _access_key(params)
    objects = _opened(volume, name, url, key)
    place = Place(name, url, objects, {})
    await place.ask(objects.prepare)
    await _probe(place, folder_of(volume.drive_id, b"").rstrip("/"))
    refused = place.trouble
    if key is not None:
        settings.keep_access_key(volume, name, key)
        volume.warnings.pop(WARNING, None)
    await settings.remember(volume, name, url)
    cold.add(name, url, objects)
    facts = next(facts for facts in await cold_facts(cold) if facts["name"] == name)
    return facts | {"warning": _warning(drive, where) or refused}


async def remove_cold(drive: Drive, params: Message, tell: Tell) -> Message:
    """Takes a place away, by name or URL; what lies there stays there. Refused where blocks are only there, unless
    `force` is given: they can't be read any more then, until it is added again."""
    volume, cold = drive.volume, drive.cold
    volume.check_writable()
    remembered = settings.urls(volume)
    asked = given.text(params, "place")
    name = asked if asked in remembered else _known_as(remembered, asked)
    if name is None:
        raise NotFound(f"the drive has no cold store {asked!r}: 'hyperfs cold list' tells those that it has")
    only_there = sum(size for size in _only_at(drive, name))
    if only_there and not params.get("force"):
        raise Refused(
            f"{only_there / 2**20:.1f} MiB of files or old versions are only at {name}, and not here: bring them back "
            f"('hyperfs policy set PATH class=hot'), or give --force and do without them until {name} is added again"
        )
    await settings.remember(volume, name, None)
    settings.keep_access_key(volume, name, None)
    if cold.place(name) is not None:
        cold.remove(name)
    return {"name": name, "url": remembered[name], "only_there_bytes": only_there}


def _known_as(remembered: dict[str, str], url: str) -> str | None:
    """The name of the place with this URL, however it is written."""
    try:
        where = parse_url(url)
    except InvalidArgument:
        return None
    for name, known in remembered.items():
        try:
            if settings.same_place(where, parse_url(known)):
                return name
        except InvalidArgument:
            continue
    return None


def _check_new(name: str, url: str, remembered: dict[str, str]) -> None:
    other = _known_as(remembered, url)
    if other is not None and other != name:
        raise Refused(f"{url} is the cold store {other} already: a second name would count its copy twice")
    if name in remembered and other is None:
        raise Refused(f"{name} is another cold store, {remembered[name]}: give --name, or remove that one first")
    if name not in remembered and len(remembered) >= PLACES_MOST:
        raise Refused(f"a drive has up to {PLACES_MOST} cold stores")


def _check_folder(drive: Drive, path: Path) -> None:
    """Not in a drive, which would wait for itself; not in the store, which is no other place."""
    whole = path.resolve()
    store = drive.store.resolve()
    found = mounts.containing(os.fsencode(whole))
    if found is not None and found.is_hyperfs:
        raise Refused(f"{path} lies in a mounted drive: a cold store is a folder of another disk or machine")
    if whole == store or store in whole.parents:
        raise Refused(f"{path} lies in the drive's own store: a cold store is a folder of another disk or machine")


def _warning(drive: Drive, where: Location) -> str | None:
    if where.scheme != FILE or os.stat(where.path).st_dev != os.stat(drive.store).st_dev:
        return None
    return f"{where.path} is on the same disk as the drive's store: when that disk is lost, both are"


def _access_key(params: Message) -> AccessKey | None:
    found = params.get("access_key")
    if found is None:
        return None
    if not isinstance(found, list) or len(found) != 3 or not all(isinstance(part, str) for part in found):
        raise BadRequest("'access_key' of the request is a key's id, its secret and its token")
    return access.checked(*found)


def _opened(volume: Volume, name: str, url: str, key: AccessKey | None) -> Objects:
    kept = keys_of(volume)
    return settings.open_place(name, url, kept | {name: key} if key is not None else kept, os.environ)


async def _probe(place: Place, folder: str) -> None:
    """Writes a little, looks for it, reads a part, takes it away. Raises Unreachable, with what did not work."""
    name, data = f"{folder}/probe-{secrets.token_hex(8)}", secrets.token_bytes(PROBE_BYTES)
    await place.put(name, data, place.classes.named)
    try:
        listed = await place.ask(lambda: [info.name for info in place.objects.list(folder)], PUT_SECONDS)
        found = await place.ask(partial(place.objects.read, name, 10, 20))
    finally:
        await place.ask(partial(place.objects.remove, name), PUT_SECONDS, True)
    if name not in listed or found != data[10:20]:
        raise Unreachable(f"{place.url} took a small object and did not give it back: it can't be used")


def _only_at(drive: Drive, name: str) -> Iterator[int]:
    """The sizes of runs of blocks that are not on this device, and that no other place has."""
    cold = drive.cold
    for number, log in drive.volume.parts.logs.items():
        marks = log.evicted
        for first, end in list(marks.runs()) if marks is not None else ():
            left = Runs(cold.only_at(name, number, first, end))
            for run in drive.peers.only_at("", number, left):
                yield bytes_of(log, *run)
