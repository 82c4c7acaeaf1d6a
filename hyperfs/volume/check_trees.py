"""Verify, second part: every version from its commit to its last extent. Shared subtrees are read once."""

from typing import Final

from hyperfs.chunks.extents import Extent
from hyperfs.crypto.ids import node_id
from hyperfs.crypto.keys import LOG_METADATA
from hyperfs.crypto.seal import KIND_NODE
from hyperfs.errors import Corrupt, HyperfsError, NotResident
from hyperfs.log import flat_tree
from hyperfs.log.merkle import tree_hash
from hyperfs.trie.node import Branch, Leaf, Node, Ref, canonical_size
from hyperfs.volume import keys
from hyperfs.volume.check_findings import EVERYTHING, Findings, Range, inode_range
from hyperfs.volume.check_logs import LogCheck, Progress, place_of
from hyperfs.volume.commit_record import Commit, LogHead
from hyperfs.volume.entries import decode_dentry, decode_xattr, extent_in
from hyperfs.volume.gone import GoneVersions
from hyperfs.volume.inode import Inode
from hyperfs.volume.nodes import decode_node
from hyperfs.volume.parts import Parts

_NOTHING: Final[frozenset[str]] = frozenset()
_SNAPSHOT_VALUE_BYTES: Final = 16


