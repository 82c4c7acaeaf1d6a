"""When something changed at or below a path."""

import pytest

from hyperfs.errors import NotFound
from hyperfs.volume.history import commits, versions_of
from hyperfs.volume.moments import moments_of
from hyperfs.volume.volume import Volume

from .conftest import Store, make_folder, rename, unlink, write_file
from .test_history import version


async def past(store: Store, volume: Volume) -> list[int]:
    """Versions: folders made, d/f written, e/g written, d/f written, d/f deleted, d renamed."""
    make_folder(volume, b"d")
    make_folder(volume, b"e")
    made = [await version(volume, store.clock)]
    for path, data in ((b"d/f", b"1"), (b"e/g", b"2"), (b"d/f", b"33")):
        await write_file(volume, path, data)
        made.append(await version(volume, store.clock))
    unlink(volume, b"d/f")
    made.append(await version(volume, store.clock))
    rename(volume, b"d", b"new")
    made.append(await version(volume, store.clock))
    return made


async def test_of_the_root_all_versions_with_their_times(store: Store) -> None:
    async with store.opened() as volume:
        made = await past(store, volume)
        found = list(moments_of(volume, b""))
        assert sorted(found)[-6:] == [(number, volume.versions.commit(number).time_ns) for number in made]
        assert [moment.version for moment in moments_of(volume, b"", made[3])] == made[4:]


async def test_of_a_folder_those_in_which_it_or_what_is_below_changed(store: Store) -> None:
    async with store.opened() as volume:
        made = await past(store, volume)
        for path in (b"new", b"e"):
            found = sorted(moment.version for moment in moments_of(volume, path))
            assert found == sorted(commit.version for commit in commits(volume, path))
        assert [moment.version for moment in moments_of(volume, b"e", made[1])] == [made[2]]


async def test_of_a_file_its_versions_also_when_it_is_gone(store: Store) -> None:
    async with store.opened() as volume:
        made = await past(store, volume)
        for path in (b"new/f", b"e/g"):
            assert [m.version for m in moments_of(volume, path)] == [v.version for v in versions_of(volume, path)]
        assert [moment.version for moment in moments_of(volume, b"new/f", made[3])] == [made[4]]


async def test_what_never_was_is_not_found(store: Store) -> None:
    async with store.opened() as volume:
        await past(store, volume)
        with pytest.raises(NotFound):
            list(moments_of(volume, b"never"))
