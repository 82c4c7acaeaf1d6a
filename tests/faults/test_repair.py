"""Repair puts right what can be proven, isolates the rest, and never makes it worse."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from sample_drive import Drive, Reading, Sample, compare, put

from hyperfs.chunks.extents import WHOLE_BLOCK
from hyperfs.crypto import wrap
from hyperfs.crypto.keys import DeviceKeys
from hyperfs.errors import HyperfsError
from hyperfs.policy.attributes import COPIES, PROTECT
from hyperfs.store.memory import MemoryIndex
from hyperfs.trie.node import Leaf, Ref
from hyperfs.volume import keys
from hyperfs.volume.check import Report, verify
from hyperfs.volume.check_state import CheckState
from hyperfs.volume.repair import Work, first_aid, repair
from hyperfs.volume.repair_report import Outcome, Repaired
from hyperfs.volume.volume import Volume


@pytest.fixture
def drive(sample: Sample, fast_folder: Path) -> Iterator[Drive]:
    folder = fast_folder / "repair"
    shutil.rmtree(folder, ignore_errors=True)
    yield sample.lay_out(folder)
    shutil.rmtree(folder)


def mend(drive: Drive, *sources: Path) -> Outcome:
    """As the command does it."""
    done: list[Repaired] = []
    first_aid(drive.path, drive.options.disk(drive.path), done)
    device_keys = DeviceKeys.from_bytes(wrap.unwrap((drive.path / "keys").read_bytes(), wrap.KIND_DEVICE))
    state = CheckState(MemoryIndex())
    return repair(Work(drive.path, device_keys, drive.options, state, list(sources), done))


def ask(drive: Drive, question: Callable[[Volume], Any]) -> Any:
    volume = drive.open(read_only=True)
    try:
        return question(volume)
    finally:
        volume.parts.close()


def check(drive: Drive) -> Report:
    report = ask(drive, lambda volume: verify(volume.parts))
    assert isinstance(report, Report)
    return report


def reading(drive: Drive, sample: Sample) -> Reading:
    found = ask(drive, lambda volume: Reading.of(volume, sample.newest))
    assert isinstance(found, Reading)
    return found


def spoil(path: Path, offset: int, length: int = 40) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        data = file.read(length)
        file.seek(offset)
        file.write(bytes(byte ^ 0x55 for byte in data))


def spoil_block(drive: Drive, kind: str, index: int) -> None:
    def place(volume: Volume) -> tuple[int, int]:
        log = volume.parts.metadata_log if kind == "metadata" else volume.content.log
        return log.block_range(index)

    offset, size = ask(drive, place)
    spoil(drive.log_file(kind, "blocks"), offset + size // 2, min(40, size // 2))


def block_of(drive: Drive, path: bytes, offset: int) -> int:
    """A block from that offset on that holds bytes of this file and no others: no pack."""

    def look(volume: Volume) -> int:
        tree = volume.versions.tree(volume.committer.newest.version)
        inode = volume.names.find(path, 1)
        extents = tree.extents(inode.ino, offset, 1 << 30) + tree.extents(inode.ino, 0, offset)
        return next(extent.block for extent in extents if extent.slot == WHOLE_BLOCK)

    found = ask(drive, look)
    assert isinstance(found, int)
    return found


def write_more(drive: Drive, name: bytes, data: bytes) -> None:
    """The drive takes writes, and has them after a further opening."""

    async def work() -> None:
        volume = drive.open()
        async with volume.running():
            await put(volume, volume.overlay.inode(1), name, data)
            await volume.commit()

    trio.run(work)
    assert ask(drive, lambda volume: volume.files.read(volume.names.find(name, 1), 0, len(data))) == data


def test_a_sound_drive_is_left_as_it_is(drive: Drive) -> None:
    before = {path: path.read_bytes() for path in drive.path.rglob("*") if path.is_file()}
    outcome = mend(drive)
    assert outcome.report.damage == []
    assert outcome.repaired == []
    after = {path: path.read_bytes() for path in drive.path.rglob("*") if path.is_file()}
    assert {p.name for p in before.keys() ^ after.keys()} <= {"lock"}
    assert all(after[path] == data for path, data in before.items() if path.name != "lock")


def test_what_can_not_be_had_is_isolated_and_the_rest_goes_on(drive: Drive, sample: Sample) -> None:
    spoil_block(drive, "content", block_of(drive, b"noise", 600_000))
    outcome = mend(drive)
    assert [damage.where for damage in outcome.report.damage] == [f"log 2 block {block_of(drive, b'noise', 600_000)}"]
    assert set(outcome.report.damage[0].paths) == {b"noise", b"docs/noise again"}
    found = reading(drive, sample)
    difference = compare(sample.expected, found)
    assert difference.wrong == []
    assert {path for _, path in difference.errors} == {b"noise", b"docs/noise again"}
    noise = ask(drive, lambda volume: volume.files.read(volume.names.find(b"noise", 1), 0, 100))
    assert len(noise) == 100
    write_more(drive, b"new", b"written after the repair" * 100)


def test_who_stores_the_lost_bytes_again_heals_all_that_needs_them(drive: Drive, sample: Sample) -> None:
    data = ask(drive, lambda volume: volume.files.read(volume.names.find(b"large", 1), 0, 400_000))

    async def make_version() -> None:
        volume = drive.open()
        async with volume.running():
            await volume.commit()

    trio.run(make_version)
    spoil_block(drive, "content", block_of(drive, b"large", 200_000))
    assert mend(drive).report.damage
    write_more(drive, b"once more", data)
    outcome = mend(drive)
    assert outcome.report.damage == []
    assert any("another copy" in repaired.what for repaired in outcome.repaired)
    assert ask(drive, lambda volume: volume.files.read(volume.names.find(b"large", 1), 0, 400_000)) == data


@pytest.mark.parametrize("as_folder", [False, True])
def test_bytes_are_taken_from_a_file_that_somebody_names(
    drive: Drive, sample: Sample, tmp_path: Path, as_folder: bool
) -> None:
    copy = tmp_path / "backup" / "noise.copy"
    copy.parent.mkdir()
    copy.write_bytes(ask(drive, lambda volume: volume.files.read(volume.names.find(b"noise", 1), 0, 1 << 20)))
    spoil_block(drive, "content", block_of(drive, b"noise", 600_000))
    outcome = mend(drive, tmp_path if as_folder else copy)
    assert outcome.report.damage == []
    assert any("noise.copy" in repaired.what for repaired in outcome.repaired)
    assert compare(sample.expected, reading(drive, sample)).same
    write_more(drive, b"new", b"after")


def test_a_lost_commit_of_the_newest_version_costs_nothing(drive: Drive, sample: Sample) -> None:
    index = ask(drive, lambda volume: volume.parts.metadata_log.signed_length - 1)
    spoil_block(drive, "metadata", index)
    outcome = mend(drive)
    assert [damage.where for damage in outcome.report.damage] == [f"log 1 block {index}"]
    found = reading(drive, sample)
    difference = compare(sample.expected, found)
    assert found.live == sample.expected.live
    assert difference.wrong == [f"versions missing or changed: [{sample.newest}]"] or difference.wrong == []
    write_more(drive, b"new", b"after")


def leaf_of(drive: Drive, path: bytes) -> int:
    def look(volume: Volume) -> int:
        wanted = keys.inode_key(volume.names.find(path, 1).ino)
        ref = volume.committer.newest.root
        assert ref is not None
        node = volume.parts.nodes.load(ref)
        while not isinstance(node, Leaf):
            ref = node.children[int(wanted.hex()[node.depth], 16)]
            assert isinstance(ref, Ref)
            node = volume.parts.nodes.load(ref)
        return ref.block

    found = ask(drive, look)
    assert isinstance(found, int)
    return found


def settle(drive: Drive) -> None:
    """Everything is in a version."""

    async def work() -> None:
        volume = drive.open()
        async with volume.running():
            await volume.commit()

    trio.run(work)


def test_a_lost_leaf_of_the_newest_version_is_as_in_the_version_before(drive: Drive, sample: Sample) -> None:
    settle(drive)
    spoil_block(drive, "metadata", leaf_of(drive, b"docs/note 20"))
    outcome = mend(drive)
    assert any("as in version" in repaired.what for repaired in outcome.repaired)
    live = reading(drive, sample).live
    assert not any(isinstance(facts, HyperfsError) for facts in live.values())
    olds = [v.get(b"docs/note 20") for v in sample.expected.versions.values() if isinstance(v, dict)]
    assert live[b"docs/note 20"][-1] in [old[-1] for old in olds if isinstance(old, tuple)]  # type: ignore[index]
    assert [d for d in outcome.report.damage if sample.newest + 2 in d.versions] == []
    write_more(drive, b"docs/new".rpartition(b"/")[2], b"after")


def test_a_lost_root_of_the_newest_version(drive: Drive, sample: Sample) -> None:
    settle(drive)
    root = ask(drive, lambda volume: volume.committer.newest.root.block)
    before = ask(drive, lambda volume: Reading.of(volume).live)
    spoil_block(drive, "metadata", root)
    outcome = mend(drive)
    assert not [damage for damage in outcome.report.damage if "let go" in damage.what]
    live = reading(drive, sample).live
    assert not any(isinstance(facts, HyperfsError) for facts in live.values())
    assert set(live) >= set(before) - {b"large", b"docs/letter", b"note three", b"unsynced"}
    assert outcome.repaired
    write_more(drive, b"new", b"after")


@pytest.mark.parametrize("kind", ["metadata", "content"])
@pytest.mark.parametrize("how", ["missing", "emptied", "zeros", "a stretch"])
def test_a_merkle_tree_is_computed_anew(drive: Drive, sample: Sample, kind: str, how: str) -> None:
    path = drive.log_file(kind, "tree")
    whole = path.read_bytes()
    match how:
        case "missing":
            path.unlink()
        case "emptied":
            path.write_bytes(b"")
        case "zeros":
            path.write_bytes(bytes(len(whole)))
        case _:
            spoil(path, 400, 800)
    outcome = mend(drive)
    assert outcome.report.damage == []
    assert any("tree" in repaired.where for repaired in outcome.repaired)
    assert compare(sample.expected, reading(drive, sample)).same


@pytest.mark.parametrize("name", ["hyperfs", "CACHEDIR.TAG"])
@pytest.mark.parametrize("gone", [False, True])
def test_small_files_are_written_anew(drive: Drive, sample: Sample, name: str, gone: bool) -> None:
    whole = (drive.path / name).read_bytes()
    if gone:
        (drive.path / name).unlink()
    else:
        spoil(drive.path / name, 20)
    outcome = mend(drive)
    assert (drive.path / name).read_bytes() == whole
    assert [repaired.where for repaired in outcome.repaired] == [f"file {name}"]
    assert outcome.report.damage == []


def test_a_damaged_head_is_written_anew_from_its_twin(drive: Drive, sample: Sample) -> None:
    spoil(drive.log_file("metadata", "heads"), 40)
    outcome = mend(drive)
    assert outcome.report.damage == []
    assert compare(sample.expected, reading(drive, sample)).same


@pytest.mark.parametrize("name", ["0000", "0001", ""])
def test_a_journal_that_lost_a_segment(drive: Drive, sample: Sample, name: str) -> None:
    path = drive.path / "journal" / name
    shutil.rmtree(path) if not name else path.unlink()
    outcome = mend(drive)
    assert {damage.where for damage in outcome.report.damage} <= {"lost/journal-1"}
    found = reading(drive, sample)
    assert found.versions == sample.expected.versions
    write_more(drive, b"new", b"after")
    shutil.rmtree(drive.path / "lost")
    assert check(drive).damage == []


def test_a_damaged_record_of_the_journal_leaves_those_before_it(drive: Drive, sample: Sample) -> None:
    segment = drive.path / "journal" / "0000"
    records = ask(drive, lambda volume: [r for r in volume.parts.journal.records() if r.payload])
    spoil(segment, segment.read_bytes().index(records[-1].tag) - 5, 1)
    outcome = mend(drive)
    assert [damage.where for damage in outcome.report.damage] == ["lost/journal-1"]
    live = reading(drive, sample).live
    assert b"docs/letter" in live
    write_more(drive, b"new", b"after")


def test_what_is_known_of_policies_becomes_what_the_attributes_say(drive: Drive) -> None:
    async def work() -> None:
        async with drive.open().running() as volume:
            root = volume.overlay.inode(1)
            volume.xattrs.set(root, PROTECT, b"nodelete")
            for name, value in ((b"protect", None), (b"copies", b"3")):
                volume.overlay.set_fact(keys.policy_key(1, name), value)
            await volume.commit()

    trio.run(work)
    assert len(check(drive).damage) == 2
    outcome = mend(drive)
    assert outcome.report.damage == []
    assert len(outcome.repaired) == 2
    own = ask(drive, lambda volume: {name: volume.overlay.policies.value(1, name) for name in (PROTECT, COPIES)})
    assert own == {PROTECT: b"nodelete", COPIES: None}


def test_an_older_node_that_the_log_holds_twice_is_found_there(drive: Drive, sample: Sample) -> None:
    """A file that changes and changes back makes the same nodes again."""

    async def work() -> tuple[int, int]:
        volume = drive.open()
        async with volume.running():
            await volume.commit()
            volume.overlay.set_fact(keys.setting_key(b"other"), b"1")
            first = await volume.commit()  # its pack has nothing but the nodes on the way to that
            volume.overlay.set_fact(keys.setting_key(b"test"), b"1")
            await volume.commit()
            volume.overlay.set_fact(keys.setting_key(b"test"), None)
            last = await volume.commit()
            assert first.root is not None
            assert last.root is not None
            assert first.root.id == last.root.id
            return first.root.block, first.version

    index, version = trio.run(work)
    spoil_block(drive, "metadata", index)
    assert check(drive).damage
    outcome = mend(drive)
    assert outcome.report.damage == []
    assert any("same trie node" in repaired.what for repaired in outcome.repaired)
    tree = ask(drive, lambda volume: list(volume.versions.tree(version).dentries(1)))
    assert tree
