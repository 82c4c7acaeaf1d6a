"""Verify: every version's commit, what it rests on, and whether one is missing. Its tree is checked by check_trees."""

from hyperfs.crypto.keys import LOG_METADATA
from hyperfs.errors import Corrupt, HyperfsError, NotResident
from hyperfs.log import flat_tree
from hyperfs.log.merkle import tree_hash
from hyperfs.trie.node import Ref
from hyperfs.volume.check_findings import EVERYTHING, Findings
from hyperfs.volume.check_logs import LogCheck, Progress, place_of
from hyperfs.volume.check_state import CheckState
from hyperfs.volume.check_trees import WALKING, TreeCheck
from hyperfs.volume.commit_record import Commit, LogHead
from hyperfs.volume.parts import Parts
from hyperfs.volume.versions import read_commit


class CommitCheck:
    """Goes through all commits, oldest first."""

    def __init__(
        self, parts: Parts, state: CheckState, logs: LogCheck, trees: TreeCheck, findings: Findings, progress: Progress
    ) -> None:
        self._parts = parts
        self._state = state
        self._logs = logs
        self._trees = trees
        self._findings = findings
        self._progress = progress

    def run(self) -> None:
        before = 0
        last: dict[int, int] = {}
        for version, log, index in self._state.commits():
            last[log] = max(index, last.get(log, 0))
            if not self._trees.is_kept(version):
                continue  # its commit may stay for a while, what it reached may not
            where = f"version {version} ({place_of(log, index)})"
            try:
                commit = read_commit(self._parts.nodes, log, index)
            except HyperfsError as error:
                self._findings.add(str(error), where).versions.append(version)
                before = version
                continue
            if version == before:
                self._findings.add("two commits have the same version number", "versions")
            self._heads(commit, where)
            self._gap(before + 1, version, commit)
            self._trees.version(commit)
            before = version
        self._pinned()
        self._progress(WALKING, self._logs.nodes, self._logs.nodes)
        self._missing_newest(before, last)

    def _pinned(self) -> None:
        """What is kept of versions that went, for what was deleted after them."""
        for version, pin in {pin.version: pin for pin in self._trees.pins}.items():
            if self._trees.is_kept(version):
                continue
            try:
                commit = read_commit(self._parts.nodes, pin.log, pin.block)
            except HyperfsError as error:
                where = f"version {version} ({place_of(pin.log, pin.block)})"
                self._findings.add(f"what was deleted after it is lost: {error}", where).versions.append(version)
                continue
            self._trees.version(commit)

    def root_of(self, version: int) -> Ref | None:
        """The trie root of a version; None also when its commit can't be read."""
        place = self._state.commit_place(version)
        try:
            return None if place is None else read_commit(self._parts.nodes, *place).root
        except HyperfsError:
            return None

    def _heads(self, commit: Commit, where: str) -> None:
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
        except (Corrupt, NotResident):
            return None  # the damaged node is listed with its log; one that has not come can't be compared
        fits = tree_hash(roots) == head.tree_hash and sum(root.size for root in roots) == head.byte_length
        if fits and head.fork <= log.fork:
            return None
        return f"log {head.log} has another tree at {head.length} blocks"

    def _missing_newest(self, newest: int, last: dict[int, int]) -> None:
        """The last signed block of a metadata log is a commit, always."""
        for number, length in self._logs.lengths.items():
            if self._parts.chain.logs[number].kind == LOG_METADATA and length and last.get(number) != length - 1:
                self._lost(newest + 1, place_of(number, length - 1))

    def _gap(self, first: int, end: int, after: Commit) -> None:
        """Versions [first, end) are missing: the block of the last one is known by what the commit `after` follows."""
        for version in range(end - 1, first - 1, -1):
            parent = after.parents[0] if after.parents else None
            named = version == end - 1 and parent is not None and parent.length
            place = place_of(parent.log, parent.length - 1) if named and parent is not None else f"version {version}"
            if self._trees.is_kept(version):
                self._lost(version, place)

    def _lost(self, version: int, place: str) -> None:
        finding = self._findings.add(f"version {version} has no commit that can be read", place)
        finding.versions.append(version)
        finding.lost.add(EVERYTHING)
