"""Head slots: the golden bytes, what two copies are good for, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.crypto.keys import SigningKeyPair
from hyperfs.errors import Corrupt, FormatTooNew
from hyperfs.log import heads
from hyperfs.log.heads import Head
from hyperfs.log.log import Log
from hyperfs.log.manifest import default_v1
from hyperfs.log.merkle import MerkleTree, hash32, leaf_hash
from hyperfs.store.files import Disk

VECTORS = Path(__file__).parents[1] / "vectors"
Reopen = Callable[[Log], Log]


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    vectors: dict[str, Any] = json.loads((VECTORS / "head_slot.json").read_text())
    return vectors


def flip(path: Path, at: int, bit: int = 0) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << bit]))


def test_golden_slots(golden: dict[str, Any]) -> None:
    signer = SigningKeyPair(bytes.fromhex(golden["signing_seed"]))
    for case in golden["slots"]:
        tree = MerkleTree()
        blocks = [bytes.fromhex(block) for block in case["blocks"]]
        tree.extend([len(b) for b in blocks], [leaf_hash(b) for b in blocks])
        head = heads.sign_head(default_v1(signer.public_key), signer, tree, case["fork"])
        slot = heads.encode_slot(head, case["generation"])
        assert slot.hex() == case["slot"]
        assert heads.decode_slot(slot) == (case["generation"], head)


@given(st.integers(0, heads.SLOT_BYTES * 8 - 1))
def test_no_flipped_bit_goes_unnoticed(position: int) -> None:
    slot = bytearray(heads.encode_slot(Head(1, 2, 3, b"h" * 32, b"s" * 64), 9))
    slot[position // 8] ^= 1 << position % 8
    assert heads.decode_slot(bytes(slot)) is None


def test_what_is_no_slot_is_none() -> None:
    assert heads.decode_slot(b"") is None
    assert heads.decode_slot(bytes(heads.SLOT_BYTES)) is None
    body = bytes(heads.SLOT_BYTES - 32)
    assert heads.decode_slot(body + hash32(body)) is None


@pytest.mark.parametrize("at", [8, 12, 15, 144, 479])
def test_what_encode_would_not_have_written_is_no_slot(at: int) -> None:
    slot = bytearray(heads.encode_slot(Head(1, 2, 3, b"h" * 32, b"s" * 64), 9))
    slot[at] ^= 1
    body = bytes(slot[:-32])
    assert heads.decode_slot(body + hash32(body)) is None


def test_a_later_format_is_told_as_such() -> None:
    slot = bytearray(heads.encode_slot(Head(1, 2, 3, b"h" * 32, b"s" * 64), 9))
    slot[8] = 2
    body = bytes(slot[:-32])
    with pytest.raises(FormatTooNew):
        heads.decode_slot(body + hash32(body))


def test_at_rest_both_slots_agree(log: Log, disk: Disk) -> None:
    for count in range(5):
        log.append([b"%d" % count])
        log.flush()
        file = disk.read_all("log/heads")
        assert len(file) == heads.FILE_BYTES
        assert file[:512] == file[4096:]


@pytest.mark.parametrize("slot", [0, 1])
@pytest.mark.parametrize("commits", [1, 2])
def test_one_damaged_slot_is_harmless_and_told(
    log: Log, reopen: Reopen, tmp_path: Path, slot: int, commits: int
) -> None:
    for count in range(commits):
        log.append([b"%d" % count])
        log.flush()
    head = log.head()
    flip(tmp_path / "log" / "heads", heads.SLOT_OFFSETS[slot] + 100)
    log = reopen(log)
    assert log.head() == head
    assert log.damaged_head_slot == slot
    assert [damage.what for damage in log.verify()] == ["head"]

    log.settle()
    log = reopen(log)
    assert log.damaged_head_slot is None
    assert log.head() == head


@pytest.mark.parametrize("slot", [0, 1])
def test_after_damage_the_next_head_never_overwrites_the_only_good_one(
    log: Log, reopen: Reopen, disk: Disk, tmp_path: Path, slot: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.append([b"a"])
    head = log.flush()
    flip(tmp_path / "log" / "heads", heads.SLOT_OFFSETS[slot])
    log = reopen(log)
    log.append([b"b"])
    written: list[tuple[int, bytes]] = []
    file = log._heads._file
    pwrite = file.pwrite

    def record(data: bytes, offset: int) -> None:
        written.append((offset, data))
        pwrite(data, offset)

    monkeypatch.setattr(file, "pwrite", record)
    newer = log.flush()
    assert [heads.decode_slot(data)[1] for _, data in written] == [head, head, newer, newer]  # type: ignore[index]
    assert written[0][0] != written[1][0]
    assert reopen(log).head() == newer


def test_two_damaged_slots_are_corrupt(log: Log, reopen: Reopen, tmp_path: Path) -> None:
    for offset in heads.SLOT_OFFSETS:
        flip(tmp_path / "log" / "heads", offset)
    with pytest.raises(Corrupt, match="head"):
        reopen(log)


def test_a_head_that_another_key_signed_is_none(log: Log, reopen: Reopen, disk: Disk) -> None:
    log.append([b"a"])
    head = log.flush()
    other = SigningKeyPair(b"\x05" * 32)
    forged = heads.sign_head(log.manifest, other, MerkleTree(), 7)
    file = bytearray(disk.read_all("log/heads"))
    file[:512] = heads.encode_slot(forged, 99)
    disk.replace("log/heads", bytes(file))
    log = reopen(log)
    assert log.head() == head
    assert log.damaged_head_slot == 0
