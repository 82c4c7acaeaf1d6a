"""The same mount for an ordinary user, who owns the folder and mounts through fusermount3."""

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .drive import Drive

NOBODY = 65534
SOMEBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
# The tests' Python may lie below root's home: the daemon of the ordinary user may read there.
DAEMON = [*SOMEBODY, "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
# /dev/fuse is for everybody on most machines and for root alone in some containers: there it is replaced by a node
# that everybody may open, in a mount namespace of these tests' own.
OPEN_FUSE = "mknod -m 666 fuse c 10 229 && mount --bind fuse /dev/fuse && echo ready && exec sleep infinity"


class User:
    """An ordinary user: whoever runs the tests or, where that is root, nobody, in a namespace of mounts."""

    def __init__(self, folder: Path) -> None:
        self.enter: list[str] = []
        self.namespace: subprocess.Popen[bytes] | None = None
        if os.getuid() == 0:
            command = ["unshare", "-m", "sh", "-c", OPEN_FUSE]
            self.namespace = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE)
            assert self.namespace.stdout is not None
            if self.namespace.stdout.readline() != b"ready\n":
                self.end()
                pytest.skip("root may not make a namespace of mounts here, so nobody can be an ordinary user")
            self.enter = ["nsenter", f"--target={self.namespace.pid}", "--mount", "--"]
        self.daemon = [*self.enter, *(DAEMON if self.enter else [])]

    def run(self, *command: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        return run(*self.daemon, *command, check=check)

    def end(self) -> None:
        if self.namespace is not None:
            assert self.namespace.stdout is not None
            self.namespace.kill()
            self.namespace.wait(20)
            self.namespace.stdout.close()


def run(*command: object, check: bool = True, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    words = list(map(str, command))
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=check, cwd=cwd or "/")


@pytest.fixture
def user_and_drive() -> Iterator[tuple[User, Drive]]:
    """A drive that belongs to an ordinary user and is served by one."""
    # Not below pytest's folder, into which it lets nobody but the user who runs it.
    with tempfile.TemporaryDirectory(prefix="hyperfs-user-") as name:
        user = User(Path(name))
        drive = Drive(Path(name), user.daemon)
        if os.getuid() == 0:
            os.chown(drive.folder, NOBODY, NOBODY)
            os.chown(drive.point, NOBODY, NOBODY)
        try:
            drive.mount()
            yield user, drive
        finally:
            drive.end()
            user.end()


PROGRAM = """
import os, sys
from pathlib import Path
root = Path(sys.argv[1])
assert root.stat().st_uid == os.getuid()
(root / "d").mkdir()
(root / "d" / "f").write_bytes(b"mine" * 10_000)
os.chmod(root / "d" / "f", 0o600)
os.link(root / "d" / "f", root / "hard")
os.setxattr(root / "d" / "f", "user.k", b"v")
assert (root / "d" / "f").stat().st_uid == os.getuid()
(root / ".versions" / "kept").mkdir()
(root / "d" / "f").write_bytes(b"changed")
old = root / ".versions" / "kept" / "d" / "f"
assert old.read_bytes() == b"mine" * 10_000
try:
    old.open("r+b")
except OSError as error:
    assert error.errno == 30, error
else:
    raise AssertionError("a version was opened to be written")
for refused in (lambda: os.chown(root / "d", 0, 0), lambda: os.mknod(root / "node", 0o20600, os.makedev(1, 3)),
                lambda: os.setxattr(root / "d", "trusted.x", b"1")):
    try:
        refused()
    except PermissionError:
        continue
    raise AssertionError(refused)
"""


def test_a_user_mounts_works_and_unmounts(user_and_drive: tuple[User, Drive]) -> None:
    user, drive = user_and_drive
    root = drive.point
    user.run(sys.executable, "-c", PROGRAM, root)
    drive.remount()
    assert user.run("cat", root / "d" / "f").stdout == "changed"
    drive.kill()
    drive.mount()
    assert user.run("cat", root / "d" / "f").stdout == "changed"
    assert user.run("stat", "-c", "%h %a", root / "hard").stdout.split() == ["2", "600"]
    found = user.run("find", root, "-mindepth", "1").stdout.split()
    assert sorted(Path(path).name for path in found) == ["d", "f", "hard"]


def test_attack_l01_root_sees_nothing_of_a_users_mount(user_and_drive: tuple[User, Drive]) -> None:
    if os.getuid():
        pytest.skip("only root can be somebody else")
    user, drive = user_and_drive
    refused = run(*user.enter, "ls", drive.point, check=False)
    assert "Permission denied" in refused.stderr
    assert user.run("ls", drive.point).stdout == ""


def test_attack_l01_with_allow_other_the_kernel_checks_everybodys_rights(shared_drive: Drive, mounted: Path) -> None:
    if os.getuid():
        pytest.skip("only root can be somebody else")
    os.chmod(mounted, 0o755)
    (mounted / "open").write_bytes(b"for all")
    (mounted / "mine").write_bytes(b"for me")
    os.chmod(mounted / "mine", 0o600)
    (mounted / "sticky").mkdir()
    os.chmod(mounted / "sticky", 0o1777)
    (mounted / "sticky" / "roots").touch()
    shared_drive.snapshot("rights")
    below = mounted.relative_to(shared_drive.point)
    inside = {"live": mounted, "version": shared_drive.versions() / "rights" / below}
    for where, folder in inside.items():
        assert run(*SOMEBODY, "cat", "open", cwd=folder).stdout == "for all", where
        assert "Permission denied" in run(*SOMEBODY, "cat", "mine", cwd=folder, check=False).stderr, where
    assert "Permission denied" in run(*SOMEBODY, "touch", "new", cwd=mounted, check=False).stderr
    assert "not permitted" in run(*SOMEBODY, "chmod", "777", "open", cwd=mounted, check=False).stderr
    run(*SOMEBODY, "touch", "nobodys", cwd=mounted / "sticky")
    assert (mounted / "sticky" / "nobodys").stat().st_uid == 65534
    assert "not permitted" in run(*SOMEBODY, "rm", "-f", "roots", cwd=mounted / "sticky", check=False).stderr
    run(*SOMEBODY, "rm", "nobodys", cwd=mounted / "sticky")
    assert os.listdir(mounted / "sticky") == ["roots"]
    assert stat.S_IMODE((mounted / "sticky").stat().st_mode) == 0o1777
