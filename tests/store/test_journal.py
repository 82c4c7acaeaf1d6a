"""The journal: what was durable comes back or the reader refuses; what was torn is dropped without a word."""

import hashlib
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hyperfs.crypto.journal_cipher import JournalCipher
from hyperfs.errors import Corrupt
from hyperfs.store.files import Disk
from hyperfs.store.journal import FIRST_SEGMENTS, SEGMENT_BYTES, Journal
from hyperfs.store.journal_records import FOLDER, FRAME_BYTES, HEADER, MAGIC, Kind, Record, read_records, select_replay


def key_for_segment(segment: int) -> bytes:
    return hashlib.blake2b(segment.to_bytes(8, "little"), digest_size=32).digest()


each_its_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)


class Nonces:
    """Never the same twice in one store, and the same in every run: else examples could not be tried again."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> bytes:
        self.count += 1
        return self.count.to_bytes(12, "big")


NONCES = Nonces()


def fresh(path: Path) -> Disk:
    NONCES.count = 0
    shutil.rmtree(path / "store", ignore_errors=True)
    (path / "store" / FOLDER).mkdir(parents=True)
    for number in range(FIRST_SEGMENTS):
        # As Journal.create leaves them, but holes: eight megabytes of zeros an example would be felt.
        with (path / "store" / FOLDER / f"{number:04d}").open("wb") as file:
            file.truncate(SEGMENT_BYTES)
    return Disk(path / "store")


def opened(disk: Disk, folded: int = 0) -> tuple[Journal, list[bytes]]:
    """As a volume opens it: reads, selects, goes on behind."""
    journal = Journal(disk, JournalCipher(key_for_segment), NONCES)
    try:
        records = journal.open()
        payloads = select_replay(records, folded)
    except BaseException:
        journal.close()
        raise
    journal.begin(records, folded)
    return journal, payloads


def synced(journal: Journal, payload: bytes) -> int:
    """A whole fsync; returns the number of the last record of the change."""
    sequence = journal.append(payload)
    journal.mark_durable(journal.sync())
    return sequence


def replay(disk: Disk, folded: int = 0) -> list[bytes]:
    journal, payloads = opened(disk, folded)
    journal.close()
    return payloads


def used(disk: Disk, name: str) -> int:
    """Where the written part of a segment ends."""
    return len(disk.read_all(f"{FOLDER}/{name}").rstrip(b"\0"))


def damage(disk: Disk, name: str, offset: int, bits: int) -> None:
    file = disk.open(f"{FOLDER}/{name}")
    byte = file.pread(1, offset)[0]
    file.pwrite(bytes([byte ^ bits]), offset)
    file.close()


def test_a_new_journal_has_nothing_to_replay(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    Journal.create(disk)
    assert replay(disk) == []
    assert all(disk.read_all(f"{FOLDER}/{name}") == bytes(SEGMENT_BYTES) for name in disk.listdir(FOLDER))


def test_synced_changes_come_back_in_order(tmp_path: Path) -> None:
    disk = fresh(tmp_path)
    journal, _ = opened(disk)
    for number in range(20):
        synced(journal, b"change %d" % number)
    journal.close()
    assert replay(disk) == [b"change %d" % number for number in range(20)]


def test_a_commit_takes_what_it_holds_out_of_the_replay(tmp_path: Path) -> None:
    disk = fresh(tmp_path)
    journal, _ = opened(disk)
    synced(journal, b"one")
    folded = synced(journal, b"two")
    synced(journal, b"three")
    journal.close()
    assert replay(disk, folded) == [b"three"]


def test_a_change_longer_than_a_segment_comes_back_whole(tmp_path: Path) -> None:
    disk = fresh(tmp_path)
    journal, _ = opened(disk)
    long = hashlib.shake_256(b"long").digest(2 * SEGMENT_BYTES + 12345)
    synced(journal, b"before")
    synced(journal, long)
    synced(journal, b"after")
    journal.close()
    assert replay(disk) == [b"before", long, b"after"]


@pytest.mark.parametrize("size", [SEGMENT_BYTES - FRAME_BYTES - 1, SEGMENT_BYTES - FRAME_BYTES, SEGMENT_BYTES])
def test_a_change_that_just_fits_a_segment_or_just_not(tmp_path: Path, size: int) -> None:
    disk = fresh(tmp_path)
    journal, _ = opened(disk)
    synced(journal, b"x" * size)
    journal.close()
    assert replay(disk) == [b"x" * size]


def test_a_long_change_that_was_torn_is_not_there_at_all(tmp_path: Path) -> None:
    disk = fresh(tmp_path)
    journal, _ = opened(disk)
    synced(journal, b"before")
    journal.append(b"y" * (SEGMENT_BYTES + 100))
    names = [segment.name for segment in journal._live]
    journal.close()
    last = names[-1].rpartition("/")[2]
    damage(disk, last, used(disk, last) - 1, 255)
    assert replay(disk) == [b"before"]


def test_segments_are_used_again_after_a_commit(tmp_path: Path) -> None:
    disk = fresh(tmp_path)
    journal, _ = opened(disk)
    last = 0
    for number in range(40):
        last = synced(journal, b"%d" % number * (SEGMENT_BYTES // 12))
        journal.recycle(journal.last_sequence)
    kept = journal.last_sequence
    synced(journal, b"newest")
    journal.close()
    assert len(disk.listdir(FOLDER)) <= 4
    assert last <= kept
    assert replay(disk, kept) == [b"newest"]


def filled(disk: Disk, segments: int) -> int:
    """Synced records until so many segments are in use; the number of the last record."""
    journal, _ = opened(disk)
    last = 0
    while len(journal._live) < segments:
        last = synced(journal, b"f" * (SEGMENT_BYTES // 3))
    journal.close()
    return last


def test_segments_that_a_commit_holds_do_not_wait_for_another_after_opening(tmp_path: Path) -> None:
    disk = fresh(tmp_path)
    last = filled(disk, 5)
    journal, payloads = opened(disk, last + 1)  # and the note that says so
    assert payloads == []
    assert journal.live_bytes == 0
    journal.close()
    journal, _ = opened(disk, last - 4)
    assert 0 < journal.live_bytes <= 3 * SEGMENT_BYTES
    journal.close()


@pytest.mark.parametrize("segments", [3, 4])
def test_a_lost_segment_is_noticed_the_newest_one_too(tmp_path: Path, segments: int) -> None:
    disk = fresh(tmp_path)
    filled(disk, segments)
    disk.remove(f"{FOLDER}/{segments - 1:04d}")
    journal, _ = opened_unread(disk)
    assert journal.damage == f"the journal's segment {segments - 1:04d} is missing"
    journal.close()


def test_a_segment_cut_short_is_noticed_the_newest_one_too(tmp_path: Path) -> None:
    disk = fresh(tmp_path)
    filled(disk, 3)
    file = disk.open(f"{FOLDER}/0002")
    file.truncate(0)
    file.close()
    journal, _ = opened_unread(disk)
    assert journal.damage == "the journal's segment 0002 was cut short"
    journal.close()


def test_a_lost_segment_is_noticed_when_it_alone_holds_what_counts(tmp_path: Path) -> None:
    """All others hold only what a commit has: they are free, and still tell of it."""
    disk = fresh(tmp_path)
    filled(disk, 2)
    journal, _ = opened(disk)
    journal.recycle(journal.last_sequence)
    while [segment.name for segment in journal._live] != [f"{FOLDER}/0002"]:
        journal.recycle(journal.last_sequence - 1)
        synced(journal, b"g" * (SEGMENT_BYTES // 3))
    journal.close()
    disk.remove(f"{FOLDER}/0002")
    journal, _ = opened_unread(disk)
    assert journal.damage
    journal.close()


def test_a_segment_that_a_kill_left_half_made_is_made_again(tmp_path: Path) -> None:
    """Its name need not be on the disk, so it may not be written as it is."""
    disk = fresh(tmp_path)
    file = disk.open(f"{FOLDER}/0002", create=True)
    file.pwrite(b"what lay on the disk", 0)
    file.close()
    journal, _ = opened(disk)
    assert journal.damage is None
    last = synced(journal, b"one" * SEGMENT_BYTES)
    journal.close()
    assert disk.size(f"{FOLDER}/0002") == SEGMENT_BYTES
    assert replay(disk) == [b"one" * SEGMENT_BYTES]
    assert last > 1


def opened_unread(disk: Disk) -> tuple[Journal, list[Record]]:
    journal = Journal(disk, JournalCipher(key_for_segment), NONCES)
    return journal, journal.open()


def test_numbers_go_on_after_opening(tmp_path: Path) -> None:
    disk = fresh(tmp_path)
    for number in range(5):
        journal, payloads = opened(disk)
        assert payloads == [b"%d" % n for n in range(number)]
        synced(journal, b"%d" % number)
        journal.close()


def test_attack_l03_a_record_of_another_key_is_not_read(tmp_path: Path) -> None:
    disk = fresh(tmp_path)
    journal, _ = opened(disk)
    synced(journal, b"secret")
    journal.close()
    other = Journal(disk, JournalCipher(lambda segment: bytes(32)), NONCES)
    assert other.open() == []
    other.close()
    assert b"secret" not in disk.read_all(f"{FOLDER}/0000") + disk.read_all(f"{FOLDER}/0001")


def test_attack_l03_a_record_that_was_moved_is_damage(tmp_path: Path) -> None:
    """A record knows its segment and its number: one that an earlier use of the segment left does not count."""
    disk = fresh(tmp_path)
    journal, _ = opened(disk)
    synced(journal, b"first")
    end = journal._live[0].end
    synced(journal, b"second")
    journal.close()
    name = next(n for n in disk.listdir(FOLDER) if used(disk, n))
    file = disk.open(f"{FOLDER}/{name}")
    first = file.pread(end, 0)
    file.pwrite(first, end)  # the first change's records where the second's were
    file.close()
    try:
        assert replay(disk) == [b"first"]
    except Corrupt:
        return


@each_its_folder
@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=8), st.data())
def test_a_flipped_bit_in_what_was_acknowledged_is_harmless_or_corrupt(
    tmp_path: Path, changes: list[bytes], data: st.DataObject
) -> None:
    disk = fresh(tmp_path)
    journal, _ = opened(disk)
    for change in changes:
        synced(journal, change)
    name = journal._live[0].name.rpartition("/")[2]
    end = journal._live[0].end
    journal.close()
    damage(disk, name, data.draw(st.integers(0, end - 1)), 1 << data.draw(st.integers(0, 7)))
    try:
        assert replay(disk) == changes
    except Corrupt:
        return


@each_its_folder
@given(st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=6), st.integers(0, 5), st.data())
def test_a_flipped_bit_after_reuse_and_reopening_is_harmless_or_corrupt(
    tmp_path: Path, changes: list[bytes], folds: int, data: st.DataObject
) -> None:
    disk = fresh(tmp_path)
    journal, _ = opened(disk)
    for _ in range(folds):
        synced(journal, b"folded and gone " * 20)
        journal.recycle(journal.last_sequence)
    folded = journal.last_sequence
    reopen_at = data.draw(st.integers(0, len(changes)))
    for position, change in enumerate(changes):
        if position == reopen_at:
            journal.close()
            journal, _ = opened(disk, folded)
        synced(journal, change)
    journal.close()
    name = data.draw(st.sampled_from([n for n in disk.listdir(FOLDER) if used(disk, n)]))
    damage(disk, name, data.draw(st.integers(0, used(disk, name) - 1)), data.draw(st.integers(1, 255)))
    try:
        assert replay(disk, folded) == changes
    except Corrupt:
        return


@each_its_folder
@given(
    st.lists(st.tuples(st.binary(min_size=1, max_size=300), st.booleans()), min_size=1, max_size=8),
    st.data(),
)
def test_after_a_power_cut_a_prefix_is_there_with_all_that_was_synced(
    tmp_path: Path, changes: list[tuple[bytes, bool]], data: st.DataObject
) -> None:
    """Whatever was written since the last sync returned may be there, in part, or not."""
    disk = fresh(tmp_path)
    journal, _ = opened(disk)
    durable, durable_end = 0, 0
    for count, (change, sync) in enumerate(changes, 1):
        journal.append(change)
        if sync:
            through = journal.sync()
            durable, durable_end = count, journal._live[0].end
            journal.mark_durable(through)
    end = journal._live[0].end
    name = journal._live[0].name
    journal.close()
    file = disk.open(name)
    for start in range(durable_end, end, 64):
        if data.draw(st.booleans()):
            file.pwrite(bytes(min(64, end - start)), start)
    file.close()
    found = replay(disk)
    assert found == [change for change, _ in changes][: len(found)]
    assert len(found) >= durable


@each_its_folder
@given(st.lists(st.sampled_from(["sync", "append", "commit", "reopen"]), max_size=30), st.data())
def test_whatever_comes_what_is_unfolded_is_replayed(tmp_path: Path, steps: list[str], data: st.DataObject) -> None:
    disk = fresh(tmp_path)
    journal, _ = opened(disk)
    wanted: list[bytes] = []
    folded = 0
    for number, step in enumerate(steps):
        if step in ("sync", "append"):
            payload = b"%d " % number * data.draw(st.sampled_from([1, 1000, SEGMENT_BYTES // 8]))
            wanted.append(payload)
            if step == "sync":
                synced(journal, payload)
            else:
                journal.append(payload)
        elif step == "commit":
            folded = journal.last_sequence
            journal.recycle(folded)
            wanted = []
        else:
            journal.close()
            journal, found = opened(disk, folded)
            assert found == wanted
    journal.close()
    assert replay(disk, folded) == wanted


@each_its_folder
@given(st.binary(max_size=2000))
def test_foreign_bytes_in_a_segment_are_no_records(tmp_path: Path, data: bytes) -> None:
    disk = fresh(tmp_path)
    file = disk.open(f"{FOLDER}/0000")
    file.pwrite(b"HfJ1" + data + b"HfJ1", 0)
    file.close()
    assert replay(disk) == []


def test_a_change_given_up_half_way_is_not_joined_to_the_next(tmp_path: Path) -> None:
    disk = fresh(tmp_path)
    journal, _ = opened(disk)
    journal.append(b"half", Kind.MORE)
    journal.append(b"", Kind.NOTE)
    synced(journal, b"next")
    journal.close()
    assert replay(disk) == [b"next"]


def test_false_records_one_in_the_other_are_damage_and_not_minutes_of_work(tmp_path: Path) -> None:
    disk = fresh(tmp_path)
    room = SEGMENT_BYTES // FRAME_BYTES * FRAME_BYTES
    forged = b"".join(
        HEADER.pack(MAGIC, Kind.CHANGE, 0, 0, room - start - FRAME_BYTES, 1, 1, 0, bytes(16)).ljust(FRAME_BYTES, b"\0")
        for start in range(0, room, FRAME_BYTES)
    )
    (tmp_path / "store" / FOLDER / "0001").write_bytes(forged.ljust(SEGMENT_BYTES, b"\0"))
    with pytest.raises(Corrupt, match="looks like records"):
        list(read_records(forged, JournalCipher(key_for_segment)))
    journal = Journal(disk, JournalCipher(key_for_segment), NONCES)
    assert journal.open() == []
    assert journal.damage is not None
    assert "segment 0001 is damaged" in journal.damage
    journal.close()
