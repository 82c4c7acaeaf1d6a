"""The last survey as rows of the derived index, from which the next mount goes on: it reads what has changed since,
and not the whole drive. Encode beside decode.

    y                     -> which parts count: generation u8, how many u16, a keyed hash of all of them
    y generation, number  -> a part

Two generations by turns, and the row that says which one counts is written last: a crash leaves the one before. The
hash is keyed with the drive's key for node ids, so that rows which are damaged, or of another drive, are not believed;
then all is looked at. Nothing of it is a promise: before bytes leave, places are asked.
"""

import json
import struct
import sys
import zlib
from array import array
from collections.abc import Iterator
from hmac import compare_digest
from typing import Final, Literal, NamedTuple

from hyperfs.crypto.ids import ID_BYTES, node_id
from hyperfs.errors import IndexDamaged
from hyperfs.policy.placement import Needs, Strength
from hyperfs.trie.node import Ref
from hyperfs.volume.catalog import Catalog, Change
from hyperfs.volume.survey import Own, Survey, SurveyedLog
from hyperfs.volume.survey_table import Table

FORM: Final = 1
"""To be counted up when the bytes, or what a survey says by them, become others: then all is looked at once more."""
PART_BYTES: Final = 256 << 10
PARTS_MOST: Final = 64
"""16 MiB: some ten million blocks. Of more none is kept, and each mount looks at all."""
_KEY: Final = b"y"
_HEAD: Final = struct.Struct(f"<BH{ID_BYTES}s")
_PART: Final = struct.Struct(">BH")
_LENGTH: Final = struct.Struct("<I")


class Kept(NamedTuple):
    """A survey, without what it knows of moved chunks; the version and the root that it was of; `policies`: a keyed
    hash of those that it went by; the hour in which it was made."""

    survey: Survey
    version: int
    root: Ref | None
    policies: bytes
    hour: int


class SurveyRows:
    """`save` is for the trio thread; the rest for any."""

    def __init__(self, catalog: Catalog, key: bytes) -> None:
        """`key`: for node ids."""
        self._catalog = catalog
        self._key = key

    def hash_of(self, policies: Own) -> bytes:
        """Of all that was set anywhere."""
        told = sorted((ino, name.hex(), value.hex()) for ino, own in policies.items() for name, value in own.items())
        return self._tag(b"policies", json.dumps(told).encode())

    def save(self, data: bytes) -> Iterator[None]:
        """In place of what was saved before, a part at each step. What is too large is not saved."""
        if len(data) > PARTS_MOST * PART_BYTES:
            return
        head = self._head()
        generation = 0 if head is None else 1 - (head[0] & 1)
        parts = [data[at : at + PART_BYTES] for at in range(0, len(data), PART_BYTES)]
        for number, part in enumerate(parts):
            self._catalog.apply([(_part_key(generation, number), part)])
            yield
        gone: list[Change] = [(_part_key(1 - generation, number), None) for number in range(PARTS_MOST)]
        gone += [(_part_key(generation, number), None) for number in range(len(parts), PARTS_MOST)]
        self._catalog.apply([(_KEY, _HEAD.pack(generation, len(parts), self._tag(b"survey", data))), *gone])

    def load(self) -> Kept | None:
        """What was saved last; None where there is nothing that can be believed."""
        head = self._head()
        if head is None:
            return None
        generation, count, tag = head
        data = b"".join(self._row(_part_key(generation, number)) for number in range(min(count, PARTS_MOST)))
        return decode(data) if compare_digest(tag, self._tag(b"survey", data)) else None

    def _head(self) -> tuple[int, int, bytes] | None:
        row = self._row(_KEY)
        if len(row) != _HEAD.size:
            return None
        generation, count, tag = _HEAD.unpack(row)
        return generation, count, tag

    def _row(self, key: bytes) -> bytes:
        """Empty for none."""
        try:
            return self._catalog.row(key) or b""
        except IndexDamaged:
            return b""

    def _tag(self, what: bytes, data: bytes) -> bytes:
        # No node's canonical form begins like this, so that no tag is ever a node's id.
        return node_id(self._key, what + data)


def _part_key(generation: int, number: int) -> bytes:
    return _KEY + _PART.pack(generation, number)


def encode(kept: Kept) -> bytes:
    """What `decode` reads: a JSON text behind its length, then the blocks' numbers, all little-endian; deflated."""
    survey, root = kept.survey, kept.root
    head = {
        "form": FORM,
        "version": kept.version,
        "root": None if root is None else [root.id.hex(), *root[1:]],
        "policies": kept.policies.hex(),
        "hour": kept.hour,
        "needs": [
            [needs.strength, needs.copies, needs.by_default, None if needs.places is None else sorted(needs.places)]
            for needs in survey.table.all
        ],
        "logs": [[number, len(found.needs)] for number, found in survey.logs.items()],
        "media": len(survey.media),
    }
    told = json.dumps(head).encode()
    packer = zlib.compressobj(1)
    parts = [packer.compress(_LENGTH.pack(len(told)) + told)]
    for found in survey.logs.values():
        parts += [packer.compress(_little(found.needs)), packer.compress(_little(found.used))]
        parts += [packer.compress(found.flags), packer.compress(_little(found.named))]
    parts += [packer.compress(_little(survey.media)), packer.flush()]
    return b"".join(parts)


def decode(data: bytes) -> Kept | None:
    """What `encode` gave, by whichever hyperfs: a keyed hash vouches for it. None for another form."""
    plain = memoryview(zlib.decompress(data))
    (length,) = _LENGTH.unpack_from(plain)
    at = _LENGTH.size + length
    head = json.loads(bytes(plain[_LENGTH.size : at]))
    if head["form"] != FORM:
        return None
    reader = _Reader(plain, at)
    table = Table.of(
        [
            Needs(Strength(strength), copies, by_default, None if places is None else frozenset(places))
            for strength, copies, by_default, places in head["needs"]
        ]
    )
    logs = {
        number: SurveyedLog(
            reader.numbers("H", blocks), reader.numbers("I", blocks), reader.take(blocks), reader.numbers("I", blocks)
        )
        for number, blocks in head["logs"]
    }
    survey = Survey(table, logs, {}, reader.numbers("Q", head["media"]))
    root = None if head["root"] is None else Ref(bytes.fromhex(head["root"][0]), *head["root"][1:])
    return Kept(survey, head["version"], root, bytes.fromhex(head["policies"]), head["hour"])


class _Reader:
    """Takes one thing after the other."""

    def __init__(self, data: memoryview, at: int) -> None:
        self._data = data
        self._at = at

    def take(self, size: int) -> bytearray:
        self._at += size
        return bytearray(self._data[self._at - size : self._at])

    def numbers(self, kind: Literal["H", "I", "Q"], count: int) -> "array[int]":
        found: array[int] = array(kind)
        found.frombytes(self.take(count * found.itemsize))
        if sys.byteorder == "big":
            found.byteswap()
        return found


def _little(found: "array[int]") -> bytes:
    if sys.byteorder == "big":
        found = found[:]
        found.byteswap()
    return found.tobytes()
