"""Repair: a version is written right into the metadata log, before the drive can be opened for writing.

As every commit it is appended, and nothing that was there is touched: what is damaged stays where it was, and a kill
leaves the log as it was or with the version.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from hyperfs.chunks import codec
from hyperfs.crypto.ids import node_id
from hyperfs.crypto.seal import KIND_COMMIT, KIND_DEAD
from hyperfs.log.merkle import leaf_hash
from hyperfs.trie.node import Child, Ref
from hyperfs.trie.node_pack import Point
from hyperfs.trie.persist import persist
from hyperfs.volume import commit_record
from hyperfs.volume.batch import Batch, seal_blocks
from hyperfs.volume.commit_record import Commit, DeadNode, LogHead, RealmRoot, Replaced
from hyperfs.volume.commit_writer import DEAD_BLOCK_ENTRIES, REALM, display_second
from hyperfs.volume.deaths import split_replaced
from hyperfs.volume.opening import Ground

Place = tuple[int, Point]
"""Of a node: the log, and where in it."""
BATCH_BLOCKS: Final = 200


class Facts(NamedTuple):
    """What a commit says beside its tree."""

    version: int
    journal_sequence: int
    next_ino: int
    files: int
    directories: int
    file_bytes: int


def write_version(
    ground: Ground,
    root: Child | None,
    facts: Facts,
    known: Mapping[bytes, Place],
    gone: list[Ref],
    wall_ns: Callable[[], int],
    back: Sequence[bytes] = (),
) -> Commit:
    """Appends the nodes of `root` that are not `known` (places by id) and a commit; durable when it returns.

    `gone`: nodes of the tree before; those that are known stay. `back`: chunks that it may not have had. Raises
    OSError; then there is no such version.
    """
    log, first = ground.logs[ground.metadata], ground.logs[ground.metadata].length
    batch = Batch(first)
    ids: list[bytes] = []

    def identify(canonical: bytes) -> bytes:
        ids.append(node_id(ground.epoch.node_id_key(), canonical))
        return ids[-1]

    def append(data: bytes) -> Place:
        place = known.get(ids.pop())
        if place is not None:
            return place
        return ground.metadata, batch.add_node(data)

    stored = persist(root, identify, append)
    still = set(known.values())
    dead = [DeadNode(ref.log, ref.point, 0) for ref in gone if (ref.log, ref.point) not in still]
    parts = split_replaced(Replaced(dead, [], list(back)), DEAD_BLOCK_ENTRIES)
    for part in parts[1:]:
        batch.add(KIND_DEAD, commit_record.encode_overflow(part))
    commit = replace(_describe(ground, stored, facts, wall_ns()), dead_blocks=len(parts) - 1, replaced=parts[0])
    batch.add(KIND_COMMIT, commit_record.encode(commit))
    plain = batch.blocks()
    try:
        for start in range(0, len(plain), BATCH_BLOCKS):
            part_of_it = plain[start : start + BATCH_BLOCKS]
            blocks = seal_blocks(
                ground.sealer, ground.metadata, log, first + start, part_of_it, codec.DEFAULT_LEVEL
            )
            log.append(blocks, [leaf_hash(block) for block in blocks])
        log.flush()
    except BaseException:
        log.rollback(max(first, log.signed_length))
        raise
    ground.newest, ground.newest_at = commit, (ground.metadata, log.length - 1)
    return commit


def _describe(ground: Ground, root: Ref | None, facts: Facts, wall: int) -> Commit:
    newest = ground.newest
    head, content = ground.logs[ground.metadata].head(), ground.logs[ground.content].head()
    parent = LogHead(ground.metadata, head.fork, head.length, head.byte_length, head.tree_hash)
    if ground.follows is not None and not head.length:
        parent = ground.follows
    second = display_second(wall, newest)
    return Commit(
        version=facts.version,
        device=ground.device,
        time_ns=max(wall, newest.time_ns + 1),
        wall_ns=wall,
        clock=max(wall, newest.clock + 1),
        display_second=second,
        listed_second=second or newest.listed_second,
        journal_sequence=facts.journal_sequence,
        next_ino=facts.next_ino,
        files=facts.files,
        directories=facts.directories,
        file_bytes=facts.file_bytes,
        content=LogHead(ground.content, content.fork, content.length, content.byte_length, content.tree_hash),
        parents=(parent,),
        realms=(RealmRoot(REALM, ground.sealer.epoch, root),),
    )
