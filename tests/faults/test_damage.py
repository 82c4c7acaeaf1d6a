"""What is damaged gives an error, the rest stays readable, and verify names what each damage touches."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
import trio
from sample_drive import Drive, Reading, Sample, compare, read_all

from hyperfs.chunks.extents import WHOLE_BLOCK
from hyperfs.crypto import wrap
from hyperfs.crypto.keys import DeviceKeys
from hyperfs.errors import Corrupt, FormatTooNew, HyperfsError, KeyMissing, NotAStore, WrongPassphrase
from hyperfs.store.folder import inspect
from hyperfs.trie.node import Leaf, Ref
from hyperfs.volume import keys
from hyperfs.volume.check import Report, verify
from hyperfs.volume.volume import Volume

NODE_BYTES: Final = 40


@pytest.fixture
def drive(sample: Sample, fast_folder: Path) -> Drive:
    folder = fast_folder / "damage"
    shutil.rmtree(folder, ignore_errors=True)
    return sample.lay_out(folder)


def spoil(path: Path, offset: int) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x55]))


def ask(drive: Drive, question: Callable[[Volume], object]) -> object:
    """The answer of the drive opened read-only."""
    volume = drive.open(read_only=True)
    try:
        return question(volume)
    finally:
        volume.parts.close()


def spoil_block(drive: Drive, kind: str, index: int) -> None:
    def place(volume: Volume) -> tuple[int, int]:
        log = volume.parts.metadata_log if kind == "metadata" else volume.content.log
        return log.block_range(index)

    found = ask(drive, place)
    assert isinstance(found, tuple)
    spoil(drive.log_file(kind, "blocks"), found[0] + found[1] // 2)


def check(drive: Drive) -> Report:
    report = ask(drive, lambda volume: verify(volume.parts))
    assert isinstance(report, Report)
    return report


def read_only(drive: Drive, sample: Sample) -> Reading:
    reading = ask(drive, lambda volume: Reading.of(volume, sample.newest))
    assert isinstance(reading, Reading)
    return reading


def touched(report: Report) -> tuple[set[bytes], set[int]]:
    paths = {path for damage in report.damage for path in damage.paths}
    return paths, {version for damage in report.damage for version in damage.versions}


def test_an_undamaged_drive_has_no_damage(drive: Drive) -> None:
    report = check(drive)
    assert report.damage == []
    assert all(report.checked[what] > 0 for what in ("blocks", "nodes", "files", "bytes"))


def test_a_damaged_content_block_costs_the_files_in_it_and_no_others(drive: Drive, sample: Sample) -> None:
    def block_of_noise(volume: Volume) -> int:
        tree = volume.versions.tree(volume.committer.newest.version)
        inode = volume.names.lookup(1, b"noise")
        extents = tree.extents(inode.ino, 600_000, 1 << 20) + tree.extents(inode.ino, 0, 600_000)
        return next(extent.block for extent in extents if extent.slot == WHOLE_BLOCK)  # in a pack are other files too

    index = ask(drive, block_of_noise)
    assert isinstance(index, int)
    spoil_block(drive, "content", index)
    difference = compare(sample.expected, read_only(drive, sample))
    assert difference.wrong == []
    assert {path for _, path in difference.errors} == {b"noise", b"docs/noise again"}
    report = check(drive)
    assert len(report.damage) == 1
    assert report.damage[0].where == f"log 2 block {index}"
    assert set(report.damage[0].paths) == {b"noise", b"docs/noise again"}
    assert set(report.damage[0].versions) == {version for version, _ in difference.errors if version is not None}


def test_a_damaged_leaf_costs_what_is_in_it_in_the_versions_that_share_it(drive: Drive, sample: Sample) -> None:
    def leaf(volume: Volume) -> int:
        """The block of the leaf with the record of docs/note 35. No branch of the newest version is in that pack."""
        wanted = keys.inode_key(volume.names.find(b"docs/note 35", 1).ino)
        ref = volume.committer.newest.root
        assert ref is not None
        node, above = volume.parts.nodes.load(ref), set()
        while not isinstance(node, Leaf):
            above.add(ref.block)
            digit = int(wanted.hex()[node.depth], 16)
            child = node.children[digit]
            assert isinstance(child, Ref)
            ref, node = child, volume.parts.nodes.load(child)
        assert ref.block not in above
        return ref.block

    found = ask(drive, leaf)
    assert isinstance(found, int)
    spoil_block(drive, "metadata", found)
    reading = read_only(drive, sample)
    difference = compare(sample.expected, reading)
    assert difference.wrong == []
    assert "damage" in reading.warnings
    report = check(drive)
    paths, versions = touched(report)
    assert b"docs/note 35" in paths
    assert versions == {version for version, _ in difference.errors if version is not None}
    assert len(versions) < len(sample.expected.versions)
    readable = sum(not isinstance(facts, HyperfsError) for facts in reading.live.values())
    assert readable > len(sample.expected.live) // 2


def test_a_damaged_pack_of_a_whole_version_is_one_damage(drive: Drive, sample: Sample) -> None:
    """Several lost nodes, and all inodes may have been in them."""
    root = ask(drive, lambda volume: volume.versions.commit(1).root)
    assert isinstance(root, Ref)
    spoil_block(drive, "metadata", root.block)
    difference = compare(sample.expected, read_only(drive, sample))
    assert difference.wrong == []
    report = check(drive)
    assert [damage.where for damage in report.damage] == [f"log 1 block {root.block}"]
    assert set(report.damage[0].versions) == {version for version, _ in difference.errors if version is not None}


def test_a_damaged_old_commit_costs_that_version_only(drive: Drive, sample: Sample) -> None:
    victim = sample.newest - 4
    index = ask(drive, lambda volume: next(f.index for f in volume.versions.all() if f.version == victim))
    assert isinstance(index, int)
    spoil_block(drive, "metadata", index)
    reading = read_only(drive, sample)
    assert set(reading.versions) == set(sample.expected.versions) - {victim}
    assert reading.live == sample.expected.live
    report = check(drive)
    assert [damage.versions for damage in report.damage] == [(victim,)]
    assert report.damage[0].where == f"log 1 block {index}"


def test_the_newest_commit_damaged_is_refused_and_read_only_shows_the_one_before(drive: Drive, sample: Sample) -> None:
    index = ask(drive, lambda volume: volume.parts.metadata_log.signed_length - 1)
    assert isinstance(index, int)
    spoil_block(drive, "metadata", index)
    with pytest.raises(Corrupt, match="--read-only"):
        drive.open()
    reading = read_only(drive, sample)
    assert "newest" in reading.warnings
    assert set(reading.versions) == set(sample.expected.versions) - {sample.newest}
    for version, listing in reading.versions.items():
        assert listing == sample.expected.versions[version]
    assert [damage.versions for damage in check(drive).damage] == [(sample.newest,)]


def test_attack_l03_an_edited_journal_is_refused_and_shown_as_the_last_version(drive: Drive, sample: Sample) -> None:
    segment = drive.path / "journal" / "0000"
    later = ask(drive, lambda volume: [r for r in volume.parts.journal.records() if r.payload])
    assert isinstance(later, list)
    spoil(segment, segment.read_bytes().index(later[-1].tag) - 5)
    with pytest.raises(Corrupt, match="fsynced"):
        drive.open()
    reading = read_only(drive, sample)
    assert "journal" in reading.warnings
    assert reading.live == sample.expected.versions[sample.newest]
    assert reading.versions == sample.expected.versions
    assert [damage.where for damage in check(drive).damage] == ["journal"]


def test_one_damaged_merkle_node_is_mended_and_listed(drive: Drive, sample: Sample) -> None:
    spoil(drive.log_file("metadata", "tree"), 9 * NODE_BYTES + 3)
    assert compare(sample.expected, read_only(drive, sample)).same
    report = check(drive)
    assert [damage.where for damage in report.damage] == ["log 1 tree node 9"]
    assert touched(report) == (set(), set())


def test_a_damaged_head_is_served_by_its_twin_and_both_are_a_refusal(drive: Drive, sample: Sample) -> None:
    heads = drive.log_file("metadata", "heads")
    spoil(heads, 40)
    reading = read_only(drive, sample)
    assert compare(sample.expected, reading).same
    assert "head-1" in reading.warnings
    assert any("slot 0" in damage.where for damage in check(drive).damage)
    spoil(heads, 4096 + 40)
    with pytest.raises(Corrupt, match="neither copy"):
        drive.open()


@pytest.mark.parametrize("offset", [0, 8, 16, 60, 170])
def test_a_damaged_key_file_is_damage_and_no_wrong_passphrase(drive: Drive, offset: int) -> None:
    spoil(drive.path / "keys", offset)
    with pytest.raises(Corrupt, match="key file"):
        drive.open()


def test_a_wrapped_key_file_tells_damage_from_a_wrong_passphrase(drive: Drive) -> None:
    body = wrap.unwrap((drive.path / "keys").read_bytes(), wrap.KIND_DEVICE)
    wrapped = wrap.wrap(wrap.KIND_DEVICE, body, b"right", b"s" * 16, b"n" * 12, wrap.LEAST_COST)
    with pytest.raises(WrongPassphrase):
        wrap.unwrap(wrapped, wrap.KIND_DEVICE, b"wrong")
    for offset in range(0, len(wrapped), 7):
        spoiled = bytearray(wrapped)
        spoiled[offset] ^= 1
        with pytest.raises(Corrupt):
            wrap.unwrap(bytes(spoiled), wrap.KIND_DEVICE, b"right")


def test_the_keys_of_another_device_are_refused(drive: Drive) -> None:
    other = DeviceKeys(*(bytes([n]) * 32 for n in range(4)))
    (drive.path / "keys").write_bytes(wrap.wrap(wrap.KIND_DEVICE, other.to_bytes()))
    with pytest.raises(KeyMissing, match="no device of this drive"):
        drive.open()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.99])
def test_a_damaged_control_chain_is_refused(drive: Drive, share: float) -> None:
    control = drive.path / "control"
    spoil(control, int(control.stat().st_size * share))
    with pytest.raises(Corrupt, match="control"):
        drive.open()


def test_verify_of_an_open_drive_lists_small_files_that_are_damaged_meanwhile(drive: Drive) -> None:
    volume = drive.open(read_only=True)
    for name in ("control", "keys", "hyperfs", "CACHEDIR.TAG"):
        spoil(drive.path / name, 30)
    listed = {damage.where for damage in verify(volume.parts).damage}
    volume.parts.close()
    assert listed == {"file control", "file keys", "file hyperfs", "file CACHEDIR.TAG"}


@pytest.mark.parametrize("kind", ["content", "metadata"])
def test_a_damaged_format_byte_is_damage_and_no_later_hyperfs(drive: Drive, kind: str) -> None:
    volume = drive.open()
    number = volume.content.number if kind == "content" else volume.parts.metadata_number
    offset, _ = volume.parts.logs[number].block_range(0)
    volume.parts.close()
    path = drive.log_file(kind, "blocks")
    spoil(path, offset)
    volume = drive.open()
    with pytest.raises(Corrupt, match="do not fit the signed tree"):
        volume.parts.logs[number].get(0)
    assert [damage.what for damage in verify(volume.parts).damage if "update hyperfs" in damage.what] == []
    volume.parts.close()


def test_a_block_of_zeros_that_nothing_let_go_is_damage(drive: Drive, sample: Sample) -> None:
    found = ask(drive, lambda volume: volume.content.log.block_range(3))
    assert isinstance(found, tuple)
    with open(drive.log_file("content", "blocks"), "r+b") as file:
        file.seek(found[0])
        file.write(bytes(found[1]))
    assert [damage.where for damage in check(drive).damage] == ["log 2 block 3"]
    assert compare(sample.expected, read_only(drive, sample)).wrong == []


def test_blocks_cut_short_are_damage_and_what_comes_before_stays_readable(drive: Drive, sample: Sample) -> None:
    blocks = drive.log_file("content", "blocks")
    os.truncate(blocks, blocks.stat().st_size // 3)
    difference = compare(sample.expected, read_only(drive, sample))
    assert difference.wrong == []
    assert difference.errors
    _, versions = touched(check(drive))
    assert {version for version, _ in difference.errors if version is not None} <= versions


def test_a_flip_while_the_drive_is_mounted_is_an_error_on_reading(drive: Drive) -> None:
    async def work() -> None:
        volume = drive.open()
        async with volume.running():
            inode = volume.names.lookup(1, b"noise")
            place = volume.overlay.extents(inode, 600_000, 600_001)[0]
            offset, size = volume.content.log.block_range(place.block)
            spoil(drive.log_file("content", "blocks"), offset + size // 2)
            with pytest.raises(Corrupt):
                volume.files.read(inode, 600_000, 100)
            assert volume.files.read(volume.names.find(b"docs/note 20", 1), 0, 10)

    trio.run(work)


@pytest.mark.parametrize("name", ["control", "hyperfs", "logs"])
def test_half_a_store_says_which_half_is_missing(drive: Drive, name: str) -> None:
    path = drive.path / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(NotAStore, match=name):
        inspect(drive.path)


def test_a_missing_log_or_key_file_says_what_to_put_back(drive: Drive) -> None:
    shutil.rmtree(drive.log_file("content", "blocks").parent)
    with pytest.raises(NotAStore, match="half a store"):
        drive.open()
    keys_file = (drive.path / "keys").read_bytes()
    (drive.path / "keys").unlink()
    with pytest.raises(KeyMissing, match="recover"):
        inspect(drive.path)
    assert keys_file


@pytest.mark.parametrize("name", ["blocks", "tree"])
def test_a_missing_file_of_a_log_is_half_a_store(drive: Drive, name: str) -> None:
    drive.log_file("content", name).unlink()
    with pytest.raises(NotAStore, match="half a store"):
        drive.open()


@pytest.mark.parametrize("name", ["0000", "0001", ""])
def test_a_missing_journal_segment_is_refused_and_never_an_older_state(drive: Drive, sample: Sample, name: str) -> None:
    path = drive.path / "journal" / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(Corrupt, match="missing"):
        drive.open()
    reading = read_only(drive, sample)
    assert "journal" in reading.warnings
    assert reading.versions == sample.expected.versions
    assert [damage.where for damage in check(drive).damage] == ["journal"]


def test_a_journal_segment_cut_short_is_refused(drive: Drive) -> None:
    os.truncate(drive.path / "journal" / "0000", 1000)
    with pytest.raises(Corrupt, match="cut short"):
        drive.open()


def test_no_store_and_a_later_format_are_refused(drive: Drive, tmp_path: Path) -> None:
    with pytest.raises(NotAStore, match="no store"):
        inspect(tmp_path)
    with pytest.raises(NotAStore, match="does not exist"):
        inspect(tmp_path / "missing")
    text = (drive.path / "hyperfs").read_bytes()
    (drive.path / "hyperfs").write_bytes(text.replace(b"format 1", b"format 2"))
    with pytest.raises(FormatTooNew, match="update hyperfs"):
        drive.open()


def test_opening_after_a_refusal_works_again(drive: Drive, sample: Sample) -> None:
    """A refused opening leaves neither lock nor files open."""
    spoil(drive.path / "control", 100)
    with pytest.raises(Corrupt):
        drive.open()
    spoil(drive.path / "control", 100)
    reading, _ = trio.run(read_all, drive, sample.newest)
    assert compare(sample.expected, reading).same
