"""Verify, first part: every log by itself. Heads, Merkle tree, and each block's seal, codec and chunk ids."""

from collections.abc import Callable
from typing import Final

from hyperfs.chunks import codec
from hyperfs.crypto.keys import LOG_METADATA
from hyperfs.crypto.seal import KIND_COMMIT, KIND_DEAD, KIND_NODES, KIND_VOID
from hyperfs.errors import Corrupt, HyperfsError, NotResident
from hyperfs.log import flat_tree, heads
from hyperfs.log.cleared import Cleared
from hyperfs.log.control_codec import LogEntry
from hyperfs.log.log import Log
from hyperfs.trie import node_pack
from hyperfs.values import BlockRef
from hyperfs.volume import commit_record
from hyperfs.volume.check_findings import Findings
from hyperfs.volume.check_state import CheckState, Held, StateDamaged
from hyperfs.volume.device_logs import log_folder
from hyperfs.volume.parts import Parts
from hyperfs.volume.writers import readable_length

Progress = Callable[[str, int, int], None]
_HEAD_ATTEMPTS: Final = 3
"""Of a live drive the slots may be written while they are read; then they are read again."""


STRETCH_BLOCKS: Final = 256
"""So many blocks are checked at a time, and remembered as sound: up to 64 MiB."""


def place_of(log: int, index: int) -> str:
    return f"log {log} block {index}"


