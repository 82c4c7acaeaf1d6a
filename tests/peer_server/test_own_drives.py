"""What a peer's owner sees and does of the drives in a folder, beside the process that serves or without one."""

from pathlib import Path

import pytest
import trio

from hyperfs.errors import InvalidArgument, NotFound, Unreachable
from hyperfs.peer.folder_store import FolderStore
from hyperfs.peer_server import own_drives
from tests.peer.conftest import CONTENT, METADATA, Owner

from .conftest import Serving
from .devices import connected


async def test_a_folder_that_nobody_serves(serving: Serving, owner: Owner) -> None:
    async with serving() as served, connected(owner, served.address) as device:
        (await (await device.pair(served.code())).offer()).send()
        for number in (METADATA, CONTENT):
            await device.until_held(number)
    path = served.path
    (held,) = own_drives.drives(path)
    assert (held.drive, held.logs, held.quota_bytes, held.part_of, held.trouble) == (owner.id, 2, None, None, None)
    assert held.devices
    assert own_drives.named(path, owner.id.hex()[:8]).drive == owner.id
    for text, error in (("12", InvalidArgument), ("no id at all", InvalidArgument), ("00" * 8, NotFound)):
        with pytest.raises(error):
            own_drives.named(path, text)
    assert own_drives.drop(path, owner.id) == held.used_bytes
    assert own_drives.drives(path) == []


async def test_one_that_is_served_tells_who_is_connected(serving: Serving, owner: Owner) -> None:
    async with serving() as served, connected(owner, served.address) as device:
        (await (await device.pair(served.code())).offer()).send()
        await device.until_held(CONTENT)
        nbytes = await trio.to_thread.run_sync(own_drives.drop, served.path, owner.id)
        assert nbytes > 0
        await device.session.ended.wait()
        (event,) = served.heard("drive dropped")
        assert event.about == {"bytes": nbytes, "parts": 0}
    assert own_drives.drives(served.path) == []


async def test_a_server_that_does_not_do_it_is_said_so_and_the_next_one_does(
    owner: Owner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_drives, "DONE_SECONDS", 0.2)
    path = tmp_path / "peer"
    store = FolderStore(path)  # open, and nobody looks
    store.write(owner.id, "drive", b"hyperfs held drive\nformat 1\nquota none\n")
    with pytest.raises(Unreachable, match="it is noted"):
        own_drives.drop(path, owner.id)
    store.close()
    with pytest.raises(NotFound):
        own_drives.named(path, "00" * 8)
    own_drives.drop(path, owner.id)
    assert own_drives.drives(path) == []
