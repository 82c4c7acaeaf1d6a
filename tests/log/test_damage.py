"""One flipped bit anywhere in a log's files is harmless or reported, and never gives wrong bytes."""

import random
import shutil
from pathlib import Path

import pytest

from hyperfs.crypto.keys import SigningKeyPair
from hyperfs.errors import Corrupt
from hyperfs.log import flat_tree
from hyperfs.log.log import Log
from hyperfs.store.files import Disk

LENGTH = 203  # three whole groups of 64 and a part, with roots of one leaf and of many


@pytest.fixture(scope="module")
def blocks() -> list[bytes]:
    return [b"%03d" % i + bytes([i | 1]) * (i * 7 % 40) for i in range(LENGTH)]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, signer: SigningKeyPair, blocks: list[bytes]) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    log = Log.create(Disk(folder), "log", signer)
    for start in range(0, LENGTH, 17):
        log.append(blocks[start : start + 17])
        log.flush()
    log.close()
    return folder


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


@pytest.fixture
def damaged(tmp_path: Path, sound: Path) -> Path:
    shutil.copytree(sound, tmp_path, dirs_exist_ok=True)
    return tmp_path


def read_all(log: Log) -> list[bytes | None]:
    found: list[bytes | None] = []
    for index in range(log.length):
        try:
            found.append(log.get_verified(index))
        except Corrupt:
            found.append(None)
    return found


def test_a_flipped_bit_of_any_node_is_mended_and_told(
    damaged: Path, signer: SigningKeyPair, blocks: list[bytes]
) -> None:
    tree = damaged / "log" / "tree"
    size = tree.stat().st_size
    for node in range(size // 40):
        bit = 40 * 8 * node + (3 if node % 3 else 8 * 32 + node % 60)  # in its hash, or in its size
        flip(tree, bit)
        log = Log.open(Disk(damaged), "log", signer.public_key, signer)
        assert read_all(log) == blocks, f"bit {bit}"
        found = list(log.verify())
        assert [damage.what for damage in found] in ([], ["node"])
        complete = flat_tree.right_span(node) < 2 * LENGTH
        assert bool(found) == complete, f"node {node}"
        log.close()
        flip(tree, bit)


def test_a_flush_puts_a_mended_node_right(damaged: Path, signer: SigningKeyPair, blocks: list[bytes]) -> None:
    sound = (damaged / "log" / "tree").read_bytes()
    flip(damaged / "log" / "tree", 127 * 320 + 5)
    log = Log.open(Disk(damaged), "log", signer.public_key, signer)
    assert read_all(log) == blocks
    assert [node.index for node in log.mended_nodes] == [127]
    log.append([b"more"])
    log.flush()
    assert log.mended_nodes == ()
    as_before = 40 * 385  # what the new block adds lies past this
    assert (damaged / "log" / "tree").read_bytes()[:as_before] == sound[:as_before]
    assert list(log.verify()) == []
    log.close()


def test_a_flipped_bit_of_a_block_is_that_block(damaged: Path, signer: SigningKeyPair, blocks: list[bytes]) -> None:
    file = damaged / "log" / "blocks"
    chance = random.Random(5)
    for _ in range(40):
        bit = chance.randrange(file.stat().st_size * 8)
        flip(file, bit)
        log = Log.open(Disk(damaged), "log", signer.public_key, signer)
        found = read_all(log)
        lost = [i for i in range(LENGTH) if found[i] != blocks[i]]
        assert len(lost) == 1
        assert found[lost[0]] is None
        assert [(damage.what, damage.index) for damage in log.verify()] == [("block", lost[0])]
        assert list(log.verify(lost[0] + 1)) == []
        log.close()
        flip(file, bit)


def test_many_damaged_nodes_cost_only_what_stands_below_them(
    damaged: Path, signer: SigningKeyPair, blocks: list[bytes]
) -> None:
    # Both leaves of one pair: neither can be told from the other, all else goes on.
    for node in (40, 42):
        flip(damaged / "log" / "tree", node * 320)
    for size_bit in (44 * 320 + 256, 46 * 320 + 260):
        flip(damaged / "log" / "tree", size_bit)
    log = Log.open(Disk(damaged), "log", signer.public_key, signer)
    found = read_all(log)
    lost = [i for i in range(LENGTH) if found[i] != blocks[i]]
    assert lost == [20, 21, 22, 23]
    assert {(damage.what, damage.index) for damage in log.verify()} == {("subtree", 41), ("subtree", 45)}
    log.close()


def test_a_tree_that_is_gone_is_corrupt(damaged: Path, signer: SigningKeyPair) -> None:
    (damaged / "log" / "tree").write_bytes(b"")
    with pytest.raises(Corrupt, match="tree"):
        Log.open(Disk(damaged), "log", signer.public_key, signer)


def test_a_short_blocks_file_loses_its_end_only(damaged: Path, signer: SigningKeyPair, blocks: list[bytes]) -> None:
    file = damaged / "log" / "blocks"
    file.write_bytes(file.read_bytes()[:-50])
    log = Log.open(Disk(damaged), "log", signer.public_key, signer)
    found = read_all(log)
    kept = [i for i in range(LENGTH) if found[i] is not None]
    assert kept == list(range(len(kept)))
    assert 190 < len(kept) < LENGTH
    assert {damage.what for damage in log.verify()} == {"block"}
    log.close()
