"""Verify, first part: every log by itself. Heads, Merkle tree, and each block's seal, codec and chunk ids."""

from collections.abc import Callable
from typing import Final

from hyperfs.chunks import codec
from hyperfs.crypto.keys import LOG_METADATA
from hyperfs.crypto.seal import KIND_COMMIT, KIND_DEAD, KIND_NODE, KIND_VOID
from hyperfs.errors import Corrupt, HyperfsError, NotResident
from hyperfs.log import flat_tree, heads
from hyperfs.log.cleared import Cleared
from hyperfs.log.control_codec import LogEntry
from hyperfs.log.log import Log
from hyperfs.volume import commit_record
from hyperfs.volume.check_findings import Findings
from hyperfs.volume.commit_record import Commit
from hyperfs.volume.device_logs import log_folder
from hyperfs.volume.gone import GoneVersions
from hyperfs.volume.parts import Parts

Progress = Callable[[str, int, int], None]
_HEAD_ATTEMPTS: Final = 3
"""Of a live drive the slots may be written while they are read; then they are read again."""


def place_of(log: int, index: int) -> str:
    return f"log {log} block {index}"


class LogCheck:
    """Goes through all logs; afterwards knows what their whole blocks hold.

    `commits`: (log, index, commit) in order of versions. `held`: the length of each chunk by chunk id, log and
    block. `bad`: places of blocks that can't be used.
    """

    def __init__(self, parts: Parts, findings: Findings, progress: Progress) -> None:
        self._parts = parts
        self._findings = findings
        self._progress = progress
        self.blocks = 0
        self.bytes = 0
        self.commits: list[tuple[int, int, Commit]] = []
        self.held: dict[tuple[bytes, int, int], int] = {}
        self.bad: set[str] = set()
        self.cleared = Cleared.of(parts.chain.records)
        self.lengths: dict[int, int] = {}

    def run(self) -> None:
        # Content first: what a version names was signed before the version was.
        entries = sorted(self._parts.chain.logs.values(), key=lambda e: e.kind == LOG_METADATA)
        lengths = {e.number: self._parts.logs[e.number].signed_length for e in reversed(entries)}
        self.lengths = lengths
        for entry in entries:
            log = self._parts.logs[entry.number]
            self._heads(entry, log)
            self._tree(entry.number, log, lengths[entry.number])
            for index in range(lengths[entry.number]):
                self._block(entry, log, index)
                self._progress(f"reading log {entry.number}", index + 1, lengths[entry.number])
        self.commits.sort(key=lambda found: found[2].version)

    def _heads(self, entry: LogEntry, log: Log) -> None:
        name = f"{log_folder(entry)}/heads"
        damaged: list[int] = []
        for _ in range(_HEAD_ATTEMPTS):
            damaged = [n for n, slot in enumerate(_slots(self._parts, name)) if not _is_signed(log, slot)]
            if not damaged:
                return
        for number in damaged:
            twin = "its twin serves, nothing is lost" if len(damaged) == 1 else "neither can be read"
            self._findings.add(f"head slot {number} of log {entry.number} is damaged; {twin}", f"{name} slot {number}")

    def _tree(self, number: int, log: Log, length: int) -> None:
        """Leaf hashes and parents up to the signed roots."""
        for damage in log.verify():
            match damage.what:
                case "block":
                    if damage.index < length:
                        self._bad(number, damage.index, f"block {damage.index}: {damage.detail}")
                case "subtree":
                    first, last = flat_tree.left_span(damage.index) // 2, flat_tree.right_span(damage.index) // 2
                    for index in range(first, min(last + 1, length)):
                        self._bad(number, index, f"block {index} can't be found: {damage.detail}")
                case "node":
                    self._findings.add(damage.detail, f"log {number} tree node {damage.index}")

    def _bad(self, number: int, index: int, what: str) -> None:
        place = place_of(number, index)
        self.bad.add(place)
        self._findings.add(what, place)

    def _block(self, entry: LogEntry, log: Log, index: int) -> None:
        self.blocks += 1
        if place_of(entry.number, index) in self.bad:
            return
        try:
            self.bytes += log.block_range(index)[1]
            if entry.kind == LOG_METADATA:
                self._metadata(entry.number, log, index)
            else:
                self._content(entry.number, index)
        except NotResident:
            if not self.cleared.has(entry.number, index):
                self._bad(entry.number, index, f"block {index} is all zeros, and nothing let it go")
        except HyperfsError as error:
            self._bad(entry.number, index, f"block {index}: {error}")

    def _metadata(self, number: int, log: Log, index: int) -> None:
        header, payload = self._parts.sealer.open(number, log.key, log.fork, index, log.get(index))
        if header.kind == KIND_NODE:
            return  # decoded, and compared with its id, where a version reaches it
        data = codec.decode(header.codec, payload, header.decoded_length)
        if header.kind == KIND_COMMIT:
            self.commits.append((number, index, commit_record.decode(data)))
        elif header.kind == KIND_DEAD:
            commit_record.decode_overflow(data)
        elif header.kind != KIND_VOID:
            raise Corrupt(f"a block of kind {header.kind} in a metadata log")

    def _content(self, number: int, index: int) -> None:
        for chunk in self._parts.chunkstore.check_block(number, index).chunks:
            self.held[chunk.chunk, number, index] = chunk.length

    def leave_out(self, gone: GoneVersions) -> None:
        """Versions that were let go: their commits may stay for a while, what they reached may not."""
        self.commits = [found for found in self.commits if not gone.has(found[2].version)]


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
