"""A drive and a folder are shared by links and mounted elsewhere, through a cloud peer that is a process of its own."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peer_server.process import Process, invite

from .machine import Machine

SECONDS = 60.0


def until(path: Path, data: bytes) -> None:
    """The file has these bytes soon: nobody tells this process when."""
    last = time.monotonic() + SECONDS
    while not path.exists() or path.read_bytes() != data:
        assert time.monotonic() < last, "it never came"
        time.sleep(0.05)


def share_a_folder(mounted: Machine, friend: Machine) -> Path:
    """It is shared, followed live, renamed, ended; and of the rest of the drive nothing comes to the friend. Where
    what came is kept."""
    ours = mounted.facts("status", mounted.point)
    refused = mounted.run("share", mounted.point / "hello", code=1)
    assert "a drive or a folder is shared" in refused.stderr
    link = mounted.run("share", mounted.point / "folder").stdout.strip()
    point = friend.folder / "folder"
    point.mkdir()
    friend.run("mount", link, point)
    assert os.listdir(point) == ["long"]
    assert (point / "long").read_bytes() == (mounted.point / "folder" / "long").read_bytes()
    moved = mounted.point / "moved"
    (mounted.point / "folder").rename(moved)
    (moved / "long").rename(moved / "renamed")
    (moved / "new").write_bytes(b"new")
    until(point / "new", b"new")
    assert sorted(os.listdir(point)) == ["new", "renamed"]
    (listed,) = mounted.facts("share", "--list", moved)
    assert (listed["path"], listed["files"], listed["trouble"]) == ("moved", 2, None)
    came = Path(friend.facts("status", point)["store"])
    logs = {log["discovery_key"] for log in ours["logs"]}
    assert logs & {path.name for path in came.rglob("*")} == set()
    everything = b"".join(path.read_bytes() for path in came.rglob("*") if path.is_file())
    for ids in (ours["drive"], *logs, *(log["key"] for log in ours["logs"])):
        assert bytes.fromhex(ids) not in everything
        assert ids.encode() not in everything
    ended = mounted.run("share", "--stop", moved)
    assert "Who has read of it keeps what he has read" in ended.stdout
    assert mounted.facts("share", "--list", mounted.point) == []
    assert list((mounted.store / "shared").iterdir()) == []
    friend.run("unmount", point)
    moved.rename(mounted.point / "folder")
    (mounted.point / "folder" / "new").unlink()
    (mounted.point / "folder" / "renamed").rename(mounted.point / "folder" / "long")
    return came


@pytest.fixture
def friend(tmp_path: Path) -> Iterator[Machine]:
    folder = tmp_path / "friend"
    folder.mkdir()
    made = Machine(folder)
    yield made
    made.end()


def test_a_friend_mounts_the_link_in_his_own_drive_and_sees_what_is_written_then(
    mounted: Machine, friend: Machine, tmp_path: Path
) -> None:
    (mounted.point / "hello").write_bytes(b"one")
    (mounted.point / "folder").mkdir()
    (mounted.point / "folder" / "long").write_bytes(os.urandom(300_000))
    no_peer = mounted.run("share", mounted.point, code=5)
    assert "has none: 'hyperfs peer add CODE'" in no_peer.stderr
    with Process(tmp_path / "peer") as peer:
        mounted.run("peer", "add", invite(tmp_path / "peer")["code"], mounted.point, "--i-have-the-key")
        mounted.run("sync", "--wait", mounted.point)
        ended = share_a_folder(mounted, friend)
        mounted.run("sync", "--wait", mounted.point)  # what that changed is a version, and no further one is due
        live = mounted.facts("share", mounted.point)["link"]
        strong = mounted.facts("share", mounted.point, "--at", "now")
        named = os.getxattr(mounted.point / "hello", "user.hyperfs.link").decode()
        assert named == strong["public"].replace("/?", "/hello?")

        friend.mount()
        there = friend.point / "of my friend"
        there.mkdir()
        friend.run("mount", "-", there, stdin=f"{live}\n")
        assert (there / "hello").read_bytes() == b"one"
        if shutil.which("systemctl") is not None:
            assert friend.facts("service", "install", there, "--no-start")["folder"] == str(there)
        assert (there / "folder" / "long").read_bytes() == (mounted.point / "folder" / "long").read_bytes()
        with pytest.raises(OSError, match="Read-only file system"):
            (there / "mine").write_bytes(b"no")
        (mounted.point / "hello").write_bytes(b"two, and longer")
        (mounted.point / "new").write_bytes(b"new")
        (mounted.point / "folder" / "long").unlink()
        until(there / "hello", b"two, and longer")
        until(there / "new", b"new")
        assert os.listdir(there / "folder") == []
        assert friend.facts("status", there)["link"] == {"followed_at": str(peer.address), "trouble": None}
        assert len(friend.facts("versions", there / "hello")) == 2

        point = friend.folder / "then"
        point.mkdir()
        no_size = friend.run("mount", strong["link"], point, "--link-cache", "much", code=2)
        assert "'much' is no size: write, for example, 20G" in no_size.stderr
        for path in (ended, ended / "lock"):
            os.utime(path, (1, 1))  # used long ago
        friend.run("mount", strong["link"], point, "--link-cache", "0")
        assert not ended.exists(), "it would have been more than may be kept"
        assert Path(friend.facts("status", there)["store"]).exists()
        assert (point / "hello").read_bytes() == b"one"
        assert not (point / "new").exists()
        friend.run("unmount", point)
        keyless = friend.run("mount", strong["public"], point, code=5)
        assert "has no key to open it" in keyless.stderr
    store = friend.facts("status", there)["store"]
    assert store in friend.run("unmount", there).stdout
    assert (Path(store) / "link").stat().st_mode & 0o777 == 0o600
    friend.run("unmount", friend.point)
    mounted.run("unmount", mounted.point)
