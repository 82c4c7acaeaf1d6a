"""Which blocks are here: bits, sectors, and what damage does to them."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfs.log.have import SECTOR_BLOCKS, SECTOR_BYTES, Have, decode_sector, encode_sector
from hyperfs.store.files import Disk, DiskFile

MOST = 3 * SECTOR_BLOCKS

changes = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, MOST - 1), st.integers(1, 5000)),
        st.tuples(st.just("remove"), st.integers(0, MOST - 1), st.integers(1, 5000)),
    ),
    max_size=8,
)


@pytest.fixture
def file(tmp_path: Path) -> DiskFile:
    return Disk(tmp_path).open("have", create=True)


def runs(blocks: set[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for block in sorted(blocks):
        if found and found[-1][1] == block:
            found[-1] = found[-1][0], block + 1
        else:
            found.append((block, block + 1))
    return found


@settings(max_examples=60, deadline=None)
@given(changes, st.integers(0, MOST), st.integers(0, MOST))
def test_it_is_a_set_of_blocks_that_a_file_keeps(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, int, int]], start: int, end: int
) -> None:
    file = Disk(tmp_path_factory.mktemp("have")).open("have", create=True)
    have, blocks = Have(), set[int]()
    for what, first, count in changes:
        some = range(first, min(first + count, MOST))
        if what == "add":
            have.add(some)
            blocks |= set(some)
        else:
            have.remove(some.start, some.stop)
            blocks -= set(some)
        have.write(file)
    for found in (have, Have.read(file)):
        assert list(found.ranges(start, end)) == runs({block for block in blocks if start <= block < end})
        assert found.count() == len(blocks)
        assert all(found.has(block) == (block in blocks) for block in range(0, MOST, 7))
        assert found.doubtful == []
    file.close()


def test_only_changed_sectors_are_written(file: DiskFile) -> None:
    have = Have()
    have.add([SECTOR_BLOCKS])
    assert have.write(file)
    assert not have.write(file)
    assert file.size() == 2 * SECTOR_BYTES
    assert file.pread(SECTOR_BYTES, 0) == bytes(SECTOR_BYTES)


@pytest.mark.parametrize("at", [0, 1, 479, 480, 511])
def test_a_flipped_bit_makes_a_sector_doubtful_and_no_other(file: DiskFile, at: int) -> None:
    have = Have()
    have.add([0, 8, 3839, SECTOR_BLOCKS + 3])
    have.write(file)
    old = file.pread(1, at)
    file.pwrite(bytes([old[0] ^ 4]), at)
    found = Have.read(file)
    assert found.doubtful == [0]
    assert list(found.ranges(0, MOST)) == [(SECTOR_BLOCKS + 3, SECTOR_BLOCKS + 4)]


def test_a_sector_in_another_ones_place_is_not_believed() -> None:
    sector = encode_sector(1, b"\x01" + bytes(479))
    assert decode_sector(1, sector) is not None
    assert decode_sector(2, sector) is None
    assert decode_sector(0, encode_sector(0, bytes(480))) == bytes(480)


def test_a_file_of_a_far_block_is_read_without_its_hole(file: DiskFile) -> None:
    have = Have()
    have.add([1 << 32])
    have.write(file)
    assert list(Have.read(file).ranges(0, 1 << 33)) == [(1 << 32, (1 << 32) + 1)]
