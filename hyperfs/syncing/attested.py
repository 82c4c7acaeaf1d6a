"""What a peer has given its word for: its newest receipts, and that random blocks of theirs were found to be there.

Rows of the derived index; a row that is lost, damaged or expired counts for nothing, and the peer is asked again.

    q name-length u8, name, discovery key{32}, page u8 -> audited i64 ns, receipt

Several pages: a log in more pieces than one receipt names. A receipt that lies here is checked as one that comes.
"""

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from hyperfs.errors import Contradiction, HyperfsError, IndexDamaged, NotResident
from hyperfs.log import flat_tree, receipt
from hyperfs.log.log import Log
from hyperfs.log.merkle import tree_hash
from hyperfs.log.receipt import Receipt, SignedReceipt
from hyperfs.syncing.runs import NONE, Runs
from hyperfs.volume.catalog import Catalog

PREFIX: Final = b"q"
MOST_PAGES: Final = 8
"""Receipts of one log: half a million pieces."""
DAY_NS: Final = receipt.DAY_NS
RENEW_NS: Final = 20 * DAY_NS
"""From this age on a receipt is asked for again."""
_AUDITED: Final = struct.Struct("<q")
_PAGE: Final = struct.Struct("B")


class Word(NamedTuple):
    """For one log. `audited_ns`: when blocks of it were last found to be there, 0 for never."""

    receipts: tuple[SignedReceipt, ...]
    audited_ns: int = 0

    @property
    def newest(self) -> Receipt:
        return self.receipts[0].receipt

    @property
    def issued_ns(self) -> int:
        return min(signed.receipt.issued_ns for signed in self.receipts)

    @property
    def runs(self) -> Runs:
        return Runs(sorted(run for signed in self.receipts for run in signed.receipt.ranges))

    def counts(self, now_ns: int) -> bool:
        """Whether it is a proof now: neither expired nor from a future that was none, and audited."""
        return self.audited_ns > 0 and all(
            signed.receipt.issued_ns <= now_ns + receipt.MOST_AHEAD_NS and now_ns < signed.receipt.expires_ns
            for signed in self.receipts
        )


def judge(log: Log, found: Receipt, is_ours: bool) -> None:
    """Whether the tree of a receipt is the log's. Raises Contradiction where it can't be: then two histories of the log
    are signed, or the peer lies. `is_ours`: nobody but this device writes the log."""
    head = log.head()
    if found.fork > head.fork or (found.fork == head.fork and found.length > head.length):
        if is_ours:
            raise Contradiction(
                f"it holds {found.length} blocks (fork {found.fork}) of log {log.number}, and this device, which alone "
                f"writes it, has {head.length} (fork {head.fork}): this device was restored from an older image, or "
                "its keys are used somewhere else"
            )
        return
    if found.fork < head.fork:
        return
    try:
        ours = tree_hash(log.node(index) for index in flat_tree.full_roots(found.length))
    except NotResident:
        return  # of another device's log, of which not all has come
    if ours != found.tree_hash:
        raise Contradiction(
            f"what it attests of log {log.number} at {found.length} blocks is another history than the one here: the "
            "log's key has signed two, or the peer lies"
        )


def prefix_of(name: str) -> bytes:
    encoded = name.encode()
    return PREFIX + bytes([len(encoded)]) + encoded


def encode_rows(name: str, log: bytes, word: Word) -> list[tuple[bytes, bytes]]:
    return [
        (prefix_of(name) + log + _PAGE.pack(page), _AUDITED.pack(word.audited_ns) + signed.encode())
        for page, signed in enumerate(word.receipts)
    ]


def decode_row(value: bytes) -> tuple[int, SignedReceipt]:
    """When it was audited, and the receipt. Raises IndexDamaged, and what `receipt.decode` raises."""
    if len(value) < _AUDITED.size:
        raise IndexDamaged("a row of a receipt is too short")
    return _AUDITED.unpack_from(value)[0], receipt.decode(value[_AUDITED.size :])


class Attested:
    """Of one peer. Owned by the trio thread."""

    def __init__(self, catalog: Catalog, name: str, peer_key: bytes, drive: bytes) -> None:
        self._catalog = catalog
        self._name = name
        self._key = peer_key
        self._drive = drive
        self._words: dict[bytes, Word] = {}
        self._runs: dict[bytes, Runs] = {}

    def load(self, logs: Sequence[bytes], now_ns: int) -> None:
        """What is remembered of logs, by their discovery keys."""
        for log in logs:
            prefix = prefix_of(self._name) + log
            found: list[SignedReceipt] = []
            audited_ns = 0
            try:
                for _, value in self._catalog.rows(prefix, prefix):
                    audited_ns, signed = decode_row(value)
                    challenge = signed.receipt.challenge
                    receipt.check(signed.encode(), self._key, self._drive, log, challenge, now_ns)
                    found.append(signed)
            except HyperfsError:
                continue
            if found:
                self._note(log, Word(tuple(found), audited_ns))

    def word(self, log: bytes) -> Word | None:
        return self._words.get(log)

    def runs(self, log: bytes, now_ns: int) -> Runs:
        """The blocks of a log for which there is a proof now."""
        word = self._words.get(log)
        return self._runs[log] if word is not None and word.counts(now_ns) else NONE

    def keep(self, log: bytes, word: Word) -> None:
        before = self._words.get(log)
        gone: list[tuple[bytes, bytes | None]] = []
        if before is not None:
            gone = [(key, None) for key, _ in encode_rows(self._name, log, before)]
        self._catalog.apply([*gone, *encode_rows(self._name, log, word)])
        self._note(log, word)

    def forget(self, log: bytes) -> None:
        """Its word for a log is worth nothing."""
        word = self._words.pop(log, None)
        if word is not None:
            self._catalog.apply([(key, None) for key, _ in encode_rows(self._name, log, word)])

    def forget_all(self) -> None:
        for log in list(self._words):
            self.forget(log)

    def _note(self, log: bytes, word: Word) -> None:
        self._words[log] = word
        self._runs[log] = word.runs

    @property
    def newest_ns(self) -> int:
        """When the last receipt was issued; 0 for none."""
        return max((word.newest.issued_ns for word in self._words.values()), default=0)

    @property
    def audited_ns(self) -> int:
        """When blocks were last found to be there."""
        return max((word.audited_ns for word in self._words.values()), default=0)
