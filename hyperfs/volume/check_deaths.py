"""Verify: what commits say that they let go of agrees with what the newest version reaches.

Nothing is read by these lists when a drive is used; they are there so that freeing can cost what goes. A list that
names something that is needed would one day have it freed, so it is looked for now. Memory: a bit a block, and the
chunks that died in blocks of which the newest version still needs others.
"""

from collections.abc import Iterable, Iterator

from hyperfs.crypto.seal import KIND_DEAD
from hyperfs.errors import HyperfsError, NotResident
from hyperfs.trie.node_pack import block_of, slot_of
from hyperfs.trie.walk import walk
from hyperfs.volume import keys
from hyperfs.volume.check_findings import Findings
from hyperfs.volume.check_logs import place_of
from hyperfs.volume.commit_record import Commit, Replaced, decode_overflow
from hyperfs.volume.entries import decode_place, extent_in
from hyperfs.volume.marking import Marks, Progress, mark_trees
from hyperfs.volume.parts import Parts
from hyperfs.volume.versions import read_commit

Dead = dict[bytes, dict[tuple[int, int], int]]
"""By chunk id and block (log, index): the version that let go of it."""


def check_deaths(
    parts: Parts, newest: Commit, commits: Iterable[tuple[int, int, int]], findings: Findings, progress: Progress
) -> None:
    """`commits` are (version, log, index), oldest first, up to `newest`, whose tree must be whole.

    Those that can't be read are left out: they are found elsewhere.
    """
    reached, listed = Marks(), Marks()
    lengths = {number: log.signed_length for number, log in parts.logs.items()}
    reached.reach(lengths)
    listed.reach(lengths)
    mark_trees(parts.nodes, [newest.root], reached, progress)
    placed = _placed(parts, newest)
    dead: Dead = {}
    before = 0
    for version, log, index in commits:
        if version > newest.version:
            break
        if version != before + 1:
            dead = {}  # the commit that brought a chunk back may be among those that were let go
        before = version
        for part in _lists(parts, log, index):
            for node in part.nodes:
                block = block_of(node.point)
                if (node.log, block, slot_of(node.point)) in placed:
                    continue  # a repair has found a use for it since
                if reached.has_node(node.log, node.point):
                    _add(findings, version, "a node that the newest version reaches", node.log, block)
                elif not listed.add_node(node.log, node.point):
                    _add(findings, version, "a node that another version let go of as well", node.log, block)
            _note_chunks(dead, version, part, reached)
    _check_chunks(parts, newest, dead, findings)


def _placed(parts: Parts, newest: Commit) -> set[tuple[int, int, int]]:
    """(log, block, slot) to which chunks and nodes were moved."""
    found = walk(parts.nodes.load, newest.root, keys.prefix(keys.NO_INO, keys.PLACE))
    places = (decode_place(value, key.hex()) for key, value, _ in found)
    return {(place.log, place.block, place.slot) for place in places}


def _note_chunks(dead: Dead, version: int, part: Replaced, reached: Marks) -> None:
    for again in part.resurrected:
        dead.pop(again, None)
    for chunk in part.chunks:
        if reached.has(chunk.log, chunk.block):
            dead.setdefault(chunk.chunk, {})[chunk.log, chunk.block] = version


def _check_chunks(parts: Parts, newest: Commit, dead: Dead, findings: Findings) -> None:
    if not dead:
        return
    for key, value, hint in walk(parts.nodes.load, newest.root):
        extent = extent_in(key, (value, hint))
        if extent is None or extent.chunk not in dead:
            continue
        version = dead[extent.chunk].pop((extent.log, extent.block), None)
        if version is not None:
            _add(findings, version, f"chunk {extent.chunk.hex()}, which the newest has", extent.log, extent.block)


def _lists(parts: Parts, log: int, index: int) -> Iterator[Replaced]:
    """The lists of one commit, in the blocks before it and its own."""
    try:
        commit = read_commit(parts.nodes, log, index)
        before = [
            decode_overflow(parts.nodes.plaintext(log, block, KIND_DEAD))
            for block in range(index - commit.dead_blocks, index)
        ]
    except (HyperfsError, NotResident):
        return
    yield commit.replaced
    yield from before


def _add(findings: Findings, version: int, what: str, log: int, block: int) -> None:
    findings.add(f"version {version} says that it let go of {what}", place_of(log, block)).versions.append(version)
