"""From what somebody typed to the drive that is meant, and a way to ask it, mounted or not."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hyperfs.cli import passphrases
from hyperfs.daemon import client, mounts
from hyperfs.daemon.wire import Message
from hyperfs.errors import BadRequest, Unreachable
from hyperfs.store import folder

Progress = client.Progress
VERSIONS_NAME = ".versions"


@dataclass(frozen=True)
class Place:
    """A path in a drive: the store, where it is mounted (if so), and the path inside, as text, "" the root."""

    store: Path
    mount: Path | None
    inside: str


class Asks(Protocol):
    """What both ways to a drive have."""

    def request(self, name: str, params: Message | None = None, progress: Progress | None = None) -> Message: ...


def locate(path: Path, store: Path | None = None) -> Place:
    """Where a path lies; it need not exist any more. The last part is taken as it is, even a symlink.

    A store's own folder means its drive's root. Raises BadRequest for what lies in no drive.
    """
    if store is not None:
        return Place(store.resolve(), _mounted_at(store.resolve()), _inside(os.fspath(path), path))
    whole = path.parent.resolve() / path.name if path.name not in ("", "..") else path.resolve()
    found = mounts.containing(os.fsencode(whole))
    if found is not None and found.is_hyperfs:
        below = os.fsencode(whole)[len(found.point) :].strip(b"/")
        inside = b"/".join(filter(None, (found.inside, below)))
        return Place(found.store, Path(os.fsdecode(found.point)), _inside(os.fsdecode(inside), path))
    resolved = path.resolve()
    if (resolved / folder.FORMAT_FILE).is_file() or (resolved / folder.CONTROL).is_file():
        return Place(resolved, _mounted_at(resolved), "")
    if not os.path.lexists(path):
        raise BadRequest(f"{path} does not exist, and would lie in no mounted drive")
    raise BadRequest(
        f"{path} lies in no mounted drive and is no store: give a path below a mounted drive, or a store's folder "
        "('hyperfs mount' mounts one)"
    )


def _inside(text: str, path: Path) -> str:
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise BadRequest(f"{path}: with --store, a path begins at the drive's root and has no '..'")
    if VERSIONS_NAME in parts:
        raise BadRequest(f"{path} is an old version: name the path itself, and the version with --at")
    return "/".join(parts)


def _mounted_at(store: Path) -> Path | None:
    found = mounts.of_store(store)
    return Path(os.fsdecode(found[-1].point)) if found else None


@contextmanager
def session(place: Place, passphrase_file: Path | None = None, read_only: bool = False) -> Iterator[Asks]:
    """Asks the process that has the drive mounted; else opens the store here, for as long as the block runs.

    Raises Unreachable, and what opening a store raises. `read_only` leaves a store as it is in every byte.
    """
    try:
        connection = client.connect(place.store)
    except client.Busy:
        raise
    except Unreachable:
        if place.mount is not None:
            raise Unreachable(
                f"the process that served {place.mount} is gone: 'hyperfs mount {place.store} {place.mount}' "
                "mounts it again, with everything that was synced"
            ) from None
        with _opened(place.store, passphrase_file, read_only) as local:
            yield local
        return
    with connection:
        yield connection.check_version().begin()


@contextmanager
def _opened(store: Path, passphrase_file: Path | None, read_only: bool) -> Iterator[Asks]:
    """The event loop and the volume only come in where they are needed: importing them takes a while."""
    from hyperfs.cli.local import Local
    from hyperfs.daemon import key_files
    from hyperfs.daemon.hardening import keep_memory_private
    from hyperfs.volume.opening import open_volume
    from hyperfs.volume.options import Options

    keep_memory_private()
    keys = key_files.load_device(store, passphrases.asker(passphrase_file))
    read_only = read_only or not os.access(store, os.W_OK)
    with Local(store, open_volume(store, keys, Options(read_only=read_only))) as local:
        yield local