class LogCheck:
    """Goes through all logs; what their sound blocks hold is in the state afterwards.

    `bad`: (log, block) of what can't be used; `elsewhere`: of what left this device. `lengths`: of each log, when this
    began. `nodes`: of the trie, in all sound blocks; a bound for those to walk.
    """

    def __init__(self, parts: Parts, state: CheckState, findings: Findings, progress: Progress) -> None:
        self._parts = parts
        self._state = state
        self._findings = findings
        self._progress = progress
        self._chain = parts.chain
        self._cleared = Cleared.of(parts.chain.records)
        self._sound = True  # nothing was found in the stretch under way
        self.blocks = 0
        self.bytes = 0
        self.nodes = 0
        self.bad: set[tuple[int, int]] = set()
        self.elsewhere: set[tuple[int, int]] = set()
        self.lengths: dict[int, int] = {}

    def run(self) -> None:
        # Content first: what a version names was signed before the version was.
        entries = sorted(self._parts.chain.logs.values(), key=lambda e: e.kind == LOG_METADATA)
        signed = {e.number: self._parts.logs[e.number].signed_length for e in reversed(entries)}
        self.lengths = {e.number: readable_length(e, self._parts.device, signed[e.number]) for e in reversed(entries)}
        for entry in entries:
            log = self._parts.logs[entry.number]
            self._heads(entry, log)
            length = self.lengths[entry.number]
            for first in range(0, length, STRETCH_BLOCKS):
                end = min(first + STRETCH_BLOCKS, length)
                self._stretch(entry, log, first, end)
                self._progress(f"reading log {entry.number}", end, length)

    def was_cleared(self, log: int, index: int) -> bool:
        """Whether the control chain let the block go."""
        if self._parts.chain is not self._chain:  # of a live drive it grows
            self._chain, self._cleared = self._parts.chain, Cleared.of(self._parts.chain.records)
        return self._cleared.has(log, index)

    def _stretch(self, entry: LogEntry, log: Log, first: int, end: int) -> None:
        number, fork = first // STRETCH_BLOCKS, log.fork
        known = self._state.stretch(entry.number, number, fork)
        if known is not None and end - first == STRETCH_BLOCKS:
            self.blocks += known[0]
            self.bytes += known[1]
            self.nodes += known[2]
            return
        self._sound = True
        size, nodes = self.bytes, self.nodes
        self._tree(entry.number, log, first, end)
        for index in range(first, end):
            self._block(entry, log, index)
        self._state.blocks += end - first
        self._state.bytes += self.bytes - size
        if self._sound and end - first == STRETCH_BLOCKS:
            counts = (end - first, self.bytes - size, self.nodes - nodes)
            self._state.stretch_done(entry.number, number, fork, *counts)

    def _heads(self, entry: LogEntry, log: Log) -> None:
        name = f"{log_folder(entry)}/heads"
        if not log.has_head:
            return  # nothing has come of it
        damaged: list[int] = []
        for _ in range(_HEAD_ATTEMPTS):
            damaged = [n for n, slot in enumerate(_slots(self._parts, name)) if not _is_signed(log, slot)]
            if not damaged:
                return
        for number in damaged:
            twin = "its twin serves, nothing is lost" if len(damaged) == 1 else "neither can be read"
            self._findings.add(f"head slot {number} of log {entry.number} is damaged; {twin}", f"{name} slot {number}")

    def _tree(self, number: int, log: Log, first: int, end: int) -> None:
        """Leaf hashes and parents up to the signed roots."""
        for damage in log.verify(first, end):
            match damage.what:
                case "block":
                    self._bad(number, damage.index, f"block {damage.index}: {damage.detail}")
                case "subtree":
                    low, high = flat_tree.left_span(damage.index) // 2, flat_tree.right_span(damage.index) // 2
                    for index in range(max(low, first), min(high + 1, end)):
                        self._bad(number, index, f"block {index} can't be found: {damage.detail}")
                case "node":
                    self._sound = False
                    self._findings.add(damage.detail, f"log {number} tree node {damage.index}")

    def _bad(self, number: int, index: int, what: str) -> None:
        """A block that can't be used. One that was let go, or left, is no damage, whatever is left of it."""
        self._sound = False
        if self._parts.residence.has_left(BlockRef(number, index)) and not self.was_cleared(number, index):
            self.elsewhere.add((number, index))
            return
        self.bad.add((number, index))
        if not self.was_cleared(number, index):
            self._findings.add(what, place_of(number, index))

    def _block(self, entry: LogEntry, log: Log, index: int) -> None:
        self.blocks += 1
        if (entry.number, index) in self.bad or (entry.number, index) in self.elsewhere:
            return
        try:
            self.bytes += log.block_range(index)[1]
            if entry.kind == LOG_METADATA:
                self._metadata(entry.number, log, index)
            else:
                self._content(entry.number, index)
        except NotResident:
            if not self.was_cleared(entry.number, index):
                self._bad(entry.number, index, f"block {index} is all zeros, and nothing let it go")
        except StateDamaged:
            raise
        except HyperfsError as error:
            self._bad(entry.number, index, f"block {index}: {error}")

    def _metadata(self, number: int, log: Log, index: int) -> None:
        header, payload = self._parts.sealer.open(number, log.key, log.fork, index, log.get(index))
        data = codec.decode(header.codec, payload, header.decoded_length)
        if header.kind == KIND_NODES:
            # They are decoded, and compared with their ids, where a version reaches them.
            self.nodes += len(node_pack.parse(data))
        elif header.kind == KIND_COMMIT:
            self._state.commit(commit_record.decode(data).version, number, index)
        elif header.kind == KIND_DEAD:
            commit_record.decode_overflow(data)
        elif header.kind != KIND_VOID:
            raise Corrupt(f"a block of kind {header.kind} in a metadata log")

    def _content(self, number: int, index: int) -> None:
        for chunk in self._parts.chunkstore.check_block(number, index, self._state.lies).chunks:
            self._state.hold(chunk.chunk, number, index, Held(chunk.length, chunk.slot, chunk.base))


def _slots(parts: Parts, name: str) -> list[bytes]:
    data = parts.disk.read_all(name)
    return [data[offset : offset + heads.SLOT_BYTES] for offset in heads.SLOT_OFFSETS]


def _is_signed(log: Log, slot: bytes) -> bool:
    try:
        found = heads.decode_slot(slot)
    except HyperfsError:
        return False
    if found is None:
        return False
    head = found[1]
    return log.check_signature(head.tree_hash, head.length, head.fork, head.signature)
