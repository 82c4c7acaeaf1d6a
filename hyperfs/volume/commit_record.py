"""The commit: one block of the metadata log that makes a version of all that was written before it.

Format: docs/formats/commit.md. Integers are little-endian.
"""

import struct
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from hyperfs.errors import Corrupt, FormatTooNew
from hyperfs.trie.node import Ref
from hyperfs.trie.node_pack import Point

FORMAT: Final = 1
_FIXED: Final = struct.Struct("<BBHIQqqQqqQQQQQ")
_HEAD: Final = struct.Struct("<IIQQ32s")
_REALM: Final = struct.Struct("<IIB")
_ROOT: Final = struct.Struct("<16sIQQQ")
_COUNTS: Final = struct.Struct("<HHIII")
_OVERFLOW: Final = struct.Struct("<III")
_DEAD_NODE: Final = struct.Struct("<IQQ")
_DEAD_CHUNK: Final = struct.Struct("<16sIQQ")
_CHUNK: Final = struct.Struct("<16s")
_LAST_SECOND: Final = 253_402_300_799
"""Of the year 9999: a later one has no name in `.versions`."""


class LogHead(NamedTuple):
    """How far a log had got: what a commit says of the logs that it rests on."""

    log: int
    fork: int
    length: int
    byte_length: int
    tree_hash: bytes


class RealmRoot(NamedTuple):
    """The root of one realm's trie, None when it is empty, and the key epoch that was current."""

    realm: int
    epoch: int
    root: Ref | None


class DeadNode(NamedTuple):
    """A trie node that the parent version reached and this one does not; `born` is the version that wrote it."""

    log: int
    point: Point
    born: int


class DeadChunk(NamedTuple):
    """A chunk whose last live extent went in this version; `born` is the version that first held its block."""

    chunk: bytes
    log: int
    block: int
    born: int


@dataclass
class Replaced:
    """What a commit let go of and what it brought back, so that collection costs what goes, not what stays."""

    nodes: list[DeadNode] = field(default_factory=list)
    chunks: list[DeadChunk] = field(default_factory=list)
    resurrected: list[bytes] = field(default_factory=list)


@dataclass(frozen=True)
class Commit:
    """A version. Times are nanoseconds since the epoch.

    `time_ns` never goes back along a device's commits, `wall_ns` is what the clock said. `display_second` is the
    second under which `.versions` lists it, 0 when it is not listed; `listed_second` is the newest that any
    commit up to this one is listed under. `journal_sequence` is the newest journal
    record that is folded in. `dead_blocks` counts the overflow blocks right before this one that go on with
    `replaced`.
    """

    version: int
    device: int
    time_ns: int
    wall_ns: int
    clock: int
    display_second: int
    listed_second: int
    journal_sequence: int
    next_ino: int
    files: int
    directories: int
    file_bytes: int
    content: LogHead
    parents: tuple[LogHead, ...]
    realms: tuple[RealmRoot, ...]
    dead_blocks: int = 0
    replaced: Replaced = field(default_factory=Replaced)

    @property
    def root(self) -> Ref | None:
        """The root of realm 0, the drive's own tree."""
        return self.realms[0].root


def encode(commit: Commit) -> bytes:
    """The commit block's plaintext."""
    parts = [
        _FIXED.pack(
            FORMAT,
            0,
            commit.device,
            commit.dead_blocks,
            commit.version,
            commit.time_ns,
            commit.wall_ns,
            commit.clock,
            commit.display_second,
            commit.listed_second,
            commit.journal_sequence,
            commit.next_ino,
            commit.files,
            commit.directories,
            commit.file_bytes,
        ),
        _HEAD.pack(*commit.content),
        _COUNTS.pack(
            len(commit.parents),
            len(commit.realms),
            len(commit.replaced.nodes),
            len(commit.replaced.chunks),
            len(commit.replaced.resurrected),
        ),
    ]
    parts += [_HEAD.pack(*head) for head in commit.parents]
    for realm, epoch, root in commit.realms:
        parts.append(_REALM.pack(realm, epoch, root is not None))
        if root is not None:
            parts.append(_ROOT.pack(root.id, root.log, root.point, root.weight, root.count))
    parts.append(encode_replaced(commit.replaced))
    return b"".join(parts)


