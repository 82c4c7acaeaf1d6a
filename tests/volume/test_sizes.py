"""What the things in a directory hold."""

from hyperfs.values import ROOT_INO
from hyperfs.volume.sizes import Size, children_sizes
from hyperfs.volume.volume import Volume

from .conftest import Store, inode_of, make_folder, write_file


async def tree(volume: Volume) -> None:
    for folder in (b"a", b"a/deep", b"b"):
        make_folder(volume, folder)
    for path, size in ((b"a/one", 100), (b"a/deep/two", 5000), (b"c", 7)):
        await write_file(volume, path, bytes(size))
    volume.names.link(inode_of(volume, b"a/one"), inode_of(volume, b"b").ino, b"again")


def sizes(volume: Volume, most: int = 1000) -> list[Size]:
    return [size for size in children_sizes(volume.overlay.live, ROOT_INO, most) if size is not None]


async def test_folders_hold_the_sum_of_all_names_below(store: Store) -> None:
    async with store.opened() as volume:
        await tree(volume)
        assert sizes(volume) == [
            Size(b"a", 4, 5100, 2, True),
            Size(b"b", 4, 100, 1, True),
            Size(b"c", 8, 7, 1, True),
        ]


async def test_past_the_limit_sizes_are_at_least(store: Store) -> None:
    async with store.opened() as volume:
        await tree(volume)
        whole = sizes(volume)
        for most in range(8):
            found = sizes(volume, most)
            assert [size.name for size in found] == [b"a", b"b", b"c"]
            for size, known in zip(found, whole, strict=True):
                assert size.bytes <= known.bytes
                assert size == known or not size.whole
        assert not any(size.whole for size in sizes(volume, 0)[:2])
        assert sizes(volume, 7) == whole


async def test_others_get_a_turn_at_every_name(store: Store) -> None:
    async with store.opened() as volume:
        await tree(volume)
        assert sum(size is None for size in children_sizes(volume.overlay.live, ROOT_INO, 1000)) == 7
