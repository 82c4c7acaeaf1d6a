"""A log by its owner: append, read, sign, reopen, truncate, punch, adopt."""

import errno
import os
import random
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfs.crypto.keys import SigningKeyPair
from hyperfs.errors import Corrupt, Exists, KeyMissing, NotResident
from hyperfs.log import offsets
from hyperfs.log.log import Log
from hyperfs.log.merkle import MerkleTree, leaf_hash
from hyperfs.store.files import Disk
from hyperfs.values import BlockRef

Block = Callable[[str, int], bytes]
Reopen = Callable[[Log], Log]


def blocks_of(count: int, start: int = 0) -> list[bytes]:
    return [b"block %d " % i + bytes([i & 127 | 1]) * (i % 50) for i in range(start, start + count)]


def test_every_core_of_hypercores_vectors(
    hypercore: dict[str, Any], block_of: Block, disk: Disk, signer: SigningKeyPair
) -> None:
    for number, core in enumerate(c for c in hypercore["cores"] if not c["compat"]):
        log = Log.create(disk, f"logs/{number}", signer)
        blocks = [block_of(core["kind"], i) for i in range(core["blocks"])]
        log.append(blocks)
        head = log.flush()
        log.close()
        log = Log.open(disk, f"logs/{number}", signer.public_key)
        assert log.head() == head
        assert (log.key.hex(), log.discovery_key.hex()) == (core["key"], core["discoveryKey"])
        assert (head.tree_hash.hex(), head.signature.hex()) == (core["treeHash"], core["signature"])
        assert (head.length, head.byte_length, head.fork) == (core["blocks"], core["byteLength"], 0)
        assert [log.get(i) for i in range(len(blocks))] == blocks
        for index, node in core["nodes"].items():
            assert (log.node(int(index)).hash.hex(), log.node(int(index)).size) == (
                node["hash"],
                node["size"],
            )
        assert list(log.verify()) == []


def test_the_fork_of_hypercores_vectors(hypercore: dict[str, Any], log: Log) -> None:
    log.append([bytes([97 + i]) for i in range(8)])
    log.flush()
    for expected, head in (
        (hypercore["fork"]["after_truncate"], log.truncate(5)),
        (hypercore["fork"]["after_append"], (log.append([b"Z"]), log.flush())[1]),
    ):
        assert head.fork == expected["fork"]
        assert head.length == expected["length"]
        assert head.tree_hash.hex() == expected["treeHash"]
        assert head.signature.hex() == expected["signature"]


def test_a_new_log_is_empty_and_signed(log: Log, reopen: Reopen) -> None:
    for each in (log, reopen(log)):
        assert (each.length, each.signed_length, each.byte_length, each.fork) == (0, 0, 0, 0)
        assert each.damaged_head_slot is None
        with pytest.raises(IndexError):
            each.get(0)


def test_a_log_is_made_once(log: Log, disk: Disk, signer: SigningKeyPair) -> None:
    with pytest.raises(Exists):
        Log.create(disk, "log", signer)


def test_a_half_made_log_is_made_again(disk: Disk, signer: SigningKeyPair) -> None:
    disk.makedirs("log")
    disk.open("log/blocks", create=True).pwrite(b"rest of a crash", 0)
    log = Log.create(disk, "log", signer)
    log.append([b"a"])
    log.flush()
    assert disk.read_all("log/blocks") == b"a"


def test_what_was_not_flushed_is_gone_after_reopening(log: Log, reopen: Reopen) -> None:
    log.append(blocks_of(3))
    log.flush()
    assert log.append(blocks_of(2, 3)) == 3
    assert [log.get(i) for i in range(5)] == blocks_of(5)
    assert (log.length, log.signed_length) == (5, 3)
    log = reopen(log)
    assert (log.length, log.signed_length) == (3, 3)
    with pytest.raises(IndexError):
        log.get(3)
    log.append([b"other"])
    log.flush()
    assert reopen(log).get(3) == b"other"


def test_flushing_twice_writes_once(log: Log) -> None:
    log.append(blocks_of(3))
    assert log.flush() is log.flush()