class TreeCheck:
    """Walks every version's tree, oldest first. `roots`: by version, of those whose commit can be read."""

    def __init__(
        self, parts: Parts, logs: LogCheck, gone: GoneVersions, findings: Findings, progress: Progress
    ) -> None:
        self._parts = parts
        self._gone = gone
        self._logs = logs
        self._findings = findings
        self._progress = progress
        self._ids: dict[tuple[int, int], bytes] = {}  # id of each node that was looked at, by place
        self._touches: dict[tuple[int, int], frozenset[str]] = {}  # damages at or below a node, if any
        self.nodes = 0
        self.roots: dict[int, Ref | None] = {}

    def run(self) -> None:
        commits = self._logs.commits
        for position, (log, index, commit) in enumerate(commits):
            self._commit(log, index, commit)
            self.roots[commit.version] = commit.root
            touched = _NOTHING if commit.root is None else self._node(commit.root, EVERYTHING)
            for where in touched:
                finding = self._findings.at(where)
                assert finding is not None
                finding.versions.append(commit.version)
            self._progress("walking versions", position + 1, len(commits))
        self._missing_versions()

    # Commits

    def _commit(self, log: int, index: int, commit: Commit) -> None:
        where = f"version {commit.version} ({place_of(log, index)})"
        for head in (*commit.parents, commit.content):
            problem = self._head_problem(head)
            if problem:
                self._findings.add(f"the commit rests on a log that is not as it says: {problem}", where)

    def _head_problem(self, head: LogHead) -> str | None:
        log = self._parts.logs.get(head.log)
        if log is None:
            return f"there is no log {head.log}"
        if head.length > self._logs.lengths.get(head.log, 0):
            return f"log {head.log} has {log.signed_length} signed blocks, it names {head.length}"
        try:
            roots = [log.node(at) for at in flat_tree.full_roots(head.length)]
        except Corrupt:
            return None  # the damaged node is listed with its log
        fits = tree_hash(roots) == head.tree_hash and sum(root.size for root in roots) == head.byte_length
        if fits and head.fork <= log.fork:
            return None
        return f"log {head.log} has another tree at {head.length} blocks"

    def _missing_versions(self) -> None:
        """A version whose commit can't be read is known by the gap, and its block by what the next one follows."""
        commits = self._logs.commits
        if len({commit.version for _, _, commit in commits}) != len(commits):
            self._findings.add("two commits have the same version number", "versions")
        after = commits[-1][2].version + 1 if commits else 1
        place = None
        for _, _, commit in reversed(commits):
            self._gap(commit.version + 1, after, place)
            after = commit.version
            parent = commit.parents[0] if commit.parents else None
            place = place_of(parent.log, parent.length - 1) if parent is not None and parent.length else None
        self._gap(1, after, place)
        self._missing_newest()

    def _missing_newest(self) -> None:
        """The last signed block of a metadata log is a commit, always."""
        commits = self._logs.commits
        last = {log: index for log, index, _ in sorted(commits, key=lambda found: found[1])}
        newest = commits[-1][2].version if commits else 0
        for number, length in self._logs.lengths.items():
            if self._parts.chain.logs[number].kind == LOG_METADATA and length and last.get(number) != length - 1:
                self._gap(newest + 1, newest + 2, place_of(number, length - 1))

    def _gap(self, first: int, end: int, place: str | None) -> None:
        for version in range(end - 1, first - 1, -1):
            if self._gone.has(version):
                continue
            where = place if version == end - 1 and place else f"version {version}"
            finding = self._findings.add(f"version {version} has no commit that can be read", where)
            finding.versions.append(version)
            finding.lost = EVERYTHING

    # Nodes

    def load(self, ref: Ref) -> Node:
        """The node as it lies on the disk, past every cache, its id recomputed. Raises Corrupt, NotResident."""
        data = self._parts.nodes.plaintext(ref.log, ref.index, KIND_NODE)
        node = decode_node(data)
        if node_id(self._parts.node_id_key, data[: canonical_size(data)]) != ref.id:
            raise Corrupt("a trie node is not the one that its id names", place_of(ref.log, ref.index))
        if node.weight != ref.weight or node.count != ref.count:
            raise Corrupt("a trie node has another weight than its parent says", place_of(ref.log, ref.index))
        return node

    def _node(self, ref: Ref, inos: Range) -> frozenset[str]:
        """The damages at or below the node. Recursion goes no deeper than a key has nibbles."""
        place = (ref.log, ref.index)
        seen = self._ids.get(place)
        if seen == ref.id:
            return self._touches.get(place, _NOTHING)
        where = place_of(*place)
        try:
            node = self.load(ref)
        except (HyperfsError, RecursionError) as error:
            touched = frozenset((where,))
            self._findings.add(f"trie node: {error}", where).lost = inos
        else:
            touched = self._leaf(node, where) if isinstance(node, Leaf) else self._branch(node, where)
        if seen is None:
            self.nodes += 1
            self._ids[place] = ref.id
            if touched:
                self._touches[place] = touched
        return touched

    def _branch(self, branch: Branch, where: str) -> frozenset[str]:
        touched: set[str] = set()
        if branch.ends is not None:
            touched |= self._entry(branch.prefix, *branch.ends, where)
        for nibble, child in enumerate(branch.children):
            if isinstance(child, Ref):
                prefix = branch.prefix.hex()[: branch.depth] + f"{nibble:x}"
                inos = inode_range(bytes.fromhex(prefix + "0" * (len(prefix) % 2)), len(prefix))
                touched |= self._node(child, inos)
        return frozenset(touched)

    def _leaf(self, leaf: Leaf, where: str) -> frozenset[str]:
        touched: set[str] = set()
        for key, value, hint in zip(leaf.keys, leaf.values, leaf.hints, strict=True):
            touched |= self._entry(key, value, hint, where)
        return frozenset(touched)

    # Entries

    def _entry(self, key: bytes, value: bytes, hint: bytes, where: str) -> set[str]:
        ino = int.from_bytes(key[:8], "big")
        try:
            place = self._check_entry(key, value, hint, ino)
        except (HyperfsError, IndexError) as error:
            place = f"{where} key {key.hex()}"
            self._findings.add(f"an entry that says nothing sensible: {error}", place)
        if place is None:
            return set()
        finding = self._findings.at(place)
        assert finding is not None
        finding.inos.add(ino)
        return {place}

    def _check_entry(self, key: bytes, value: bytes, hint: bytes, ino: int) -> str | None:
        """The place of the damage that the entry names, if it does. Raises Corrupt when it is damage itself."""
        match key[keys.PREFIX_BYTES - 1]:
            case keys.INODE:
                Inode.decode(ino, value)
            case keys.DENTRY:
                decode_dentry(value, f"inode {ino}")
            case keys.SNAPSHOT:
                if len(value) != _SNAPSHOT_VALUE_BYTES:
                    raise Corrupt("a snapshot of an impossible length")
            case keys.XATTR:
                decode_xattr(value, hint)
        extent = extent_in(key, (value, hint))
        return None if extent is None else self._extent(extent)

    def _extent(self, extent: Extent) -> str | None:
        length = self._logs.held.get((extent.chunk, extent.log, extent.block))
        if length == extent.chunk_length:
            return None
        place = place_of(extent.log, extent.block)
        if place in self._logs.bad:
            return place
        if length is None:
            try:
                length = len(self._parts.chunkstore.read_chunk(extent))
            except NotResident:
                self._findings.add("a version that is kept needs this block, and it was cleared", place)
                return place
            except HyperfsError as error:
                where = f"chunk {extent.chunk.hex()} ({place})"
                self._findings.add(f"chunk: {error}", where)
                return where
        if length != extent.chunk_length:
            raise Corrupt(f"an extent of a chunk of {extent.chunk_length} bytes, which has {length}", place)
        return None