def encode_replaced(replaced: Replaced) -> bytes:
    """The lists alone, as they stand at the end of a commit."""
    return b"".join(
        [
            *(_DEAD_NODE.pack(*node) for node in replaced.nodes),
            *(_DEAD_CHUNK.pack(*chunk) for chunk in replaced.chunks),
            *(_CHUNK.pack(chunk) for chunk in replaced.resurrected),
        ]
    )


def encode_overflow(part: Replaced) -> bytes:
    """The plaintext of an overflow block: the three counts (u32), then the lists."""
    return _OVERFLOW.pack(len(part.nodes), len(part.chunks), len(part.resurrected)) + encode_replaced(part)


def decode_overflow(data: bytes) -> Replaced:
    """Raises Corrupt."""
    reader = _Reader(data)
    nodes, chunks, resurrected = reader.take(_OVERFLOW)
    part = _take_replaced(reader, int(nodes), int(chunks), int(resurrected))
    if reader.position != len(data):
        raise Corrupt("overflow block has bytes behind its end")
    return part


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def take(self, layout: struct.Struct) -> tuple[Any, ...]:
        try:
            values = layout.unpack_from(self.data, self.position)
        except struct.error:
            raise Corrupt("commit block is too short") from None
        self.position += layout.size
        return values

    def take_list(self, layout: struct.Struct, count: int) -> list[tuple[Any, ...]]:
        end = self.position + layout.size * count
        if end > len(self.data):
            raise Corrupt("commit block is too short for its lists")
        values = list(layout.iter_unpack(self.data[self.position : end]))
        self.position = end
        return values


def decode(data: bytes) -> Commit:
    """Raises Corrupt when the bytes are no commit, FormatTooNew when they are one of a later hyperfs."""
    if data and data[0] > FORMAT:
        raise FormatTooNew("a commit", data[0], FORMAT)
    reader = _Reader(data)
    fixed = reader.take(_FIXED)
    if fixed[0] != FORMAT or fixed[1]:
        raise Corrupt("commit block has an unknown format", f"format {fixed[0]!r}, then {fixed[1]!r}")
    content = LogHead(*reader.take(_HEAD))
    parents, realms, nodes, chunks, resurrected = reader.take(_COUNTS)
    heads = tuple(LogHead(*head) for head in reader.take_list(_HEAD, int(parents)))
    if not realms:
        raise Corrupt("commit block has no realm")
    roots = tuple(_take_realm(reader) for _ in range(int(realms)))
    replaced = _take_replaced(reader, int(nodes), int(chunks), int(resurrected))
    if reader.position != len(data):
        raise Corrupt("commit block has bytes behind its end")
    _, _, device, dead_blocks, version, *rest = (int(value) for value in fixed)
    time_ns, wall_ns, clock, display, listed, sequence, next_ino, files, directories, file_bytes = rest
    if time_ns < 0 or not (0 <= display <= _LAST_SECOND and 0 <= listed <= _LAST_SECOND):
        raise Corrupt("commit block has a time that no commit has", f"{time_ns} ns, seconds {display} and {listed}")
    commit = Commit(
        version=version,
        device=device,
        time_ns=time_ns,
        wall_ns=wall_ns,
        clock=clock,
        display_second=display,
        listed_second=listed,
        journal_sequence=sequence,
        next_ino=next_ino,
        files=files,
        directories=directories,
        file_bytes=file_bytes,
        content=content,
        parents=heads,
        realms=roots,
        dead_blocks=dead_blocks,
        replaced=replaced,
    )
    if encode(commit) != data:
        raise Corrupt("commit block is not in its one encoding")
    return commit


def _take_realm(reader: _Reader) -> RealmRoot:
    realm, epoch, present = reader.take(_REALM)
    if present not in (0, 1):
        raise Corrupt("commit block neither has a root nor has none", f"realm {realm!r}")
    if not present:
        return RealmRoot(int(realm), int(epoch), None)
    return RealmRoot(int(realm), int(epoch), Ref(*reader.take(_ROOT)))


def _take_replaced(reader: _Reader, nodes: int, chunks: int, resurrected: int) -> Replaced:
    return Replaced(
        [DeadNode(*node) for node in reader.take_list(_DEAD_NODE, nodes)],
        [DeadChunk(*chunk) for chunk in reader.take_list(_DEAD_CHUNK, chunks)],
        [chunk[0] for chunk in reader.take_list(_CHUNK, resurrected)],
    )
