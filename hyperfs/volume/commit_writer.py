"""What a commit writes: the trie's new nodes, what does not fit the commit's own block, and last the commit."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import trio

from hyperfs.crypto.ids import node_id
from hyperfs.crypto.seal import KIND_COMMIT, KIND_DEAD, Sealer
from hyperfs.log.log import Log
from hyperfs.log.merkle import leaf_hash
from hyperfs.trie.node import Node, Ref
from hyperfs.trie.persist import persist
from hyperfs.volume import commit_record
from hyperfs.volume.batch import Batch, seal_blocks
from hyperfs.volume.catalog import Catalog, Change, began_change, commit_changes, content_change
from hyperfs.volume.commit_record import Commit, LogHead, RealmRoot, Replaced
from hyperfs.volume.content import Content
from hyperfs.volume.deaths import deaths, split_replaced
from hyperfs.volume.fold import Folded
from hyperfs.volume.nodes import Nodes

REALM: Final = 0
DEAD_BLOCK_ENTRIES: Final = 4000
"""Dead things listed in one block; a commit's own block takes that many too. Some 150 KiB."""
SECOND_NS: Final = 1_000_000_000
MANY_RECORDS: Final = 3000  # changed inodes, from which on their nodes are made in a worker thread
NODE_LEVEL: Final = 11
"""Of packs it takes 7% more off than level 3, in half a millisecond each."""


@dataclass
class Frozen:
    """What a commit under way must finish: kept over a failure."""

    records: dict[int, bytes | None]
    journal_sequence: int
    totals: tuple[int, int, int]
    next_ino: int
    only_facts: bool  # nothing that `.versions` could show has changed
    began_ns: int  # when the first change came


class CommitWriter:
    """Appends commits to the metadata log of one device, and syncs nothing. Used by one commit at a time."""

    def __init__(
        self,
        *,
        log: Log,
        number: int,
        device: int,
        sealer: Sealer,
        node_id_key: bytes,
        nodes: Nodes,
        catalog: Catalog,
        content: Content,
        follows: LogHead | None,
        wall_ns: Callable[[], int],
    ) -> None:
        """`follows`: where the first commit of this log goes on from, if not from itself."""
        self.log = log
        self._number = number
        self._device = device
        self._sealer = sealer
        self._node_id_key = node_id_key
        self._nodes = nodes
        self._catalog = catalog
        self._content = content
        self._follows = follows
        self._wall_ns = wall_ns

    async def write(self, newest: Commit, frozen: Frozen, folded: Folded) -> tuple[Commit, list[Change]]:
        """The commit behind `newest`, with all that it needs, is appended; and what the index is to learn of it.

        Raises OSError: then some of it may be in the log, behind its head.
        """
        batch = Batch(self.log.length)
        written: list[tuple[Ref, Node]] = []
        store = partial(
            persist,
            folded.root,
            lambda canonical: node_id(self._node_id_key, canonical),
            lambda data: (self._number, batch.add_node(data)),
            lambda ref, node: written.append((ref, node)),
        )
        root = store() if len(frozen.records) < MANY_RECORDS else await trio.to_thread.run_sync(store)
        replaced, chunk_changes = deaths(folded, self._catalog, newest, self._content.stored)
        commit = self._describe(newest, frozen, root)
        commit = self._add_dead(batch, commit, replaced)
        index = batch.add(KIND_COMMIT, commit_record.encode(commit))
        await self._append(batch)
        for ref, node in written:
            self._nodes.keep((ref.log, ref.point), node)
        changes = [*chunk_changes, *commit_changes(commit, self._number, index, self.log.fork)]
        changes.append(began_change(commit.version, frozen.began_ns or commit.time_ns))
        if commit.content.length > newest.content.length or commit.content.log != newest.content.log:
            changes.append(content_change(commit))
        return commit, changes

    def _describe(self, newest: Commit, frozen: Frozen, root: Ref | None) -> Commit:
        wall = self._wall_ns()
        second = 0 if frozen.only_facts else display_second(wall, newest)
        head, content = self.log.head(), self._content.log.head()
        parent = LogHead(self._number, head.fork, head.length, head.byte_length, head.tree_hash)
        if self._follows is not None and not head.length:
            parent = self._follows
        files, directories, file_bytes = frozen.totals
        return Commit(
            version=newest.version + 1,
            device=self._device,
            time_ns=max(wall, newest.time_ns + 1),
            wall_ns=wall,
            clock=max(wall, newest.clock + 1),
            display_second=second,
            listed_second=second or newest.listed_second,
            journal_sequence=frozen.journal_sequence,
            next_ino=frozen.next_ino,
            files=files,
            directories=directories,
            file_bytes=file_bytes,
            content=LogHead(
                self._content.number, content.fork, content.length, content.byte_length, content.tree_hash
            ),
            parents=(parent,),
            realms=(RealmRoot(REALM, self._sealer.epoch, root),),
        )

    def _add_dead(self, batch: Batch, commit: Commit, replaced: Replaced) -> Commit:
        """Puts what does not fit the commit's own block into blocks right before it."""
        parts = split_replaced(replaced, DEAD_BLOCK_ENTRIES)
        for part in parts[1:]:
            batch.add(KIND_DEAD, commit_record.encode_overflow(part))
        return replace(commit, dead_blocks=len(parts) - 1, replaced=parts[0])

    async def _append(self, batch: Batch) -> None:
        """Compresses, seals and writes the batch."""
        log, number = self.log, self._number

        def seal() -> tuple[list[bytes], list[bytes]]:
            blocks = seal_blocks(self._sealer, number, log, batch.first, batch.blocks(), NODE_LEVEL)
            return blocks, [leaf_hash(block) for block in blocks]

        blocks, leaves = await trio.to_thread.run_sync(seal)
        pending = log.prepare([len(block) for block in blocks], leaves)
        joined = b"".join(blocks)
        await trio.to_thread.run_sync(log.write, pending, joined)


def display_second(wall_ns: int, previous: Commit) -> int:
    """The second under which `.versions` lists a commit, unique and rising; 0 for one that it does not list.

    A second commit within a second is listed under the next one; a third would have to lie about its time.
    A clock that went back goes on from the newest listed second, one a commit.
    """
    wall = wall_ns // SECOND_NS
    second = max(wall, previous.listed_second + 1)
    if second > wall + 1 and wall == previous.wall_ns // SECOND_NS:
        return 0
    return second
