"""The table of mounts as the kernel writes it."""

from pathlib import Path

import pytest

from hyperfs.daemon import mounts

TABLE = rb"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:50 / /home/me/Hyper rw,nosuid shared:2 - fuse.hyperfs /home/me/store rw,user_id=1000,group_id=1000
41 22 0:51 / /mnt/with\040blank\012and\134more rw - fuse.hyperfs /st\040ore rw,user_id=0,group_id=0
42 40 0:52 / /home/me/Hyper/below rw - tmpfs none rw
43 22 0:50 /part/of /srv/part rw - fuse.hyperfs /home/me/store rw,user_id=1000,group_id=1000
44 22 0:53 / /home/me/Hyper rw - tmpfs hides rw
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "mountinfo"
    path.write_bytes(TABLE)
    return path


def test_lines_are_read_with_their_escapes(table: Path) -> None:
    found = mounts.mount_points(table)
    assert len(found) == 6
    assert found[1].is_hyperfs
    assert found[1].user == 1000
    assert found[2].point == b"/mnt/with blank\nand\\more"
    assert found[2].store == Path("/st ore")
    assert not found[0].is_hyperfs
    assert found[4].inside == b"part/of"


@pytest.mark.parametrize(
    ("path", "point", "fstype"),
    [
        (b"/", b"/", "ext4"),
        (b"/home/me/Hyperbole", b"/", "ext4"),
        (b"/home/me/Hyper/x", b"/home/me/Hyper", "tmpfs"),  # the later mount hides the earlier
        (b"/home/me/Hyper/below/x", b"/home/me/Hyper/below", "tmpfs"),
        (b"/srv/part/x", b"/srv/part", "fuse.hyperfs"),
        (b"/mnt/with blank\nand\\more", b"/mnt/with blank\nand\\more", "fuse.hyperfs"),
    ],
)
def test_the_mount_that_a_path_lies_in(
    table: Path, monkeypatch: pytest.MonkeyPatch, path: bytes, point: bytes, fstype: str
) -> None:
    read = mounts.mount_points
    monkeypatch.setattr(mounts, "mount_points", lambda: read(table))
    found = mounts.containing(path)
    assert found is not None
    assert (found.point, found.fstype) == (point, fstype)


def test_a_folder_that_is_there_is_not_dead(tmp_path: Path) -> None:
    assert not mounts.is_dead(tmp_path)
    assert not mounts.is_dead(tmp_path / "missing")
    assert not mounts.detach_dead(tmp_path)
