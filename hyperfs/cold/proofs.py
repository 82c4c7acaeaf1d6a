"""Rows of the derived index that say which object was proven when: encode beside decode. Pure but for the index.

    o place-length u8, place, log u32, name -> proven i64 ns, size u64, tag-length u8, tag, runs (u16, u16)*

Runs are from the name's first block on; without any, which blocks are in it is not known. A row that is of another form
counts as absent: a list of the place and an audit make it again.
"""

import struct
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from hyperfs.cold.holdings import Held
from hyperfs.cold.object_format import Name
from hyperfs.errors import IndexDamaged
from hyperfs.volume.catalog import Catalog

PREFIX: Final = b"o"
TAG_MOST: Final = 255
RUNS_MOST: Final = 2048

_LOG: Final = struct.Struct(">I")
_PROOF: Final = struct.Struct("<qQB")
_RUN: Final = struct.Struct("<HH")


def place_prefix(place: str) -> bytes:
    name = place.encode()
    return PREFIX + bytes([len(name)]) + name


def row_of(place: str, held: Held) -> tuple[bytes, bytes]:
    tag = held.tag.encode()[:TAG_MOST]
    first = held.name.first
    runs = b"".join(_RUN.pack(low - first, high - first) for low, high in held.runs or ())
    key = place_prefix(place) + _LOG.pack(held.log) + held.name.encode().encode()
    return key, _PROOF.pack(held.proven_ns, held.size, len(tag)) + tag + runs


def decode_row(place: str, key: bytes, value: bytes) -> Held:
    """Raises IndexDamaged for what is no row of the place."""
    prefix = place_prefix(place)
    log = key[len(prefix) : len(prefix) + _LOG.size]
    try:
        name = Name.decode(key[len(prefix) + _LOG.size :].decode("ascii"))
        proven_ns, size, tag_bytes = _PROOF.unpack_from(value)
        tag = value[_PROOF.size : _PROOF.size + tag_bytes].decode()
        runs = tuple(_RUN.iter_unpack(value[_PROOF.size + tag_bytes :]))
    except (UnicodeDecodeError, struct.error):
        raise IndexDamaged("a row of a cold object has an impossible form") from None
    if not key.startswith(prefix) or name is None or len(log) < _LOG.size or len(tag.encode()) != tag_bytes:
        raise IndexDamaged("a row of a cold object has an impossible form")
    if runs and not _are_of(name, runs):
        raise IndexDamaged("a row of a cold object names blocks that are not in it")
    found = tuple((name.first + low, name.first + high) for low, high in runs) or None
    return Held(_LOG.unpack(log)[0], name, size, tag, found, proven_ns)


def _are_of(name: Name, runs: tuple[tuple[int, ...], ...]) -> bool:
    bounds = [bound for run in runs for bound in run]
    ascending = all(low < high for low, high in pairwise(bounds))
    whole = bounds[0] == 0 and bounds[-1] == name.end - name.first
    return ascending and whole and sum(high - low for low, high in runs) == name.here


class Proofs:
    """The rows of all places. Owned by the trio thread."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def load(self, place: str) -> Iterator[Held]:
        prefix = place_prefix(place)
        try:
            rows = list(self._catalog.rows(prefix, prefix))
        except IndexDamaged:
            return
        for key, value in rows:
            try:
                yield decode_row(place, key, value)
            except IndexDamaged:
                continue

    def keep(self, place: str, held: Held) -> None:
        self._catalog.apply([row_of(place, held)])

    def forget(self, place: str, held: Held) -> None:
        self._catalog.apply([(row_of(place, held)[0], None)])

    def forget_all(self, place: str) -> None:
        prefix = place_prefix(place)
        self._catalog.apply([(key, None) for key, _ in self._catalog.rows(prefix, prefix)])
