"""POSIX ACLs on a mount, as on a plain disk beside it: what they say, what they allow, and that they are kept."""

import errno
import os
import shutil
import stat
import struct
import subprocess
from pathlib import Path

import pytest

from .drive import Drive
from .test_names import failing
from .test_user import NOBODY, User, user_and_drive  # noqa: F401  # a fixture

ACCESS = "system.posix_acl_access"
DEFAULT = "system.posix_acl_default"
ANN, BEN, GROUP = 1001, 1002, 2001
ROOT = os.getuid() == 0


@pytest.fixture(autouse=True)
def _tools(tmp_path: Path) -> None:
    if shutil.which("setfacl") is None:
        pytest.skip("setfacl is not installed")
    probe = tmp_path / "probe"
    probe.touch()
    if subprocess.run(["setfacl", "-m", "u:0:r", probe], check=False, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("the plain disk knows no ACLs")
    probe.unlink()


def sh(place: Path, script: str, umask: int = 0o022) -> str:
    """What a shell says, with what it complains of."""
    done = subprocess.run(
        ["sh", "-c", script], cwd=place, umask=umask, timeout=60, check=False, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return done.stdout


def acl(path: Path) -> list[str]:
    return subprocess.check_output(["getfacl", "-cnpE", path], text=True, timeout=20).split()


def may(place: Path, command: str, uid: int, *groups: int) -> bool:
    """Whether somebody may do it; the first group is the main one."""
    done = subprocess.run(
        ["sh", "-c", command], cwd=place, user=uid, group=groups[0], extra_groups=groups[1:], timeout=20, check=False,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert done.returncode == 0 or "Permission denied" in done.stderr or "not permitted" in done.stderr, done.stderr
    return done.returncode == 0


SCRIPT = """
show() { find "$@" | sort | xargs stat -c '%n %a'; find "$@" ! -type l | sort | xargs getfacl -n; }
mkdir d && touch d/f && chmod 750 d && chmod 640 d/f
setfacl -m u:1001:rwx,g:2001:r-x d; setfacl -m u:1001:rw d/f
setfacl -d -m u:1001:rwx,g:2001:r-x d
show d
touch d/new; mkdir d/sub; mkfifo d/fifo; ln -s f d/soft; ln d/f d/hard; install -m 600 d/f d/private
(umask 077; touch d/dark; mkdir d/sub/sub; touch d/sub/sub/deep)
show d
chmod 600 d/f; chmod 2775 d/sub; chmod g-w d/new; chmod 000 d/dark
show d
setfacl -m m::r d/f; setfacl -m o::rx d/sub; setfacl -x u:1001 d/new
show d
setfacl -k d/sub; setfacl -b d/f; setfacl -b d/new; setfacl -k d/f
show d
cp -a d copy; mv d/new moved; cp --preserve=mode d/dark plain
show copy moved plain
setfacl -m u:1001:rw d/soft d/f; setfacl -d -m u:1001:r d/f; setfacl -h -m u:1001:r d/soft
setfacl --set u::rw,g::r,o::-,u:7:r d/f && chmod u=rwx,g=rwx,o=rwx d/f && getfacl -n d/f
getfattr -m - d/f d/sub d
printf 'user:8:rw-\\ngroup:9:---\\nmask::r--\\n' | setfacl -M - d/f
show d
ls -ld d/f d/sub | cut -c 1-11
setfattr -x system.posix_acl_access d/f; stat -c %a d/f; setfattr -x system.posix_acl_access d/f
setfattr -x system.posix_acl_default d/sub; setfattr -x system.posix_acl_default d/sub
show d
"""


@pytest.mark.parametrize("umask", [0o022, 0o077, 0])
def test_a_long_script_says_the_same_as_on_a_plain_disk(mounted: Path, tmp_path: Path, umask: int) -> None:
    if not ROOT:
        pytest.skip("the umask counts on mounts by fusermount3: see the test of a user's mount")
    said = sh(tmp_path, SCRIPT, umask).splitlines()
    assert sh(mounted, SCRIPT, umask).splitlines() == said
    assert len(said) > 500


def entries(*fields: tuple[int, int, int]) -> bytes:
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in fields)


def test_what_is_no_acl_is_refused(place: Path) -> None:
    (place / "f").touch()
    wrong = (entries((0x40, 1, 0)), entries((1, 6, 0)), entries((1, 9, 0), (4, 0, 0), (32, 0, 0)))
    for value in (b"x", struct.pack("<I", 1), *wrong):
        with pytest.raises(OSError, match=r"Invalid argument|not supported"):
            os.setxattr(place / "f", ACCESS, value)
    with failing(errno.EACCES):  # a default ACL is for folders
        os.setxattr(place / "f", DEFAULT, entries((1, 6, 0), (4, 4, 0), (32, 4, 0)))
    os.symlink("f", place / "soft")
    with failing(errno.EOPNOTSUPP):
        os.setxattr(place / "soft", ACCESS, entries((1, 6, 0), (4, 4, 0), (32, 4, 0)), follow_symlinks=False)
    with failing(errno.ENODATA):
        os.getxattr(place / "f", ACCESS)
    assert os.listxattr(place / "f") == []


@pytest.mark.skipif(not ROOT, reason="only root can be somebody else")
def test_who_may_is_checked_for_users_groups_and_supplementary_groups(mounted: Path) -> None:
    os.chmod(mounted, 0o755)
    file = mounted / "f"
    file.write_bytes(b"secret")
    os.chmod(file, 0o640)
    assert not may(mounted, "cat f", ANN, ANN)
    sh(mounted, f"setfacl -m u:{ANN}:rw,g:{GROUP}:r f")
    assert may(mounted, "cat f && echo more >> f", ANN, ANN)
    assert not may(mounted, "cat f", BEN, BEN)
    assert may(mounted, "cat f", BEN, GROUP)
    assert may(mounted, "cat f", BEN, BEN, 7, GROUP)
    assert not may(mounted, "echo more >> f", BEN, BEN, GROUP)
    os.chmod(file, 0o600)  # the mask takes all of it
    assert not may(mounted, "cat f", ANN, ANN)
    assert not may(mounted, "cat f", BEN, BEN, GROUP)
    sh(mounted, f"setfacl -m u:{ANN}:- f; chmod 666 f")  # named, and so no other
    assert not may(mounted, "cat f", ANN, ANN)
    assert may(mounted, "cat f", BEN, BEN)
    assert not may(mounted, f"setfacl -m u:{ANN}:rw f", ANN, ANN)


@pytest.mark.skipif(not ROOT, reason="only root can be somebody else")
def test_a_shared_folder_of_a_group(mounted: Path) -> None:
    """What default ACLs are for: whoever makes something in it, and whatever the umask, the others may change it."""
    os.chmod(mounted, 0o755)
    (mounted / "ours").mkdir()
    sh(mounted, f"chgrp {GROUP} ours; chmod 2770 ours; setfacl -d -m g:{GROUP}:rwx,o::- ours")
    assert may(mounted, "umask 022; mkdir ours/d; echo 1 > ours/d/f", ANN, ANN, GROUP)
    assert may(mounted, "echo 2 >> ours/d/f; echo 3 > ours/d/g; mv ours/d/g ours/h; rm ours/h", BEN, BEN, GROUP)
    assert not may(mounted, "ls ours", ANN, ANN)
    assert (mounted / "ours" / "d" / "f").read_bytes() == b"1\n2\n"
    facts = (mounted / "ours" / "d" / "f").stat()
    assert (facts.st_uid, facts.st_gid, stat.S_IMODE(facts.st_mode)) == (ANN, GROUP, 0o660)


@pytest.mark.skipif(not ROOT, reason="only root can be somebody else")
@pytest.mark.parametrize(("groups", "kept"), [((ANN,), False), ((GROUP,), True), ((ANN, 5, GROUP), True)])
def test_the_setgid_bit_stays_only_if_who_sets_the_acl_is_of_the_group(
    place: Path, groups: tuple[int, ...], kept: bool
) -> None:
    os.chmod(place, 0o755)
    file = place / "f"
    file.touch()
    os.chown(file, ANN, GROUP)
    os.chmod(file, 0o2755)
    assert may(place, "setfacl -m u:7:rw f", ANN, *groups)
    assert bool(file.stat().st_mode & stat.S_ISGID) == kept


def test_an_open_file_keeps_its_acl_when_it_is_unlinked(place: Path) -> None:
    with (place / "f").open("w+b") as file:
        os.setxattr(file.fileno(), "user.before", b"1")
        (place / "f").unlink()
        value = entries((1, 6, 0xFFFFFFFF), (2, 4, ANN), (4, 4, 0xFFFFFFFF), (16, 4, 0xFFFFFFFF), (32, 0, 0xFFFFFFFF))
        os.setxattr(file.fileno(), ACCESS, value)
        os.setxattr(file.fileno(), "user.after", b"2")
        assert os.getxattr(file.fileno(), ACCESS) == value
        assert os.getxattr(file.fileno(), "user.before") == b"1"
        assert os.getxattr(file.fileno(), "user.after") == b"2"
        assert sorted(os.listxattr(file.fileno())) == [ACCESS, "user.after", "user.before"]
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o640


def test_acls_survive_versions_mounting_and_kills(drive: Drive) -> None:
    root = drive.point
    sh(root, "mkdir d; setfacl -m u:1001:rwx d; setfacl -d -m u:1002:rw d")
    sh(root, "touch d/f; mkdir d/sub; setfacl -m g:5:r d/f")
    paths = (Path("d"), Path("d/f"), Path("d/sub"))
    first = {path: acl(root / path) for path in paths}
    assert "user:1002:rw-" in first[Path("d/f")]
    assert "default:user:1002:rw-" in first[Path("d/sub")]
    kept = drive.snapshot("kept")
    sh(root, "chmod 700 d; setfacl -b d/f; setfacl -k d/sub; rm -r d/sub")
    assert acl(root / "d") != first[Path("d")]
    for _ in range(2):
        assert {path: acl(kept / path) for path in paths} == first
        assert acl(root / "d" / "f") == ["user::rw-", "group::r-x", "other::r--"]
        drive.remount()
    sh(root, "touch g; setfacl -m u:1001:rw g")
    with (root / "g").open("rb") as file:
        os.fsync(file.fileno())
    before = acl(root / "g")
    drive.kill()
    drive.mount()
    assert acl(root / "g") == before
    assert {path: acl(kept / path) for path in paths} == first


@pytest.mark.skipif(not ROOT, reason="only root can be somebody else")
def test_a_versions_acls_are_enforced(shared_drive: Drive, mounted: Path) -> None:
    os.chmod(mounted, 0o755)
    (mounted / "f").write_bytes(b"then")
    sh(mounted, f"chmod 600 f; setfacl -m u:{ANN}:r f")
    kept = shared_drive.snapshot(f"acl-{mounted.name}") / mounted.name
    sh(mounted, "setfacl -b f; chmod 600 f")
    assert not may(mounted, "cat f", ANN, ANN)
    assert may(kept, "cat f", ANN, ANN)
    assert not may(kept, "cat f", BEN, BEN)


COPIES = {
    "cp": "cp -a {source}/. {target}",
    "rsync": "rsync -aAX {source}/ {target}/",
    "tar": "mkdir {target} && tar -C {source} --acls -cf - . | tar -C {target} --acls -xpf -",
    "getfacl": "cp -r {source} {target} && cd {source} && getfacl -R . | (cd {target} && setfacl --restore=-)",
}


@pytest.mark.parametrize("tool", COPIES)
def test_copies_carry_acls_in_and_out(mounted: Path, tmp_path: Path, tool: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    source, copy, back = tmp_path / "source", mounted / "copy", tmp_path / "back"
    source.mkdir()
    sh(source, "mkdir d; setfacl -m u:1001:rwx d; setfacl -d -m u:1002:rw d; touch d/f d/g; chmod 600 d/g; touch plain")
    expected = sh(source, "getfacl -nR . | sort")
    assert "user:1002:rw-" in expected
    for start, end in ((source, copy), (copy, back)):
        said = sh(tmp_path, COPIES[tool].format(source=start, target=end))
        assert said == ""
        assert sh(end, "getfacl -nR . | sort") == expected


@pytest.mark.skipif(not ROOT, reason="root checks what is otherwise so")
def test_on_a_users_mount_the_umask_limits_what_a_default_acl_gives(
    user_and_drive: tuple[User, Drive],  # noqa: F811
) -> None:
    """fusermount3 can't tell the kernel to leave the umask to us: less is given than on a plain disk, never more."""
    user, drive = user_and_drive
    script = "cd $0; setfacl -d -m u:1001:rwx .; umask 022; touch f; getfacl -cn f; umask 0; touch g; getfacl -cn g"
    said = user.run("sh", "-c", script, drive.point).stdout.split()
    assert [word for word in said if word.startswith("mask")] == ["mask::r--", "mask::rw-"]
    assert user.run("stat", "-c", "%u %a", drive.point / "f", drive.point / "g").stdout.split() == [
        str(NOBODY), "644", str(NOBODY), "664",
    ]  # fmt: skip