def test_prepared_blocks_may_be_written_later_and_in_any_order(log: Log) -> None:
    blocks = blocks_of(6)
    hashes = [leaf_hash(block) for block in blocks]
    first = log.prepare([len(block) for block in blocks[:4]], hashes[:4])
    second = log.prepare([len(block) for block in blocks[4:]], hashes[4:])
    assert (first.first_index, second.first_index) == (0, 4)
    log.write(second, b"".join(blocks[4:]))
    log.write(first, memoryview(b"".join(blocks[:4])))
    log.flush()
    assert [log.get(i) for i in range(6)] == blocks
    assert list(log.verify()) == []
    with pytest.raises(ValueError, match="blocks of"):
        log.write(first, b"short")


def test_empty_blocks_and_blocks_of_zeros_are_blocks(log: Log, reopen: Reopen) -> None:
    blocks = [b"", b"\0" * 100, b"", b"\0", b"\0x"]
    log.append(blocks)
    log.flush()
    log = reopen(log)
    assert [log.get(i) for i in range(5)] == blocks
    assert list(log.verify()) == []


def test_a_failed_append_leaves_the_log_as_it_was(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    log.append(blocks_of(3))
    write = os.pwrite

    def full(fd: int, data: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space"):
        log.append(blocks_of(7, 3))
    monkeypatch.setattr(os, "pwrite", write)
    assert log.length == 3
    log.append(blocks_of(2, 3))
    log.flush()
    assert [log.get(i) for i in range(5)] == blocks_of(5)


def test_rollback_forgets_what_no_head_has_signed(log: Log) -> None:
    log.append(blocks_of(70))
    log.flush()
    log.append(blocks_of(200, 70))
    log.write_tree()
    log.rollback(100)
    assert (log.length, log.signed_length) == (100, 70)
    assert [log.get(i) for i in range(100)] == blocks_of(100)
    with pytest.raises(IndexError):
        log.get(100)
    for wrong in (69, 101):
        with pytest.raises(ValueError, match="go back"):
            log.rollback(wrong)
    log.append([b"new"])
    head = log.flush()
    tree = MerkleTree()
    blocks = [*blocks_of(100), b"new"]
    tree.extend([len(b) for b in blocks], [leaf_hash(b) for b in blocks])
    assert head.tree_hash == tree.hash()
    assert list(log.verify()) == []


def test_truncate_raises_the_fork_and_gives_back_the_space(log: Log, reopen: Reopen, disk: Disk) -> None:
    log.append(blocks_of(300))
    log.flush()
    log.append(blocks_of(20, 300))
    head = log.truncate(130)
    assert (head.fork, head.length, log.length, log.fork) == (1, 130, 130, 1)
    assert len(disk.read_all("log/blocks")) == head.byte_length
    log = reopen(log)
    assert log.head() == head
    assert [log.get(i) for i in range(130)] == blocks_of(130)
    log.append([b"another"])
    log.flush()
    assert log.get(130) == b"another"
    assert list(log.verify()) == []
    assert log.truncate(131).fork == 2
    assert log.truncate(0).tree_hash == MerkleTree().hash()
    with pytest.raises(ValueError, match="truncate"):
        log.truncate(1)


def test_truncating_to_more_than_is_signed_signs_it(log: Log, reopen: Reopen) -> None:
    log.append(blocks_of(10))
    head = log.truncate(7)
    assert (head.length, head.fork) == (7, 1)
    log = reopen(log)
    assert [log.get(i) for i in range(7)] == blocks_of(7)


def test_punched_blocks_are_not_resident_and_the_rest_is(log: Log, reopen: Reopen) -> None:
    blocks = [bytes([i]) * 10_000 for i in range(1, 101)]
    log.append(blocks)
    log.flush()
    full = log.size_on_disk()
    log.punch(10, 90)
    log.punch(95, 95)
    assert log.size_on_disk() < full / 2
    log = reopen(log)
    for index in (10, 50, 89):
        with pytest.raises(NotResident) as error:
            log.get(index)
        assert error.value.blocks == (BlockRef(0, index),)
    for index in (0, 9, 90, 99):
        assert log.get_verified(index) == blocks[index]
    assert list(log.verify()) == []
    with pytest.raises(ValueError, match="punch"):
        log.punch(90, 101)


def test_blocks_past_the_head_are_adopted_by_what_the_journal_names(log: Log, reopen: Reopen, tmp_path: Path) -> None:
    log.append(blocks_of(3))
    log.flush()
    log.append(blocks_of(70, 3))
    log.sync_blocks()
    log = reopen(log)
    late = blocks_of(70, 3)
    sizes, hashes = [len(b) for b in late], [leaf_hash(b) for b in late]
    with pytest.raises(ValueError, match="join"):
        log.adopt(2, sizes, hashes)
    log.adopt(3, sizes[:60], hashes[:60])
    assert [log.get(i) for i in range(63)] == blocks_of(63)
    log.flush()
    log = reopen(log)

    with (tmp_path / "log" / "blocks").open("r+b") as file:
        file.seek(log.byte_length + 5)
        file.write(b"X")
    with pytest.raises(Corrupt, match="journal"):
        log.adopt(63, sizes[60:], hashes[60:])
    assert log.length == 63
    with pytest.raises(Corrupt, match="journal"):
        log.adopt(63, [1 << 20], [leaf_hash(b"")])


def test_without_a_signer_a_log_is_only_read(log: Log, disk: Disk, signer: SigningKeyPair) -> None:
    log.append(blocks_of(3))
    log.flush()
    log.close()
    reader = Log.open(disk, "log", signer.public_key, writable=False)
    assert reader.get(2) == blocks_of(3)[2]
    for forbidden in (lambda: reader.truncate(1), lambda: reader.write_head(reader.write_tree())):
        with pytest.raises(KeyMissing):
            forbidden()


def test_another_logs_key_opens_nothing(log: Log, disk: Disk, signer: SigningKeyPair) -> None:
    other = SigningKeyPair(b"\x02" * 32)
    with pytest.raises(Corrupt, match="head"):
        Log.open(disk, "log", other.public_key)
    with pytest.raises(ValueError, match="signer"):
        Log.open(disk, "log", signer.public_key, other)


def test_a_log_that_is_not_there(disk: Disk, signer: SigningKeyPair) -> None:
    with pytest.raises(FileNotFoundError):
        Log.open(disk, "nothing", signer.public_key)


def test_offsets_are_right_with_and_without_the_tail_in_memory(
    log: Log, reopen: Reopen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offsets, "_TAIL_MAX", 128)
    blocks = blocks_of(1000)
    for start in range(0, 1000, 70):
        log.append(blocks[start : start + 70])
        log.flush()
        for index in (0, start // 2, start, log.length - 1):
            assert log.get(index) == blocks[index]
    assert [log.get(i) for i in range(1000)] == blocks
    log = reopen(log)
    assert [log.get(i) for i in reversed(range(1000))] == blocks[::-1]
    for wrong in (-1, 1000, 1 << 40):
        with pytest.raises(IndexError):
            log.block_range(wrong)


class Model:
    """What a log must hold, as two lists."""

    def __init__(self) -> None:
        self.blocks: list[bytes] = []
        self.signed: list[bytes] = []
        self.fork = 0


steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 150)),
        st.tuples(st.sampled_from(["flush", "reopen", "write_tree"]), st.just(0)),
        st.tuples(st.sampled_from(["rollback", "truncate"]), st.integers(0, 1000)),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_any_sequence_of_steps_equals_a_list(
    tmp_path_factory: pytest.TempPathFactory, signer: SigningKeyPair, steps: list[tuple[str, int]]
) -> None:
    disk = Disk(tmp_path_factory.mktemp("log"))
    log = Log.create(disk, "log", signer)
    model = Model()
    made = 0
    for step, number in steps:
        if step == "append":
            blocks = blocks_of(number, made)
            made += number
            assert log.append(blocks) == len(model.blocks)
            model.blocks += blocks
        elif step == "flush":
            log.flush()
            model.signed = list(model.blocks)
        elif step == "write_tree":
            log.write_tree()
        elif step == "reopen":
            log.close()
            log = Log.open(disk, "log", signer.public_key, signer)
            model.blocks = list(model.signed)
        elif step == "rollback":
            length = len(model.signed) + number % (len(model.blocks) - len(model.signed) + 1)
            log.rollback(length)
            del model.blocks[length:]
        else:
            length = number % (len(model.blocks) + 1)
            log.truncate(length)
            del model.blocks[length:]
            model.signed = list(model.blocks)
            model.fork += 1
        assert (log.length, log.signed_length, log.fork) == (len(model.blocks), len(model.signed), model.fork)
    tree = MerkleTree()
    tree.extend([len(b) for b in model.blocks], [leaf_hash(b) for b in model.blocks])
    assert log.roots() == tuple(tree.roots)
    assert [log.get_verified(i) for i in range(log.length)] == model.blocks
    log.flush()
    assert list(log.verify()) == []
    log.close()


def test_readers_in_other_threads_see_whole_blocks_while_the_log_grows(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offsets, "_TAIL_MAX", 128)
    blocks = blocks_of(6000)
    published = [0]
    wrong: list[object] = []
    done = threading.Event()

    def read(seed: int) -> None:
        chance = random.Random(seed)
        while not done.is_set() and not wrong:
            if length := published[0]:
                index = chance.randrange(length)
                try:
                    if log.get_verified(index) != blocks[index]:
                        wrong.append(index)
                except Exception as error:  # noqa: BLE001  # whatever it is, the test must tell it
                    wrong.append(error)

    readers = [threading.Thread(target=read, args=(seed,)) for seed in range(3)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # many more switches than usual: what is rare must be met
    try:
        for reader in readers:
            reader.start()
        for number, start in enumerate(range(0, len(blocks), 37)):
            log.append(blocks[start : start + 37])
            if number % 5 == 0:
                log.append([b"never signed"] * 90)
                log.write_tree()
                log.rollback(log.length - 90)
            if number % 3 == 0:
                log.flush()
            published[0] = log.length
    finally:
        done.set()
        for reader in readers:
            reader.join()
        sys.setswitchinterval(interval)
    assert wrong == []
    log.flush()
    assert list(log.verify()) == []


def test_blocks_appended_during_a_flush_wait_for_the_next_head(log: Log, reopen: Reopen) -> None:
    blocks = blocks_of(300)
    log.append(blocks[:100])
    tree = log.write_tree()
    log.append(blocks[100:200])
    log.sync_blocks()
    log.sync_tree()
    head = log.write_head(tree)
    assert (head.length, log.signed_length, log.length) == (100, 100, 200)
    log.append(blocks[200:])
    assert log.flush().length == 300
    log = reopen(log)
    assert [log.get_verified(i) for i in range(300)] == blocks


def test_a_flush_in_another_thread_beside_appends(log: Log, reopen: Reopen) -> None:
    blocks = blocks_of(4000)
    heads: list[int] = []
    errors: list[Exception] = []
    may_flush = threading.Lock()
    done = threading.Event()

    def flush() -> None:
        while not done.is_set():
            try:
                with may_flush:
                    tree = log.write_tree()
                log.sync_blocks()
                log.sync_tree()
                heads.append(log.write_head(tree).length)
            except Exception as error:  # noqa: BLE001  # whatever it is, the test must tell it
                errors.append(error)
                return

    worker = threading.Thread(target=flush)
    worker.start()
    for start in range(0, len(blocks), 10):
        batch = blocks[start : start + 10]
        with may_flush:  # nothing is prepared and unwritten when write_tree runs
            pending = log.prepare([len(b) for b in batch], [leaf_hash(b) for b in batch])
            log.write(pending, b"".join(batch))
    done.set()
    worker.join()
    assert errors == []
    assert heads == sorted(heads)
    log.flush()
    log = reopen(log)
    assert [log.get_verified(i) for i in range(4000)] == blocks
    assert list(log.verify()) == []
