"""A freeze and a journal record that is under way do not overtake each other."""

import shutil
import threading
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from .conftest import Store, kill, rename, write_file


async def test_a_record_read_before_a_freeze_is_not_replayed_on_the_version(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with store.opened() as volume:
        inode = await write_file(volume, b"a", bytes(100_000))
        go = threading.Event()
        sync_blocks = volume.content.sync_blocks

        def slow() -> None:
            go.wait(10)
            sync_blocks()

        monkeypatch.setattr(volume.content, "sync_blocks", slow)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(volume.fsync, inode)
            await wait_all_tasks_blocked()
            rename(volume, b"a", b"b")
            nursery.start_soon(volume.committer.commit)
            await wait_all_tasks_blocked()
            go.set()
        crashed = tmp_path / "crashed"
        shutil.copytree(store.path, crashed)
    again = Store(crashed, store.clock).open()
    assert [name for name, _ in again.overlay.live.dentries(1)] == [b"b"]
    kill(again)
