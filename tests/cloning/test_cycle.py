"""A drive comes back from a cloud peer with the recovery key alone, goes on, and comes back from there again."""

import shutil
from pathlib import Path

import pytest

from hyperfs.errors import ReadOnlyDrive
from tests.volume.conftest import Store, damage, write_file

from .conftest import LONG, Machine, held, read, synced


async def test_the_whole_cycle(store: Store, tmp_path: Path) -> None:
    async with held(store, tmp_path / "peers") as (server, states):
        shutil.rmtree(store.path)  # the laptop is gone
        second = Machine(tmp_path / "second", server, "second")
        made = await second.clone()
        assert (made.device, made.why_read_only, made.given_up) == (2, None, ("device 'here'",))
        async with second.opened() as volume:
            newest = states[max(states)]
            assert [found.version for found in volume.versions.all()][-len(states) :] == list(states)
            assert {path: await read(volume, path) for path in newest} == newest
            await write_file(volume, b"/new", LONG[0] + b"written on the clone")
            version = (await volume.commit()).version
            await synced(volume)
        shutil.rmtree(second.path)
        third = Machine(tmp_path / "third", server, "third")
        assert (await third.clone()).given_up == ("device 'second'",)
        async with third.opened() as volume:
            assert volume.versions.newest.version == version
            assert await read(volume, b"/new") == LONG[0] + b"written on the clone"
            assert {path: await read(volume, path) for path in newest} == newest
            assert damage(volume) == []


async def test_a_clone_that_may_only_read_says_so_and_changes_nothing_for_the_writer(
    store: Store, tmp_path: Path
) -> None:
    async with held(store, tmp_path / "peers") as (server, states):
        reader = Machine(tmp_path / "reader", server, "reader")
        made = await reader.clone(lost=False)
        assert made.given_up == ()
        assert "device 'here' writes to this drive" in str(made.why_read_only)
        async with reader.opened() as volume:
            assert volume.parts.why_read_only == made.why_read_only
            with pytest.raises(ReadOnlyDrive, match="--former-device-lost"):
                await volume.commit()
            assert await read(volume, b"/long") == LONG[-1]
        async with store.opened() as volume:
            await write_file(volume, b"/still", b"it goes on")
            assert (await volume.commit()).version == max(states) + 1
