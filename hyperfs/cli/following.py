"""What comes before another's drive is mounted by a link: the store in which it is followed."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from hyperfs.cli.output import progress, shown
from hyperfs.crypto.keys import DeviceKeys
from hyperfs.crypto.wrap import KIND_DEVICE
from hyperfs.daemon import key_files
from hyperfs.errors import BadRequest
from hyperfs.store import folder

if TYPE_CHECKING:
    from hyperfs.sharing.link import Link

RECORD: Final = "link"


def place_of(link: "Link") -> Path:
    """Where what comes by a link is kept. Raises KeyMissing for one that opens nothing."""
    from hyperfs.sharing import store

    store.opening_of(link)
    return store.store_of(link)


def link_at(store: Path) -> "Link | None":
    """The link whose store that is."""
    if not (store / RECORD).is_file():
        return None
    from hyperfs.sharing import store as stores

    return stores.link_in(store)


def brought(link: "Link", store: Path, at: str | None) -> DeviceKeys:
    """The keys in the store, which is made where there is none. Raises what `bring_store` does."""
    if at is not None and link.version is not None:
        raise BadRequest(f"the link is to version {link.version}: it shows no other")
    if not (store / folder.FORMAT_FILE).is_file():
        import trio

        from hyperfs.sharing.store import bring_store

        with progress() as tell:
            trio.run(bring_store, link, store, _new_keys, tell)
        where = shown(str(store))
        click.echo(f"What comes of it is kept in {where}, which can be deleted when it is not mounted.", err=True)
    os.utime(store)  # used just now: nobody is to make room of it before it is mounted
    return key_files.load_device(store, lambda what: None)


def _new_keys() -> tuple[DeviceKeys, bytes]:
    """Of nobody: by them no peer knows that two readers are one."""
    keys = DeviceKeys(*(os.urandom(32) for _ in range(4)))
    return keys, key_files.wrapped(KIND_DEVICE, keys.to_bytes(), None)
