"""Repair: the newest version has a commit or parts of its tree that can't be read. A new version goes on from it.

No log is ever cut: what is damaged stays in its place, for a copy of the block may turn up. What is new comes behind
it, as one more version:

- Where only the commit is lost, its tree is there: the last node before it is its root.
- A lost node may lie in the log twice; its id proves it.
- What no node says any more comes from the newest older version that has it (see `salvage`).
"""

import os
from dataclasses import dataclass, field
from typing import Final

from hyperfs.crypto.seal import KIND_COMMIT, BlockHeader
from hyperfs.errors import HyperfsError
from hyperfs.trie.node import Child, Node, Ref
from hyperfs.trie.update import update
from hyperfs.volume import keys, rescue, salvage
from hyperfs.volume.check_findings import Range
from hyperfs.volume.check_logs import place_of
from hyperfs.volume.commit_record import Commit
from hyperfs.volume.entries import extent_in
from hyperfs.volume.gone import GoneVersions
from hyperfs.volume.newest import COUNTER_BITS
from hyperfs.volume.opening import Ground
from hyperfs.volume.options import Options
from hyperfs.volume.repair_commit import Facts, Place, write_version
from hyperfs.volume.repair_nodes import CheckedNodes, find_nodes, moved_to, nodes_in, words_of
from hyperfs.volume.repair_report import Repaired
from hyperfs.volume.salvage import Entries, Straight, Tree

UPDATE_ENTRIES: Final = 1000
SPARE_INODES: Final = 1 << 20
"""Numbers that the lost version may have given out to files that no version holds."""


@dataclass
class Base:
    """The tree that the new version is made of. `lost_commit`: the place of the newest commit, if that is lost."""

    root: Ref | None
    version: int
    lost_commit: str | None
    tree: Tree
    mended: list[Repaired] = field(default_factory=list)
    moved: dict[bytes, Place] = field(default_factory=dict)


