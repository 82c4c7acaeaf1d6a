"""What many kept versions reach, remembered by groups of them: so that marking costs what has changed among them.

A group is the kept versions of a stretch of numbers. Its last one is marked as any version is; of the others the row
has what they reach beside it. Versions never change, so a row holds as long as the same ones are kept. It carries a
keyed hash over their places, and over the tree hashes of the logs that they lie in; one that does not fit is made anew.
"""

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from hmac import compare_digest
from itertools import groupby
from typing import Final

from hyperfs.crypto.ids import ID_BYTES, node_id
from hyperfs.errors import Corrupt, NotResident
from hyperfs.trie.left_behind import left_behind
from hyperfs.trie.node import Leaf, Ref
from hyperfs.volume.catalog import Catalog, Change, VersionFacts
from hyperfs.volume.marking import Marks, Progress, mark_commit, mark_entry, mark_leaf
from hyperfs.volume.parts import Parts
from hyperfs.volume.remembered import Reached, Remembered
from hyperfs.volume.versions import read_commit

GROUP_VERSIONS: Final = 512
"""So many numbers belong to a group."""
ROW_BYTES: Final = 512 << 10
REACHED_MOST: Final = 200_000
"""Blocks, and packs of nodes. Of a group that reaches more nothing is remembered: it would take too much memory."""
_NODES_NEAR: Final = 1024
_SPACE: Final = b"n"
_KEY: Final = struct.Struct(">QH")
_PLACE: Final = struct.Struct("<QIQ")
_END: Final = struct.Struct("<IQ")


class Groups:
    """Marks many versions that are offered whole, by groups. In a worker thread."""

    def __init__(self, parts: Parts, keep: Callable[[list[Change]], None], progress: Progress) -> None:
        """`keep` takes rows for the index; it may drop them."""
        self._parts = parts
        self._keep = keep
        self._progress = progress
        self._remembered = Remembered(parts.nodes, parts.catalog, parts.node_id_key, keep, progress)

    def mark_each(self, versions: Sequence[VersionFacts], marks: Marks) -> None:
        """Marks what versions reach, and their commits; the newest, which is the last, first.

        Raises Corrupt or NotResident where what is not remembered can't be read.
        """
        for facts in reversed(versions):
            commit = read_commit(self._parts.nodes, facts.log, facts.index)
            self._remembered.mark([realm.root for realm in commit.realms], marks)
            mark_commit(facts.log, facts.index, commit.dead_blocks, marks)

    def mark(self, versions: Sequence[VersionFacts], marks: Marks) -> None:
        """As `mark_each`, of so many that each of them would take too long, or a row each too much room."""
        groups = [(number, list(found)) for number, found in groupby(versions, _group)]
        for done, (number, found) in enumerate(reversed(groups)):
            self._progress("looking for what is kept", done, len(groups))
            self.mark_each(found[-1:], marks)
            if len(found) > 1:
                self._mark_beside(number, found, marks)

    def _mark_beside(self, number: int, versions: list[VersionFacts], marks: Marks) -> None:
        """What they reach beside the last of them."""
        name = self._name(versions)
        data = self._recall(number, name)
        if data is not None:
            Reached.decode(data, marks)
            return
        read = 0
        for found in self._read(versions):
            found.pour(marks)
            read += 1
        if read == 1 and name:
            self._remember(number, name, found)

    def _read(self, versions: list[VersionFacts]) -> Iterator[Reached]:
        """Each version's difference from the one after it; in parts, where it is much."""
        found, nodes = Reached(), self._parts.nodes
        load = lru_cache(_NODES_NEAR)(nodes.read)  # past the cache of nodes; each is compared with two others
        after: dict[int, Ref | None] | None = None
        for facts in reversed(versions):
            commit = read_commit(nodes, facts.log, facts.index)
            mark_commit(facts.log, facts.index, commit.dead_blocks, found)
            roots = {realm.realm: realm.root for realm in commit.realms}
            for realm, root in roots.items() if after is not None else ():
                for ref, node in left_behind(load, root, after.get(realm) if after is not None else None):
                    found.add_node(ref.log, ref.point)
                    if isinstance(node, Leaf):
                        mark_leaf(node, found)
                    elif node.ends is not None:
                        mark_entry(node.prefix, *node.ends, found)
                    self._progress("looking for what is kept", 0, 0)
                    if found.size > REACHED_MOST:
                        yield found
                        found = Reached()
            after = roots
        yield found

    def _name(self, versions: list[VersionFacts]) -> bytes:
        """What a row is of: the versions' places, and what their logs held there. Empty where that can't be told."""
        ends = {facts.log: facts.index + 1 for facts in versions}  # they ascend
        places = [_PLACE.pack(facts.version, facts.log, facts.index) for facts in versions]
        try:
            held = [_END.pack(log, end) + self._parts.logs[log].prefix_hash(end) for log, end in sorted(ends.items())]
        except (Corrupt, NotResident, IndexError, KeyError):
            return b""
        return struct.pack("<I", len(places)) + b"".join(places + held)

    def _recall(self, number: int, name: bytes) -> bytes | None:
        row = b"".join(value for _, value in self._parts.catalog.rows(_prefix(number), _prefix(number)))
        if not name or not compare_digest(row[:ID_BYTES], self._tag(name, row[ID_BYTES:])):
            return None
        return zlib.decompress(row[ID_BYTES:])

    def _remember(self, number: int, name: bytes, found: Reached) -> None:
        data = zlib.compress(found.encode(), 1)
        row = self._tag(name, data) + data
        rows = dict(_without(self._parts.catalog, number))
        for part, at in enumerate(range(0, len(row), ROW_BYTES)):
            rows[_SPACE + _KEY.pack(number, part)] = row[at : at + ROW_BYTES]
        self._keep(list(rows.items()))

    def _tag(self, name: bytes, data: bytes) -> bytes:
        # No node's canonical form begins like this, so that no tag is ever a node's id.
        return node_id(self._parts.node_id_key, b"group" + name + data)


def forget_groups(catalog: Catalog, kept: Iterable[VersionFacts]) -> list[Change]:
    """The changes that take away the rows of groups of which no version is kept."""
    numbers = {_group(facts) for facts in kept}
    found: list[Change] = []
    at = 0
    while (row := next(catalog.rows(_SPACE, _SPACE + _KEY.pack(at, 0)), None)) is not None:
        number = int.from_bytes(row[0][1:9], "big")
        if number not in numbers:
            found += _without(catalog, number)
        at = number + 1
    return found


def _without(catalog: Catalog, number: int) -> list[Change]:
    return [(key, None) for key, _ in catalog.rows(_prefix(number), _prefix(number))]


def _prefix(number: int) -> bytes:
    return _SPACE + _KEY.pack(number, 0)[:8]


def _group(facts: VersionFacts) -> int:
    return facts.version // GROUP_VERSIONS
