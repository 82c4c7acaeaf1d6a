"""Which folders are trash folders."""

import pytest

from hyperfs.volume.trash import in_trash, is_trash

from .conftest import Store, inode_of, make_folder


@pytest.mark.parametrize("name", [b".Trash", b".Trashes", b".Trash-0", b".Trash-1000"])
def test_names_of_trash_folders(name: bytes) -> None:
    assert is_trash(name)


@pytest.mark.parametrize("name", [b"Trash", b".trash", b".Trash-", b".Trash-x", b".Trash1", b".Trashes-1", b".Trash\n"])
def test_names_that_only_look_so(name: bytes) -> None:
    assert not is_trash(name)


async def test_what_lies_below_one_is_in_it(store: Store) -> None:
    async with store.opened() as volume:
        folders = [b".Trash", b".Trash/1000", b".Trash/1000/files", b"d", b"d/.Trash-5", b".Trash-no", b".Trash-no/x"]
        for path in folders:
            make_folder(volume, path)
        live = volume.overlay.live
        inside = [path for path in (b"", *folders) if in_trash(live, inode_of(volume, path).ino)]
        assert inside == [b".Trash", b".Trash/1000", b".Trash/1000/files", b"d/.Trash-5"]
