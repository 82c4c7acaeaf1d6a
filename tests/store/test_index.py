"""One behaviour for both indexes; and what RocksDB's damaged files may and may not do to ours."""

import os
import random
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rocksdict import Options, Rdict, WriteBatch

from hyperfs.errors import IndexDamaged, StoreLocked
from hyperfs.store.index import MAX_KEY_BYTES, MAX_VALUE_BYTES, KeyValue
from hyperfs.store.memory import MemoryIndex
from hyperfs.store.rocksdb import RocksIndex

PAGE = (Path(__file__).parents[2] / "docs" / "formats" / "index.md").read_text()

keys = st.binary(min_size=1, max_size=3)
batches = st.lists(st.lists(st.tuples(keys, st.none() | st.binary(max_size=5)), max_size=8), max_size=8)


@pytest.fixture(params=["rocksdb", "memory"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KeyValue]:
    made: KeyValue = RocksIndex(tmp_path / "index") if request.param == "rocksdb" else MemoryIndex()
    yield made
    made.close()


class TestBoth:
    def test_what_was_written_is_there_and_nothing_else(self, index: KeyValue) -> None:
        index.write([(b"a", b"1"), (b"b", b""), (b"c", b"3")])
        index.write([(b"a", None), (b"c", b"4"), (b"never", None)])
        assert [index.get(key) for key in (b"a", b"b", b"c", b"never", b"other")] == [None, b"", b"4", None, None]
        assert list(index.scan()) == [(b"b", b""), (b"c", b"4")]

    def test_the_last_change_of_a_key_in_a_batch_wins(self, index: KeyValue) -> None:
        index.write([(b"a", b"1"), (b"a", None), (b"b", None), (b"b", b"2")])
        assert list(index.scan()) == [(b"b", b"2")]

    def test_compacting_changes_nothing_that_is_there(self, index: KeyValue) -> None:
        index.write([(b"%d" % n, bytes(100)) for n in range(1000)])
        index.write([(b"%d" % n, None) for n in range(990)])
        scan = index.scan()
        assert next(scan) == (b"990", bytes(100))
        index.compact()
        assert [key for key, _ in scan] == [b"%d" % n for n in range(991, 1000)]
        assert [key for key, _ in index.scan()] == [b"%d" % n for n in range(990, 1000)]

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
    @given(written=batches, prefix=st.binary(max_size=2), start=st.binary(max_size=3))
    def test_it_is_a_sorted_dictionary(
        self, index: KeyValue, written: list[list[tuple[bytes, bytes | None]]], prefix: bytes, start: bytes
    ) -> None:
        index.write([(key, None) for key, _ in list(index.scan())])
        model: dict[bytes, bytes] = {}
        for batch in written:
            index.write(batch)
            for key, value in batch:
                model.pop(key, None)
                if value is not None:
                    model[key] = value
        wanted = sorted(pair for pair in model.items() if pair[0].startswith(prefix) and pair[0] >= start)
        assert list(index.scan(prefix, start)) == wanted
        assert all(index.get(key) == model.get(key) for batch in written for key, _ in batch)

    def test_a_prefix_of_ff_bytes_has_an_end(self, index: KeyValue) -> None:
        index.write([(b"\xfe", b"1"), (b"\xff", b"2"), (b"\xff\xff", b"3"), (b"\xff\xff\xff", b"4")])
        assert [key for key, _ in index.scan(b"\xff\xff")] == [b"\xff\xff", b"\xff\xff\xff"]
        assert list(index.scan(b"\xff", b"\x01")) == list(index.scan(b"\xff"))
        assert list(index.scan(b"\x01", b"\xff")) == []

    def test_a_scan_shows_the_state_at_its_call(self, index: KeyValue) -> None:
        index.write([(b"%d" % number, b"old") for number in range(9)])
        begun, not_begun = index.scan(), index.scan(b"5")
        assert next(begun) == (b"0", b"old")
        index.write([(b"%d" % number, b"new") for number in range(9)] + [(b"3", None), (b"55", b"new")])
        assert list(begun) == [(b"%d" % number, b"old") for number in range(1, 9)]
        assert list(not_begun) == [(b"5", b"old")]

    @pytest.mark.parametrize(
        ("key", "value"), [(b"", b"1"), (b"k" * (MAX_KEY_BYTES + 1), b""), (b"k", bytes(MAX_VALUE_BYTES + 1))]
    )
    def test_a_batch_with_something_out_of_bounds_changes_nothing(
        self, index: KeyValue, key: bytes, value: bytes
    ) -> None:
        with pytest.raises(ValueError, match="index"):
            index.write([(b"good", b"1"), (key, value)])
        assert list(index.scan()) == []

    def test_the_bounds_themselves_are_inside(self, index: KeyValue) -> None:
        key, value = b"k" * MAX_KEY_BYTES, bytes(MAX_VALUE_BYTES)
        index.write([(key, value)])
        index.flush()
        assert list(index.scan()) == [(key, value)]

    def test_closed_is_closed_and_ends_open_scans(self, index: KeyValue) -> None:
        index.write([(b"a", b"1"), (b"b", b"2")])
        begun, not_begun = index.scan(), index.scan()
        next(begun)
        index.close()
        index.close()
        assert list(begun) == list(not_begun) == []
        calls: list[Callable[[], object]] = [
            lambda: index.get(b"a"),
            lambda: index.write([(b"a", b"2")]),
            index.scan,
            index.flush,
        ]
        for call in calls:
            with pytest.raises(ValueError, match="closed"):
                call()

    def test_threads_lose_none_of_each_others_batches(self, index: KeyValue) -> None:
        def work(name: int) -> None:
            for step in range(100):
                index.write([(b"%d.%02d" % (name, step), b"x"), (b"%d.last" % name, b"%d" % step)])
                assert index.get(b"%d.last" % name) == b"%d" % step

        threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(list(index.scan())) == 4 * 101


BATCHES = 120


def batch(number: int) -> list[tuple[bytes, bytes | None]]:
    """No two numbers leave the same state, and keys come, change and go."""
    changes: list[tuple[bytes, bytes | None]] = [(b"last", b"%d" % number)]
    changes.append((b"key %02d" % (number % 40), b"value of batch %d" % number))
    if number % 3 == 0:
        changes.append((b"key %02d" % (number * 7 % 40), None))
    return changes


def states() -> list[dict[bytes, bytes]]:
    state: dict[bytes, bytes] = {}
    found = [{}]
    for number in range(BATCHES):
        for key, value in batch(number):
            state.pop(key, None)
            if value is not None:
                state[key] = value
        found.append(dict(state))
    return found


STATES = states()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All batches in three tables and a log, as they lie when the process is killed."""
    folder = tmp_path_factory.mktemp("written")
    for first in range(0, BATCHES, 30):
        index = RocksIndex(folder / "index")
        for number in range(first, first + 30):
            index.write(batch(number))
        if first + 30 < BATCHES:
            index.close()
    shutil.copytree(folder / "index", folder / "killed")
    index.close()
    return folder / "killed"


def what_opens(folder: Path) -> dict[bytes, bytes] | None:
    """All that the index says, by scan, get, and after more work and another opening; None if IndexDamaged."""
    try:
        index = RocksIndex(folder)
    except IndexDamaged:
        return None
    try:
        found = dict(index.scan())
        for key in {key for state in STATES for key in state}:
            assert index.get(key) == found.get(key)
        index.write([(b"more", b"work")])
        index.close()
        index = RocksIndex(folder)
        assert dict(index.scan()) == found | {b"more": b"work"}
    except IndexDamaged:
        return None
    finally:
        index.close()
    return found


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.stat().st_size)


def test_a_killed_process_leaves_every_batch(written: Path, tmp_path: Path) -> None:
    shutil.copytree(written, tmp_path / "index")
    assert len([name for name in files(written) if name.endswith(".sst")]) >= 2
    assert what_opens(tmp_path / "index") == STATES[BATCHES]


def test_flipped_bytes_give_damage_or_a_first_part_of_the_batches(written: Path, tmp_path: Path) -> None:
    choice = random.Random(20261121)
    outcomes = {"damaged": 0, "first part": 0, "whole": 0}
    for name in files(written):
        whole = (written / name).read_bytes()
        for at in sorted(choice.sample(range(len(whole)), min(6, len(whole)))):
            shutil.copytree(written, tmp_path / "index")
            damaged = bytearray(whole)
            damaged[at] ^= 1 << choice.randrange(8)
            (tmp_path / "index" / name).write_bytes(damaged)
            found = what_opens(tmp_path / "index")
            assert found is None or found in STATES, f"{name} at {at}"
            outcomes["damaged" if found is None else "whole" if found == STATES[-1] else "first part"] += 1
            shutil.rmtree(tmp_path / "index")
    assert min(outcomes.values()) > 0, outcomes


def test_a_record_type_that_would_hang_rocksdb_is_damage(written: Path, tmp_path: Path) -> None:
    for name in files(written):
        if not name.endswith(".log") and not name.startswith("MANIFEST"):
            continue
        whole = (written / name).read_bytes()
        at = 0
        while at < len(whole):
            for kind in (5, 6, 7, 8, 11, 129):
                folder = tmp_path / "index"
                shutil.copytree(written, folder, dirs_exist_ok=True)
                (folder / name).write_bytes(whole[: at + 6] + bytes([kind]) + whole[at + 7 :])
                with pytest.raises(IndexDamaged, match=f"{name} at byte {at}"):
                    RocksIndex(folder)
            at += 7 + int.from_bytes(whole[at + 4 : at + 6], "little")
        assert at == len(whole)


def test_missing_and_cut_files_give_damage_or_a_first_part_of_the_batches(written: Path, tmp_path: Path) -> None:
    for name in files(written):
        for keep in (None, 0, (written / name).stat().st_size // 2, (written / name).stat().st_size - 1):
            shutil.copytree(written, tmp_path / "index")
            if keep is None:
                (tmp_path / "index" / name).unlink()
            else:
                os.truncate(tmp_path / "index" / name, keep)
            found = what_opens(tmp_path / "index")
            assert found is None or found in STATES, f"{name} cut to {keep}"
            shutil.rmtree(tmp_path / "index")


def raw(folder: Path) -> Rdict:
    return Rdict(str(folder), Options(raw_mode=True))


@pytest.mark.parametrize(
    "loss",
    [
        [(b"m" + bytes(7) + b"\x02", b"")],  # the batch that deleted marker 2 is gone, a later one is not
        [(b"b", None)],  # the first batch is gone, a later one is not
        [(b"m" + bytes(7) + b"\x03", None)],  # the marker alone is gone
        [(b"m" + bytes(7) + b"\x03", None), (b"b", None)],
        [(b"m" + bytes(7) + b"\x03", None), (b"m\x03", b"")],
    ],
    ids=["middle", "beginning", "marker", "marker and beginning", "marker changed"],
)
def test_an_index_that_lost_a_middle_piece_does_not_open(
    tmp_path: Path, loss: list[tuple[bytes, bytes | None]]
) -> None:
    index = RocksIndex(tmp_path / "index")
    for number in range(3):
        index.write(batch(number))
    index.close()
    db, lost = raw(tmp_path / "index"), WriteBatch(raw_mode=True)
    for key, value in loss:
        if value is None:
            lost.delete(key)
        else:
            lost.put(key, value)
    db.write(lost)
    db.close()
    with pytest.raises(IndexDamaged, match="lost some of its batches"):
        RocksIndex(tmp_path / "index")


def test_a_damaged_index_can_be_deleted_and_made_anew_in_the_same_process(tmp_path: Path) -> None:
    index = RocksIndex(tmp_path / "index")
    index.write(batch(0))
    index.close()
    (tmp_path / "index" / "CURRENT").write_bytes(b"nonsense\n")
    with pytest.raises(IndexDamaged, match="rebuilt from the logs"):
        RocksIndex(tmp_path / "index")
    shutil.rmtree(tmp_path / "index")
    anew = RocksIndex(tmp_path / "index")
    assert list(anew.scan()) == []
    anew.close()


def test_a_second_opening_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    index = RocksIndex(tmp_path / "index")
    index.write(batch(0))
    with pytest.raises(StoreLocked):
        RocksIndex(tmp_path / "index")
    index.write(batch(1))
    assert dict(index.scan()) == STATES[2]
    index.close()


def test_flush_makes_a_kill_harmless(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from hyperfs.store.rocksdb import RocksIndex\n"
        "index = RocksIndex(Path(sys.argv[1])); index.write([(b'a', b'1')]); index.write([(b'a', b'2')])\n"
        "index.flush(); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "index")], check=False)
    assert done.returncode == -9
    index = RocksIndex(tmp_path / "index")
    assert list(index.scan()) == [(b"a", b"2")]
    index.close()


def test_the_folder_stays_quiet(tmp_path: Path) -> None:
    for _ in range(5):
        index = RocksIndex(tmp_path / "index")
        index.write(batch(0))
        index.close()
    assert len(list((tmp_path / "index").glob("LOG*"))) <= 2
    assert (tmp_path / "index").stat().st_mode & 0o777 == 0o700


def test_the_page_shows_what_lies_in_rocksdb(tmp_path: Path) -> None:
    index = RocksIndex(tmp_path / "index")
    index.write([(b"name", b"value"), (b"other", b"")])
    index.write([(b"other", None)])
    index.close()
    db = raw(tmp_path / "index")
    found = [f"{key.hex(' ')} -> {value.hex(' ')}".rstrip() for key, value in db.items()]
    db.close()
    block = re.search(r"```hex\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    assert [line.split("#")[0].rstrip() for line in block[1].splitlines()] == found
