"""A drive is read by a link, and what its owner writes is seen there."""

from pathlib import Path

import pytest

from hyperfs.errors import ReadOnlyDrive
from tests.volume.conftest import Store

from .conftest import LONG, Machine, link_of, owned, read, until_version, written


async def test_a_link_opens_the_drive_and_what_is_written_later_is_seen(store: Store, tmp_path: Path) -> None:
    async with owned(store, tmp_path / "peers") as side:
        other = Machine(tmp_path / "reader", link_of(side))
        await other.bring()
        async with other.opened() as (volume, _):
            assert await read(volume, b"/short") == b"one"
            assert await read(volume, b"/long") == LONG
            version = await written(side, b"/new", LONG[::-1])
            await until_version(volume, version)
            assert await read(volume, b"/new") == LONG[::-1]
            version = await written(side, b"/short", b"two")
            await until_version(volume, version)
            assert await read(volume, b"/short") == b"two"
            with pytest.raises(ReadOnlyDrive, match="a link lets you read"):
                await volume.commit()
        assert [found.version for found in other.shown][-1] == version
