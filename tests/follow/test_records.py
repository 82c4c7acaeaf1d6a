"""Records are a tree of names; a folder's rename takes all below it along."""

import stat
from pathlib import Path

from hyperfs.follow.facts import Facts, Identity
from hyperfs.follow.records import TOP, Records

from .two_trees import KEY


def facts(ino: int, folder: bool = False) -> Facts:
    kind = stat.S_IFDIR if folder else stat.S_IFREG
    return Facts(kind, 0o644, 0, 0, 1, 0, 1, 7, Identity((1, ino)), 1, 0)


def filled(path: Path) -> Records:
    records = Records(path, KEY)
    records.put_top(facts(1, folder=True))
    folder = records.put(TOP, b"folder", facts(2, folder=True))
    records.put(folder.number, b"file", facts((1 << 64) - 1))
    return records


def test_paths_follow_a_folder(tmp_path: Path) -> None:
    with filled(tmp_path / "state") as records:
        folder, file = records.find((b"folder",)), records.find((b"folder", b"file"))
        assert folder is not None
        assert file is not None
        assert file.identity == (1, (1 << 64) - 1)
        records.move(folder.number, TOP, b"new")
        assert records.path_of(file.number) == (b"new", b"file")
        assert [found.number for found in records.of_inode(file.identity, 5)] == [file.number]
        other = records.put(TOP, b"other", facts(5))
        records.exchange(folder.number, TOP, b"other")
        assert records.path_of(other.number) == (b"new",)
        assert records.path_of(file.number) == (b"other", b"file")
        records.forget(folder.number)
        assert records.path_of(file.number) is None
        assert set(records.children(TOP)) == {b"new"}


def test_what_was_not_committed_is_gone(tmp_path: Path) -> None:
    with filled(tmp_path / "state") as records:
        records.commit()
        records.put(TOP, b"late", facts(9))
    with Records(tmp_path / "state", KEY) as records:
        assert set(records.children(TOP)) == {b"folder"}


def test_a_disk_may_get_another_number(tmp_path: Path) -> None:
    with filled(tmp_path / "state") as records:
        records.renumber_device(1, 77)
        assert {found.identity[0] for found in records.children(TOP).values()} == {77}
