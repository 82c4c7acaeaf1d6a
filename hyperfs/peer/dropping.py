"""A drive that is held here no more, because the peer's owner says so: it and its parts go at once, with their blocks.

The record `drop-ID` of the peer itself says that a drive is to go. Its owner's command writes it, beside the process
that serves or not; whoever has the store open does it, and takes the record away when nothing is left. So what was
begun is ended, by the next process if need be.
"""

import re
from collections.abc import Iterator
from typing import Final

from hyperfs.errors import HyperfsError
from hyperfs.peer.account import PART_OF, decode_part
from hyperfs.peer.blockstore import OWN, BlockStore

ASKED: Final = b"hyperfs drop\nformat 1\n"
"""What the record says: its name says it all."""
_NAME: Final = re.compile(r"drop-((?:[0-9a-f]{2}){1,64})")


def name_of(drive: bytes) -> str:
    """Of the record."""
    return f"drop-{drive.hex()}"


def asked(store: BlockStore) -> list[bytes]:
    """The drives that are to go."""
    return [bytes.fromhex(found[1]) for name in store.names(OWN) if (found := _NAME.fullmatch(name))]


def with_parts(store: BlockStore, drive: bytes) -> list[bytes]:
    """The drive, after those that are parts of it."""
    return [*_parts(store, drive), drive]


def bytes_of(store: BlockStore, drive: bytes) -> int:
    """What it and its parts take."""
    return sum(store.size_of(place) for found in with_parts(store, drive) for place in store.places(found))


def erase(store: BlockStore, drive: bytes) -> None:
    """All of one drive; durable. It must not be open. Whose part it was goes last."""
    for place in store.places(drive):
        store.remove(place)
    for name in sorted(store.names(drive), key=lambda name: name == PART_OF):
        store.discard(drive, name)


def finish(store: BlockStore) -> None:
    """What was to go when the store was last open, and is still there."""
    for drive in asked(store):
        for found in with_parts(store, drive):
            erase(store, found)
        store.discard(OWN, name_of(drive))


def _parts(store: BlockStore, drive: bytes) -> Iterator[bytes]:
    for other in store.drives():
        data = store.read(other, PART_OF)
        try:
            if data is not None and other != drive and decode_part(data).drive == drive:
                yield other
        except HyperfsError:
            continue  # a damaged record: nobody knows whose it is
