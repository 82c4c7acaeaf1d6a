"""A kill or a power cut after every step of random lives of a cloud peer: nothing acknowledged is lost, nothing is had
that is not there, and it goes on."""

import os
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest

from hyperfs.errors import Contradiction, Refused
from hyperfs.log.control import Chain
from hyperfs.log.control_codec import LogEntry, LogOpened
from hyperfs.peer.folder_store import FolderStore
from hyperfs.peer.peer import Peer
from hyperfs.store.files import Disk
from tests import tally
from tests.crash.judging import read_state
from tests.crash.promises import Is
from tests.crash.recording import Recording
from tests.crash.states import Choice, State
from tests.crash.test_power_cuts import Recorded, after, cut_everywhere
from tests.log.replicating import bring, grow

from .conftest import CONTENT, DAY, METADATA, NOW, PEER_KEY, Owner, key

LONG = os.environ.get("HYPERFS_ALL") == "1"
LIVES = int(os.environ.get("HYPERFS_PEER_LIVES", "5" if LONG else "2"))
CHANGES = int(os.environ.get("HYPERFS_PEER_CHANGES", "25" if LONG else "6"))
SAMPLES = int(os.environ.get("HYPERFS_PEER_SAMPLES", "4" if LONG else "1"))
SEED = int(os.environ.get("HYPERFS_SEED", "1"))
CHALLENGE = b"\x03" * 32

pytestmark = pytest.mark.timeout(7200 if LONG else 300)


@dataclass(frozen=True)
class Acknowledged:
    """What was promised: records of the chain, blocks by log that must be here, blocks that must be gone, evidence."""

    records: int = 0
    must: dict[int, frozenset[int]] = field(default_factory=dict)
    gone: dict[int, frozenset[int]] = field(default_factory=dict)
    evidence: int = 0

    def plus(self, number: int, blocks: set[int]) -> "Acknowledged":
        return replace(self, must={**self.must, number: self.must.get(number, frozenset()) | blocks})

    def minus(self, number: int, blocks: set[int]) -> "Acknowledged":
        return replace(self, must={**self.must, number: self.must.get(number, frozenset()) - blocks})


class Life:
    """A peer on a recorded disk, and what it has acknowledged."""

    def __init__(self, folder: Path, owner: Owner, seed: str) -> None:
        self.folder, self.owner = folder, owner
        self.rng = random.Random(seed)
        self.recorded = Recorded({}, {}, Recording())
        self.word = Acknowledged()
        self.now = NOW
        self.pending: dict[int, set[int]] = {}
        self.cleared: dict[int, set[int]] = {CONTENT: set(), METADATA: set()}
        self._open()

    def _open(self) -> None:
        self.peer = Peer(FolderStore(self.folder, self.recorded.recording.disk), PEER_KEY, floor_bytes=0)
        self.drive = self.peer.admit(self.owner.id)

    def say(self, word: Acknowledged) -> None:
        self.word = word
        self.recorded.recording.mark(Is(word))  # type: ignore[arg-type]

    def live(self, changes: int) -> None:
        self.say(self.word)
        self.chain()
        for what in self.rng.choices(
            (self.upload, self.keep, self.clear, self.sweep, self.restart, self.receipt, self.contradict),
            (9, 3, 3, 3, 2, 3, 1),
            k=changes,
        ):
            self.recorded.told.append(what.__name__)
            what()
        for what in (self.upload, self.clear, partial(self.sweep, 32), self.upload):
            what()
        self.peer.close()

    def chain(self) -> None:
        self.drive.offer_chain(self.owner.chain.encode())
        self.say(replace(self.word, records=len(self.owner.chain.records)))

    def keep(self) -> int:
        """Blocks that are not synced yet."""
        number = self.rng.choice((METADATA, CONTENT))
        if self.rng.random() < 0.5:
            self.owner.append(number, self.rng.randrange(1, 30))
        log, lent = self.owner.logs[number], self.drive.lend(self.owner.discovery_key(number))
        if lent.length < log.signed_length:
            grow(log, lent)
        wanted = [block for block in range(log.signed_length) if block not in self.cleared[number]]
        few = self.rng.sample(wanted, min(len(wanted), self.rng.randrange(1, 12)))
        bring(log, lent, *few)
        self.pending.setdefault(number, set()).update(few)
        return number

    def kept(self, number: int) -> set[int]:
        """What a sync has made durable; without what was cleared meanwhile, which may be gone."""
        return self.pending.pop(number) - self.cleared[number]

    def upload(self) -> None:
        number = self.keep()
        self.drive.lend(self.owner.discovery_key(number)).sync()
        self.say(self.word.plus(number, self.kept(number)))

    def receipt(self) -> None:
        number = self.keep()
        found = self.drive.receipt(self.owner.discovery_key(number), CHALLENGE, PEER_KEY, self.now).receipt
        assert {b for low, high in found.ranges for b in range(low, high)} >= self.pending[number] - self.cleared[
            number
        ]
        self.say(self.word.plus(number, self.kept(number)))

    def clear(self) -> None:
        number = self.rng.choice((METADATA, CONTENT))
        left = [b for b in range(self.owner.logs[number].signed_length) if b not in self.cleared[number]]
        if len(left) < 10:
            return
        start = self.rng.choice(left)
        end = next((b for b in range(start, start + 7) if b not in left), start + 7)
        self.owner.clear(number, (start, end))
        self.cleared[number] |= set(range(start, end))
        self.chain()

    def sweep(self, days: int = 0) -> None:
        for number, blocks in self.cleared.items():
            self.say(self.word.minus(number, blocks))
        for _ in range(days or self.rng.choice((1, 32))):
            self.now += DAY
            self.drive.sweep(self.now)
        if not self.drive.holds.clears:
            self.say(replace(self.word, gone={n: frozenset(blocks) for n, blocks in self.cleared.items()}))

    def restart(self) -> None:
        self.peer.close()
        self.pending.clear()
        self._open()

    def contradict(self) -> None:
        honest = self.owner.chain
        other = Chain.parse_records(honest.records[:1])
        body = LogOpened(LogEntry(3, 1, CONTENT, key("forged").public_key))
        other = other.append(other.make(body, key(f"{self.owner.name} laptop"), 1))
        if len(honest.records) == 1:
            return
        with pytest.raises(Contradiction):
            self.drive.offer_chain(other.encode())
        self.say(replace(self.word, evidence=1))


