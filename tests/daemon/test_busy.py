"""Who uses a folder: seen from real processes."""

import mmap
import os
import subprocess
from pathlib import Path

from hyperfs.daemon.busy import users_of


def test_working_folders_open_files_and_mapped_ones_are_found(tmp_path: Path) -> None:
    (tmp_path / "mapped").write_bytes(bytes(4096))
    fd = os.open(tmp_path / "mapped", os.O_RDONLY)
    mapped = mmap.mmap(fd, 4096, prot=mmap.PROT_READ)
    os.close(fd)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, cwd=tmp_path) as cat, (tmp_path / "open").open("w"):
        found = {(user.pid, user.path) for user in users_of(tmp_path)}
        assert (cat.pid, str(tmp_path)) in found
        assert (os.getpid(), str(tmp_path / "open")) in found
        assert (os.getpid(), str(tmp_path / "mapped")) in found
        assert {user.program for user in users_of(tmp_path) if user.pid == cat.pid} == {"cat"}
        cat.communicate()
    mapped.close()
    assert users_of(tmp_path) == []


def test_a_neighbour_whose_name_begins_alike_is_not_meant(tmp_path: Path) -> None:
    (tmp_path / "drive").mkdir()
    with (tmp_path / "drive-notes").open("w"):
        assert users_of(tmp_path / "drive") == []


def test_children_of_the_drives_own_process_are_not_told(tmp_path: Path) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, cwd=tmp_path) as cat:
        assert [user.pid for user in users_of(tmp_path)] == [cat.pid]
        assert users_of(tmp_path, drive_pid=os.getpid()) == []
        assert [user.pid for user in users_of(tmp_path, drive_pid=cat.pid)] == [cat.pid]
        cat.communicate()
