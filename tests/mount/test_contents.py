"""Bytes of files on a mount: as on a plain disk, and the same after mounting again."""

import contextlib
import errno
import fcntl
import mmap
import os
import random
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from .drive import Drive, sync_filesystem, until
from .test_names import failing

BLOCK = 4096


def test_append_goes_to_the_end_whoever_else_writes(place: Path) -> None:
    path = place / "log"
    path.touch()
    first = os.open(path, os.O_WRONLY | os.O_APPEND)
    second = os.open(path, os.O_WRONLY | os.O_APPEND)
    for number in range(200):
        os.write(first if number % 2 else second, b"%05d\n" % number)
    os.close(first)
    os.close(second)
    assert path.read_bytes() == b"".join(b"%05d\n" % number for number in range(200))


def test_append_from_several_processes_loses_no_line(place: Path) -> None:
    path = place / "log"
    path.touch()
    program = (
        "import os,sys\n"
        "fd=os.open(sys.argv[1],os.O_WRONLY|os.O_APPEND)\n"
        "for n in range(300): os.write(fd,b'%s %04d\\n'%(sys.argv[2].encode(),n))\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, path, name]) for name in "abc"]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    lines = path.read_text().splitlines()
    assert sorted(lines) == sorted(f"{name} {number:04}" for name in "abc" for number in range(300))


def test_truncation_by_open(place: Path) -> None:
    path = place / "f"
    path.write_bytes(b"x" * 300_000)
    with path.open("r+b") as other:
        os.close(os.open(path, os.O_WRONLY | os.O_TRUNC))
        assert os.fstat(other.fileno()).st_size == 0
        assert other.read() == b""
        other.write(b"short")
    assert path.read_bytes() == b"short"


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 4096, 65_536, 65_537, 1_000_000])
def test_truncate_and_extend_around_the_borders_of_how_bytes_are_kept(place: Path, size: int) -> None:
    path = place / "f"
    data = random.Random(size).randbytes(size)
    path.write_bytes(data)
    sync_filesystem(place)
    for end in (size + 1000, size // 2, size // 2 + 3, 600, 100, 700, 100_000):
        os.truncate(path, end)
        data = data[:end].ljust(end, b"\0")
        assert path.stat().st_size == end
        assert path.read_bytes() == data
    with path.open("r+b") as file:
        file.seek(300)
        file.write(b"abc")
    assert path.read_bytes() == data[:300] + b"abc" + data[303:]


def test_a_sparse_file_reads_as_zeros_and_takes_little_room(place: Path) -> None:
    path = place / "sparse"
    with path.open("wb") as file:
        file.seek(5 << 30)
        file.write(b"end")
        file.seek(1 << 30)
        file.write(b"middle")
    sync_filesystem(place)
    facts = path.stat()
    assert facts.st_size == (5 << 30) + 3
    assert facts.st_blocks * 512 < 1 << 20
    with path.open("rb") as file:
        assert file.read(100_000) == bytes(100_000)
        file.seek((1 << 30) - 2)
        assert file.read(10) == b"\0\0middle\0\0"
        file.seek(5 << 30)
        assert file.read() == b"end"


def test_offsets_past_the_largest_are_refused(place: Path) -> None:
    fd = os.open(place / "f", os.O_CREAT | os.O_RDWR)
    try:
        with pytest.raises(OSError, match=r"File too large|Invalid argument"):
            os.pwrite(fd, b"x", (1 << 63) - 1)
        with failing(errno.EINVAL):
            os.ftruncate(fd, -1)
        assert os.fstat(fd).st_size == 0
    finally:
        os.close(fd)


def test_direct_io(place: Path) -> None:
    fd = os.open(place / "direct", os.O_CREAT | os.O_RDWR | os.O_DIRECT)
    buffer = mmap.mmap(-1, 4 * BLOCK)
    try:
        buffer.write(b"d" * 4 * BLOCK)
        assert os.write(fd, buffer) == 4 * BLOCK
        assert os.pwritev(fd, [buffer], 64 * BLOCK) == 4 * BLOCK
        assert os.fstat(fd).st_size == 68 * BLOCK
        buffer[:] = bytes(4 * BLOCK)
        assert os.preadv(fd, [buffer], 2 * BLOCK) == 4 * BLOCK
        assert buffer[:] == b"d" * 2 * BLOCK + bytes(2 * BLOCK)
    finally:
        os.close(fd)
        buffer.close()
    data = (place / "direct").read_bytes()
    assert data == b"d" * 4 * BLOCK + bytes(60 * BLOCK) + b"d" * 4 * BLOCK


def test_direct_and_cached_writes_to_one_file(place: Path) -> None:
    path = place / "both"
    path.write_bytes(b"c" * 16 * BLOCK)
    fd = os.open(path, os.O_RDWR | os.O_DIRECT)
    buffer = mmap.mmap(-1, BLOCK)
    buffer.write(b"D" * BLOCK)
    os.pwritev(fd, [buffer], 3 * BLOCK)
    os.close(fd)
    buffer.close()
    assert path.read_bytes() == b"c" * 3 * BLOCK + b"D" * BLOCK + b"c" * 12 * BLOCK


# Mapped memory


def test_a_mapping_is_shared_between_processes_and_with_reads(place: Path) -> None:
    path = place / "mapped"
    path.write_bytes(bytes(10 * BLOCK))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[5:10] = b"hello"
        assert path.read_bytes()[5:10] == b"hello"
        program = (
            "import mmap,sys\n"
            "with open(sys.argv[1],'r+b') as f, mmap.mmap(f.fileno(),0) as m:\n"
            "    assert m[5:10]==b'hello'; m[20000:20005]=b'other'\n"
        )
        subprocess.run([sys.executable, "-c", program, path], check=True, timeout=60)
        assert mapped[20000:20005] == b"other"
        with path.open("r+b") as other:
            other.seek(30_000)
            other.write(b"written")
        assert mapped[30_000:30_007] == b"written"
    assert path.stat().st_size == 10 * BLOCK


def test_mapped_writes_survive_closing_unmounting_and_mounting(drive: Drive) -> None:
    path = drive.point / "mapped"
    path.write_bytes(random.Random(1).randbytes(50 * BLOCK))
    expected = bytearray(path.read_bytes())
    fd = os.open(path, os.O_RDWR)
    mapped = mmap.mmap(fd, 0)
    os.close(fd)  # the mapping alone keeps the file
    for page in range(0, 50, 7):
        mapped[page * BLOCK + 11 : page * BLOCK + 15] = b"page"
        expected[page * BLOCK + 11 : page * BLOCK + 15] = b"page"
    mapped.flush()
    mapped[0:4] = b"last"
    expected[0:4] = b"last"
    mapped.close()
    drive.remount()
    assert path.read_bytes() == expected


def test_an_executable_is_run_from_the_mount(place: Path) -> None:
    program = place / "true"
    program.write_bytes(Path("/bin/true").read_bytes())
    program.chmod(0o755)
    subprocess.run([program], check=True, timeout=20)


# Times


def test_times_are_kept_to_the_nanosecond(place: Path) -> None:
    path = place / "f"
    path.write_bytes(b"x")
    os.utime(path, ns=(1_111_111_111_123_456_789, 1_222_222_222_987_654_321))
    assert (path.stat().st_atime_ns, path.stat().st_mtime_ns) == (
        1_111_111_111_123_456_789,
        1_222_222_222_987_654_321,
    )
    os.utime(path, ns=(1, 2))
    assert (path.stat().st_atime_ns, path.stat().st_mtime_ns) == (1, 2)
    os.utime(path, ns=(-5_000_000_001, -1))
    assert (path.stat().st_atime_ns, path.stat().st_mtime_ns) == (-5_000_000_001, -1)
    os.symlink("f", place / "link")
    os.utime(place / "link", ns=(3, 4), follow_symlinks=False)
    assert os.lstat(place / "link").st_mtime_ns == 4


def test_times_never_go_back_whoever_sets_them(place: Path) -> None:
    """The drive's process sets the times of what is made, linked and renamed, the kernel those of what is written."""
    for number in range(20):
        path = place / f"f{number}"
        path.touch()
        seen = [path.stat()]
        for change in (
            lambda path=path: os.utime(path),
            lambda path=path: os.link(path, f"{path}.hard"),
            lambda path=path: path.write_bytes(b"x"),
            lambda path=path: path.chmod(0o600),
            lambda path=path: os.utime(path),
            lambda path=path: os.setxattr(path, "user.k", b"v"),
            lambda path=path: os.truncate(path, 0),
        ):
            change()
            seen.append(path.stat())
        assert [facts.st_ctime_ns for facts in seen] == sorted(facts.st_ctime_ns for facts in seen)
        assert [facts.st_mtime_ns for facts in seen] == sorted(facts.st_mtime_ns for facts in seen)


def test_times_change_as_posix_says(place: Path) -> None:
    folder = place / "d"
    folder.mkdir()
    path = folder / "f"
    path.write_bytes(b"1")
    for told in (path, folder):
        os.utime(told, ns=(1, 1))
    before = path.stat().st_ctime_ns
    path.chmod(0o600)
    assert path.stat().st_mtime_ns == 1
    assert path.stat().st_ctime_ns >= before
    assert folder.stat().st_mtime_ns == 1
    with path.open("ab") as file:
        file.write(b"2")
    assert path.stat().st_mtime_ns > 1
    (folder / "g").touch()
    assert folder.stat().st_mtime_ns > 1
    os.utime(path, ns=(1, 1))
    os.truncate(path, 0)
    assert path.stat().st_mtime_ns > 1


def test_stat_says_the_same_after_mounting_again(drive: Drive) -> None:
    root = drive.point
    rng = random.Random(2)
    for number in range(30):
        (root / f"plain{number}").write_bytes(rng.randbytes(rng.choice([0, 10, 600, 70_000, 300_000])))
    for number in range(0, 30, 3):
        os.utime(root / f"plain{number}", ns=(10**18 + number, 10**18 + 7 * number))
    subprocess.run(["touch", "-d", "2001-02-03 04:05:06.123456789", root / "touched"], check=True)
    with (root / "appended").open("wb") as file:
        file.write(b"a" * 5000)
        file.flush()
        os.utime(root / "appended", ns=(5, 6))
    (root / "d").mkdir()
    os.utime(root / "d", ns=(7, 8))
    os.link(root / "plain1", root / "linked")
    before = facts_of(root)
    drive.remount()
    assert facts_of(root) == before
    assert (root / "touched").stat().st_mtime_ns % 10**9 == 123_456_789
    assert (root / "appended").stat().st_mtime_ns == 6


def facts_of(root: Path) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for entry in os.scandir(root):
        facts = os.lstat(entry.path)
        found[entry.name] = (
            facts.st_ino,
            facts.st_mode,
            facts.st_nlink,
            facts.st_size,
            facts.st_mtime_ns,
            facts.st_ctime_ns,
            facts.st_blocks,
        )
    return found


def test_times_stay_as_they_were_seen_when_the_size_is_set_to_what_it_is(drive: Drive) -> None:
    path = drive.point / "f"
    path.write_bytes(b"1" * 5000)
    drive.remount()
    os.truncate(path, 5000)
    seen = path.stat()
    drive.remount()
    assert (path.stat().st_mtime_ns, path.stat().st_ctime_ns) == (seen.st_mtime_ns, seen.st_ctime_ns)


# Extended attributes


def test_extended_attributes(place: Path) -> None:
    path = place / "f"
    path.touch()
    os.setxattr(path, "user.short", b"value")
    os.setxattr(path, "user.binary", bytes(range(256)))
    os.setxattr(path, "user.empty", b"")
    os.setxattr(path, "user.long", b"L" * 1500)
    assert sorted(os.listxattr(path)) == ["user.binary", "user.empty", "user.long", "user.short"]
    assert os.getxattr(path, "user.binary") == bytes(range(256))
    assert os.getxattr(path, "user.empty") == b""
    assert os.getxattr(path, "user.long") == b"L" * 1500
    os.setxattr(path, "user.short", b"other")
    assert os.getxattr(path, "user.short") == b"other"
    os.removexattr(path, "user.short")
    assert "user.short" not in os.listxattr(path)
    with failing(errno.ENODATA):
        os.getxattr(path, "user.short")
    with failing(errno.ENODATA):
        os.removexattr(path, "user.short")


def test_attributes_have_a_namespace_and_a_name_in_it(place: Path) -> None:
    path = place / "f"
    path.touch()
    for name, number in (("none", errno.EOPNOTSUPP), ("other.name", errno.EOPNOTSUPP), ("user.", errno.EINVAL)):
        with failing(number):
            os.setxattr(path, name, b"1")
        with failing(number):
            os.getxattr(path, name)
        with failing(number):
            os.removexattr(path, name)
    assert os.listxattr(path) == []


def test_attributes_of_open_things_without_a_name(place: Path) -> None:
    (place / "f").touch()
    (place / "d").mkdir()
    for name in ("f", "d"):
        os.setxattr(place / name, "user.old", b"1")
        fd = os.open(place / name, os.O_RDONLY)
        (os.rmdir if name == "d" else os.unlink)(place / name)
        os.setxattr(fd, "user.new", b"2")
        assert sorted(os.listxattr(fd)) == ["user.new", "user.old"]
        assert os.getxattr(fd, "user.new") + os.getxattr(fd, "user.old") == b"21"
        os.close(fd)


@pytest.mark.skipif(os.getuid() != 0, reason="only root has trusted attributes and can be somebody else")
def test_trusted_attributes_are_listed_for_root_only(place: Path) -> None:
    path = place / "f"
    path.touch(0o666)
    os.setxattr(path, "trusted.a", b"1")
    os.setxattr(path, "user.a", b"1")
    fd = os.open(path, os.O_RDONLY)
    assert sorted(os.listxattr(fd)) == ["trusted.a", "user.a"]
    os.seteuid(65534)
    try:
        assert os.listxattr(fd) == ["user.a"]
    finally:
        os.seteuid(0)
        os.close(fd)


def test_attribute_flags_create_and_replace(place: Path) -> None:
    path = place / "f"
    path.touch()
    with failing(errno.ENODATA):
        os.setxattr(path, "user.a", b"1", os.XATTR_REPLACE)
    assert os.listxattr(path) == []
    os.setxattr(path, "user.a", b"1", os.XATTR_CREATE)
    with failing(errno.EEXIST):
        os.setxattr(path, "user.a", b"2", os.XATTR_CREATE)
    assert os.getxattr(path, "user.a") == b"1"
    os.setxattr(path, "user.a", b"3", os.XATTR_REPLACE)
    assert os.getxattr(path, "user.a") == b"3"


def test_an_attributes_name_and_its_limits(place: Path) -> None:
    path = place / "f"
    path.touch()
    name = "user." + "n" * 250
    os.setxattr(path, name, b"1")
    assert os.listxattr(path) == [name]
    with pytest.raises(OSError, match=r"out of range|too long"):
        os.setxattr(path, name + "n", b"1")
    with pytest.raises(OSError, match=r"too long|No space"):
        os.setxattr(path, "user.big", b"x" * 65_537)


def test_long_attributes_survive_mounting_again(drive: Drive) -> None:
    path = drive.point / "f"
    path.touch()
    values = {f"user.{size}": random.Random(size).randbytes(size) for size in (1024, 1025, 5000, 65_536)}
    for name, value in values.items():
        os.setxattr(path, name, value)
    (drive.point / "d").mkdir()
    os.setxattr(drive.point / "d", "user.of.a.folder", b"1")
    for _ in range(2):
        assert {name: os.getxattr(path, name) for name in os.listxattr(path)} == values
        assert os.getxattr(drive.point / "d", "user.of.a.folder") == b"1"
        drive.remount()


@pytest.mark.parametrize("command", [["cp", "-a"], ["rsync", "-aHAXS"]], ids=["cp", "rsync"])
def test_copies_carry_everything(drive: Drive, tmp_path: Path, command: list[str]) -> None:
    source = tmp_path / "source"
    (source / "d").mkdir(parents=True)
    (source / "d" / "f").write_bytes(b"x" * 5000)
    os.link(source / "d" / "f", source / "hard")
    os.symlink("d/f", source / "soft")
    os.mkfifo(source / "fifo")
    os.setxattr(source / "d" / "f", "user.k", b"v" * 2000)
    os.setxattr(source / "d", "user.folder", b"w")
    os.chmod(source / "d" / "f", 0o4751)
    os.utime(source / "d" / "f", ns=(1_000_000_001, 2_000_000_002))
    os.utime(source / "d", ns=(1_000_000_001, 3_000_000_003))
    subprocess.run([*command, f"{source}/.", drive.point / "copy"], check=True, timeout=60)
    drive.remount()
    subprocess.run([*command, f"{drive.point}/copy/.", tmp_path / "back"], check=True, timeout=60)
    for copy in (drive.point / "copy", tmp_path / "back"):
        assert (copy / "d" / "f").read_bytes() == b"x" * 5000
        assert os.getxattr(copy / "d" / "f", "user.k") == b"v" * 2000
        assert os.getxattr(copy / "d", "user.folder") == b"w"
        assert stat.S_IMODE((copy / "d" / "f").stat().st_mode) == 0o4751
        assert (copy / "d" / "f").stat().st_mtime_ns == 2_000_000_002
        assert (copy / "d").stat().st_mtime_ns == 3_000_000_003
        assert (copy / "hard").stat().st_ino == (copy / "d" / "f").stat().st_ino
        assert os.readlink(copy / "soft") == "d/f"
        assert stat.S_ISFIFO((copy / "fifo").stat().st_mode)


# The rest


def test_statfs(mounted: Path) -> None:
    facts = os.statvfs(mounted)
    assert facts.f_namemax == 255
    assert 0 < facts.f_bavail <= facts.f_bfree <= facts.f_blocks
    assert facts.f_ffree > 1_000_000


def test_fsync_of_files_opened_for_reading_and_of_folders(place: Path) -> None:
    (place / "f").write_bytes(b"x")
    for path in (place / "f", place):
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.fdatasync(fd)
        os.close(fd)


HOLDER = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    (fcntl.flock if sys.argv[2] == "flock" else fcntl.lockf)(file, fcntl.LOCK_EX)
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("kind", ["flock", "posix"])
def test_locks_between_processes(place: Path, kind: str) -> None:
    path = place / "locked"
    path.write_bytes(b"x")
    take = fcntl.flock if kind == "flock" else fcntl.lockf
    command = [sys.executable, "-c", HOLDER, str(path), kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with path.open("r+b") as file:
            with pytest.raises(BlockingIOError):
                take(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            holder.communicate(timeout=30)
            take(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_copy_file_range_and_fallocate_work_or_say_that_they_do_not(place: Path) -> None:
    (place / "a").write_bytes(b"abc" * 10_000)
    copied = 0
    with (place / "a").open("rb") as source, (place / "b").open("w+b") as target:
        with contextlib.suppress(OSError):
            copied = os.copy_file_range(source.fileno(), target.fileno(), 30_000)
        os.posix_fallocate(target.fileno(), 0, 40_000)  # glibc reads and writes where the kernel can't allocate
    assert (place / "b").read_bytes() == (b"abc" * 10_000)[:copied].ljust(40_000, b"\0")


def test_a_write_by_somebody_else_takes_the_setuid_bit(shared_drive: Drive, mounted: Path) -> None:
    if os.getuid():
        pytest.skip("only root can act as somebody else")
    os.chmod(mounted, 0o777)
    path = mounted / "f"
    path.write_bytes(b"x")
    os.chown(path, 65534, 65534)
    os.chmod(path, 0o4777)
    somebody = ["setpriv", "--reuid=1234", "--regid=1234", "--clear-groups"]
    write = ["dd", "if=/etc/hostname", "of=f", "conv=notrunc", "status=none"]
    subprocess.run([*somebody, *write], cwd=mounted, check=True, timeout=20)
    assert stat.S_IMODE(path.stat().st_mode) == 0o777


def test_a_grown_file_is_seen_at_once_by_whoever_has_it_open(place: Path) -> None:
    path = place / "f"
    path.write_bytes(b"1")
    reader = os.open(path, os.O_RDONLY)
    for size in (10, 1000, 100_000):
        path.write_bytes(b"x" * size)
        assert os.fstat(reader).st_size == size
        assert os.pread(reader, 2 * size, 0) == b"x" * size
    os.close(reader)


def test_the_sizes_and_blocks_of_a_file_settle(mounted: Path) -> None:
    path = mounted / "f"
    path.write_bytes(b"x" * 1_000_000)
    sync_filesystem(mounted)
    until("the file's blocks are counted", lambda: path.stat().st_blocks * 512 >= 1_000_000)
    assert path.stat().st_blocks * 512 < 1_010_000