class Judge:
    """Opens what a cut left, in one folder, again and again."""

    def __init__(self, folder: Path, owner: Owner) -> None:
        self.folder, self.owner = folder, owner
        self.opened = 0

    def broken(self, state: State, promises: Sequence[object]) -> list[str]:
        shutil.rmtree(self.folder, ignore_errors=True)
        for name in ("own", "drives"):
            (self.folder / name).mkdir(parents=True)
        for name, image in state.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(image.data)
            if image.size != len(image.data):
                os.truncate(path, image.size)
        self.opened += 1
        try:
            return list(self._wrong(promises[0]))
        except Exception as error:  # noqa: BLE001  # whatever it is: the peer does not open, or not work
            return [f"{type(error).__name__}: {error}"]

    def _wrong(self, word: object) -> Iterator[str]:
        assert isinstance(word, Acknowledged)
        peer = Peer(FolderStore(self.folder, Disk), PEER_KEY, floor_bytes=0)
        try:
            if peer.broken:
                yield f"broken: {peer.broken}"
                return
            drive = peer.admit(self.owner.id)
            records = drive.chain.records if drive.chain is not None else ()
            if len(records) < word.records or self.owner.chain.records[: len(records)] != records:
                yield f"{len(records)} records of the chain, {word.records} were acknowledged"
            if len(drive.dossier.found) < word.evidence:
                yield "evidence is lost"
            drive.offer_chain(self.owner.chain.encode())
            had = {number: self._had(peer, number) for number in (METADATA, CONTENT)}
            for number, blocks in had.items():
                if lost := word.must.get(number, frozenset()) - blocks:
                    yield f"log {number}: blocks {sorted(lost)} were acknowledged and are not here"
                if back := word.gone.get(number, frozenset()) & blocks:
                    yield f"log {number}: blocks {sorted(back)} were cleared and are here"
                if damaged := drive.lend(self.owner.discovery_key(number)).scrub(0, 1 << 40):
                    yield f"log {number}: blocks {damaged} are had and are damaged"
            had = {number: blocks | self._go_on(peer, number, blocks) for number, blocks in had.items()}
        finally:
            peer.close()
        peer = Peer(FolderStore(self.folder, Disk), PEER_KEY, floor_bytes=0)
        if {number: self._had(peer, number) for number in had} != had:
            yield "what was synced after the cut is not what is there"
        peer.close()

    def _had(self, peer: Peer, number: int) -> set[int]:
        lent = peer.drives[self.owner.id].lend(self.owner.discovery_key(number))
        return {block for low, high in lent.ranges() for block in range(low, high)}

    def _go_on(self, peer: Peer, number: int, had: set[int]) -> set[int]:
        """Some that are missing come, as from a device."""
        log = self.owner.logs[number]
        lent = peer.drives[self.owner.id].lend(self.owner.discovery_key(number))
        if lent.length < log.signed_length:
            grow(log, lent)
        brought = set()
        for block in [block for block in range(log.signed_length) if block not in had][:8]:
            try:
                bring(log, lent, block)
            except Refused:
                continue  # it was cleared
            brought.add(block)
        lent.sync()
        return brought


@pytest.fixture
def fast(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one."""
    memory = Path("/dev/shm")
    folder = memory / f"hyperfs-peer-{os.getpid()}" if memory.is_dir() else tmp_path / "fast"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("number", range(LIVES))
def test_whatever_a_power_cut_leaves_nothing_acknowledged_is_lost(fast: Path, number: int) -> None:
    seed = f"{SEED}-{number}"
    owner = Owner(fast / "owner")
    owner.append(METADATA, 10)
    owner.append(CONTENT, 30)
    life = Life(fast / "peer", owner, seed)
    life.live(CHANGES)
    assert after(life.recorded) == read_state(fast / "peer"), "the recording is not what was done"
    judge = Judge(fast / "opened", owner)
    choice = Choice(SEED, SAMPLES, around_syncs=LONG or number == 0, most_single=6)
    wrong = cut_everywhere(life.recorded, judge, choice)  # type: ignore[arg-type]
    tally.add("crash states of a cloud peer opened", judge.opened, seed=seed)
    tally.add("steps of a cloud peer's disk recorded", len(life.recorded.recording.steps), seed=seed)
    assert not wrong, "\n".join([*wrong, "what was done:", *life.recorded.told])
    owner.close()
