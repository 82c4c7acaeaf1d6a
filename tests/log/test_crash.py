"""Power cuts: whichever of the writes not yet synced reach the disk, the log opens at a signed head."""

from pathlib import Path
from typing import ClassVar, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfs.crypto.keys import SigningKeyPair
from hyperfs.log.heads import Head
from hyperfs.log.log import Log
from hyperfs.store.files import Disk, DiskFile

SECTOR = 512


class Event(NamedTuple):
    """A write (or a truncation, with no data), or a sync (data None)."""

    file: str
    offset: int
    data: bytes | None


class RecordingFile(DiskFile):
    """A real file that tells what was written and synced, in order; the syncs themselves are left out."""

    events: ClassVar[list[Event]] = []

    def pwrite(self, data: bytes | bytearray | memoryview, offset: int) -> None:
        super().pwrite(data, offset)
        self.events.append(Event(Path(self.path).name, offset, bytes(data)))

    def fdatasync(self) -> None:
        self.events.append(Event(Path(self.path).name, 0, None))

    def truncate(self, size: int) -> None:
        super().truncate(size)
        self.events.append(Event(Path(self.path).name, size, b""))


class RecordingDisk(Disk):
    file_type = RecordingFile


def apply(content: bytearray, event: Event, sectors: list[bool] | None = None) -> None:
    """The event happens to a file, or only those of its sectors that are true."""
    assert event.data is not None
    if not event.data:
        if sectors is None or all(sectors):
            del content[event.offset :]
        return
    at = 0
    number = 0
    while at < len(event.data):
        size = min(SECTOR - (event.offset + at) % SECTOR, len(event.data) - at)
        if sectors is None or sectors[number % len(sectors)]:
            start = event.offset + at
            content.extend(bytes(max(0, start + size - len(content))))
            content[start : start + size] = event.data[at : at + size]
        at += size
        number += 1


def after_power_cut(start: dict[str, bytes], events: list[Event], fate: st.DataObject) -> dict[str, bytes]:
    content = {name: bytearray(data) for name, data in start.items()}
    waiting: dict[str, list[Event]] = {name: [] for name in start}
    for event in events:
        if event.data is None:
            for each in waiting[event.file]:
                apply(content[event.file], each)
            waiting[event.file] = []
        else:
            waiting[event.file].append(event)
    for name, rest in waiting.items():
        for each in rest:
            apply(content[name], each, fate.draw(st.lists(st.booleans(), min_size=1, max_size=4)))
    return {name: bytes(data) for name, data in content.items()}


steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 40)),
        st.tuples(st.just("flush"), st.just(0)),
        st.tuples(st.just("truncate"), st.integers(0, 100)),
    ),
    min_size=2,
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(steps, st.data())
def test_a_log_opens_at_a_signed_head_after_any_power_cut(
    tmp_path_factory: pytest.TempPathFactory,
    signer: SigningKeyPair,
    steps: list[tuple[str, int]],
    fate: st.DataObject,
) -> None:
    folder = tmp_path_factory.mktemp("crash")
    log = Log.create(RecordingDisk(folder), "log", signer)
    start = {name: (folder / "log" / name).read_bytes() for name in ("blocks", "tree", "heads")}
    events = RecordingFile.events
    events.clear()
    # A head with the number of events after which it was promised, and the blocks that it stands for.
    promised: list[tuple[int, Head, list[bytes]]] = [(0, log.head(), [])]
    blocks: list[bytes] = []
    made = 0
    for step, number in steps:
        if step == "append":
            new = [b"%d " % i + b"x" * (i * 53 % 200) for i in range(made, made + number)]
            made += number
            log.append(new)
            blocks = blocks + new
            continue
        log.flush()
        if step == "truncate":
            promised.append((len(events), log.head(), list(blocks)))
            blocks = blocks[: number % (len(blocks) + 1)]
            log.truncate(len(blocks))
        promised.append((len(events), log.head(), list(blocks)))
    log.close()

    cut = fate.draw(st.integers(0, len(events)))
    for name, data in after_power_cut(start, events[:cut], fate).items():
        (folder / "log" / name).write_bytes(data)

    log = Log.open(Disk(folder), "log", signer.public_key, signer)
    oldest = max(i for i, (count, _, _) in enumerate(promised) if count <= cut)
    by_head = {head: held for _, head, held in promised[oldest:]}
    assert log.head() in by_head
    assert [log.get_verified(i) for i in range(log.length)] == by_head[log.head()]
    assert [damage for damage in log.verify() if damage.what != "head"] == []

    log.settle()
    log.append([b"and on"])
    head = log.flush()
    log.close()
    log = Log.open(Disk(folder), "log", signer.public_key, signer)
    assert log.head() == head
    assert list(log.verify()) == []
    log.close()