class NewestRepair:
    """Of a drive whose logs stand open for writing, and nothing else."""

    def __init__(self, ground: Ground, options: Options, known_version: int) -> None:
        """`known_version`: a version that there was, as somebody else remembers; 0 when nobody does."""
        self._ground = ground
        self._options = options
        self._known_version = known_version
        self._key = ground.epoch.node_id_key()
        self.load = CheckedNodes(ground).load
        self._back: set[bytes] = set()  # chunks that what came from an older version names: they may have died since

    def base(self) -> Base:
        """What there is to go on from, with lost nodes looked for."""
        ground = self._ground
        root, version, place = ground.newest.root, ground.newest.version, None
        if "newest" in ground.warnings:
            last = ground.logs[ground.metadata].signed_length - 1
            place = place_of(ground.metadata, last)
            version = max(self._known_version, ground.newest.version + self._lost_commits())
            root = self._last_root() or root
        base = Base(root, version, place, salvage.read_tree(self.load, root))
        while base.tree.lost:
            found = find_nodes(ground, {ref.id for _, ref in base.tree.lost} - base.moved.keys())
            if not found:
                break
            for _, ref in base.tree.lost:
                if ref.id in found:
                    here = words_of(found[ref.id])
                    base.mended.append(Repaired(f"the same trie node is in {here}", place_of(ref.log, ref.block)))
            base.moved |= found
            base.tree = salvage.read_tree(lambda ref: self.load(moved_to(ref, base.moved.get(ref.id))), root)
        return base

    def write(self, base: Base, journal_sequence: int) -> list[Repaired]:
        """Makes the new version, if there is a need for one. Raises Corrupt where nothing can be made, OSError."""
        if base.lost_commit is None and not base.tree.lost and not base.moved:
            return []
        done = list(base.mended)
        straight, words = self._straight(base)
        done += words
        facts = Facts(
            base.version + 1,
            journal_sequence,
            self._next_ino(straight.entries),
            straight.files,
            straight.directories,
            straight.file_bytes,
        )
        known = {ref.id: base.moved.get(ref.id, (ref.log, ref.point)) for ref in base.tree.refs}
        gone = [*base.tree.refs, *(ref for _, ref in base.tree.lost)]
        root = _built(straight.entries)
        write_version(self._ground, root, facts, known, gone, self._options.wall_ns, sorted(self._back))
        if base.lost_commit is not None:
            what = f"version {base.version} has no commit that can be read: its tree goes on as version {facts.version}"
            done.append(Repaired(what, base.lost_commit))
        return done

    def go_back(self, to: Commit, journal_sequence: int) -> Commit:
        """One more version, with the tree of an older one, which must be readable."""
        newest = self._ground.newest
        facts = Facts(
            newest.version + 1, journal_sequence, newest.next_ino, to.files, to.directories, to.file_bytes
        )
        return write_version(self._ground, to.root, facts, {}, [], self._options.wall_ns)

    def _lost_commits(self) -> int:
        """How many commits there may have been behind the newest readable one: their numbers are not used again."""
        log, first = self._ground.logs[self._ground.metadata], self._first_behind()
        count = 0
        for index in range(first, log.signed_length):
            try:
                block = log.get(index)
                count += not self._nodes_in(index) and may_be_commit(block)
            except HyperfsError:
                count += 1
        return max(1, count)

    def _first_behind(self) -> int:
        log, index = self._ground.newest_at
        return index + 1 if log == self._ground.metadata and self._ground.newest.version else 0

    def _last_root(self) -> Ref | None:
        """The last node behind the newest readable commit: a batch ends with its root and its commit."""
        first = self._first_behind()
        for index in range(self._ground.logs[self._ground.metadata].signed_length - 1, first - 1, -1):
            found = self._nodes_in(index)
            if found:
                (log, point), id_, node = found[-1]
                return Ref(id_, log, point, node.weight, node.count)
        return None

    def _nodes_in(self, block: int) -> list[tuple[Place, bytes, Node]]:
        """The nodes of a block of the own log, with their ids."""
        return list(nodes_in(self._ground.nodes, self._key, self._ground.metadata, block))

    # What is lost for good

    def _straight(self, base: Base) -> tuple[Straight, list[Repaired]]:
        words: list[Repaired] = []
        older: set[int] = set()
        entries = base.tree.entries
        for prefix, ref in base.tree.lost:
            version, came = self._older(prefix)
            from_there = salvage.fill(entries, prefix, came)
            self._back |= {extent.chunk for key, entry in came.items() if (extent := extent_in(key, entry))}
            older |= from_there
            how = f"{len(from_there)} files and folders are as in version {version}" if version else "it is left out"
            what = f"a part of the newest tree is lost ({_range_words(prefix)}): {how}"
            words.append(Repaired(what, place_of(ref.log, ref.block)))
        straight = salvage.straighten(entries, older, lambda: self._next_ino(entries), self._options.wall_ns())
        salvage.agree(straight.entries)
        if straight.dropped:
            names = ", ".join(repr(name)[1:] for _, name in straight.dropped[:20])
            more = f" and {len(straight.dropped) - 20} more" if len(straight.dropped) > 20 else ""
            words.append(Repaired(f"names of which nothing is left were taken away: {names}{more}", "newest version"))
        if straight.found:
            found = f"{len(straight.found)} files without a name are in /{os.fsdecode(salvage.LOST_AND_FOUND)} now"
            words.append(Repaired(found, "newest version"))
        return straight, words

    def _older(self, prefix: str) -> tuple[int, Entries]:
        """The newest version before it of which that part can be read: its number, 0 for none, and the entries."""
        seen = set()
        newest = (self._ground.newest, *self._ground.newest_at)
        for commit, _, _ in rescue.history(self._ground.nodes, newest, GoneVersions({})):
            if commit.root is None or commit.root.id in seen:
                continue
            seen.add(commit.root.id)
            found = salvage.older_entries(self.load, commit.root, prefix)
            if found is not None:
                return commit.version, found
        return 0, {}

    def _next_ino(self, entries: Entries) -> int:
        own = self._ground.device
        highest = max(
            (ino for key in entries if (ino := int.from_bytes(key[:8], "big")) >> COUNTER_BITS == own), default=0
        )
        spare = SPARE_INODES if "newest" in self._ground.warnings else 0
        return max(self._ground.newest.next_ino, highest + 1) + spare


def may_be_commit(block: bytes) -> bool:
    """By its header, where that can be read."""
    try:
        return BlockHeader.parse(block).kind == KIND_COMMIT
    except HyperfsError:
        return True


def _built(entries: Entries) -> Child | None:
    def load(ref: Ref) -> Node:
        raise AssertionError("all nodes are in memory")

    root: Child | None = None
    ordered = sorted(entries.items())
    for start in range(0, len(ordered), UPDATE_ENTRIES):
        root = update(load, root, ordered[start : start + UPDATE_ENTRIES], lambda ref: None)
    return root


def _range_words(prefix: str) -> str:
    found: Range = salvage.range_of(prefix)
    if found.first == found.last:
        return f"of inode {found.first}" if found.first != keys.NO_INO else "of the drive's own facts"
    return f"inodes {found.first} to {found.last}"
