"""A long random program of file operations, on the mount and on a plain folder side by side.

After every step both have answered alike; every so often the whole trees are compared, live, after mounting again
and after a kill, and each state that was kept as a snapshot is compared with what the plain folder was then.
"""

import os
import random
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from .drive import LONG, Drive
from .kernel_calls import RENAME_EXCHANGE, RENAME_NOREPLACE, renameat2

STEPS = int(os.environ.get("HYPERFS_STEPS", "40000" if LONG else "2500"))
SEED = int(os.environ.get("HYPERFS_SEED", "1"))
KEEP_EVERY = 250
AGAIN_EVERY = 900
NAMES = [b"a", b"b", b"c", b"dd", b"\xff", b"e e", b"n\nl", b"l" * 200]
Answer = object
Tree = dict[bytes, tuple[object, ...]]


class Program:
    """Chooses each step once and does it in two places."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.open: dict[int, tuple[int, int]] = {}  # our number of an open file -> its descriptor in each place
        self.next = 0

    def path(self) -> bytes:
        depth = self.rng.choice([1, 1, 2, 2, 3])
        return b"/".join(self.rng.choice(NAMES) for _ in range(depth))

    def data(self) -> bytes:
        size = self.rng.choice([0, 1, 100, 512, 513, 4096, 5000, 65_536, 65_537, self.rng.randrange(300_000)])
        kind = self.rng.random()
        if kind < 0.5:
            return self.rng.randbytes(size)
        return bytes([self.rng.randrange(256)]) * size

    def step(self) -> Callable[[int, bytes], Answer]:
        """A function of (which place, its root as bytes), which both places are given."""
        rng = self.rng
        one, other = self.path(), self.path()
        name = rng.choice(
            ["write", "write", "write", "patch", "patch", "append", "truncate", "mkdir", "mkdir", "unlink", "rmdir",
             "rename", "rename", "rename2", "link", "symlink", "fifo", "chmod", "utime", "setxattr", "removexattr",
             "open", "open", "use", "use", "use", "close", "read"]
        )
        match name:
            case "write":
                data = self.data()
                return lambda _, root: write(root + one, os.O_CREAT | os.O_TRUNC, 0, data)
            case "patch":
                data, at = self.data()[:20_000], rng.randrange(400_000)
                return lambda _, root: write(root + one, 0, at, data)
            case "append":
                data = self.data()
                return lambda _, root: write(root + one, os.O_APPEND, None, data)
            case "truncate":
                size = rng.choice([0, 1, 511, 513, 65_537, rng.randrange(500_000)])
                return lambda _, root: os.truncate(root + one, size)
            case "mkdir":
                return lambda _, root: os.mkdir(root + one)
            case "unlink":
                return lambda _, root: os.unlink(root + one)
            case "rmdir":
                return lambda _, root: os.rmdir(root + one)
            case "rename":
                return lambda _, root: os.rename(root + one, root + other)
            case "rename2":
                flag = rng.choice([RENAME_EXCHANGE, RENAME_NOREPLACE])
                return lambda _, root: renameat2(path_of(root + one), path_of(root + other), flag)
            case "link":
                return lambda _, root: os.link(root + one, root + other, follow_symlinks=False)
            case "symlink":
                return lambda _, root: os.symlink(other * 20, root + one)
            case "fifo":
                return lambda _, root: os.mkfifo(root + one)
            case "chmod":
                mode = rng.choice([0o600, 0o644, 0o755, 0o4755, 0o2775, 0o1777])
                return lambda _, root: changed_mode(root + one, mode)
            case "utime":
                times = (rng.randrange(10**18), rng.randrange(10**18))
                return lambda _, root: os.utime(root + one, ns=times, follow_symlinks=False)
            case "setxattr":
                key, value = f"user.{rng.choice('xyz')}", rng.randbytes(rng.choice([0, 10, 900, 1100]))
                flag = rng.choice([0, 0, os.XATTR_CREATE, os.XATTR_REPLACE])
                return lambda _, root: os.setxattr(root + one, key, value, flag, follow_symlinks=False)
            case "removexattr":
                key = f"user.{rng.choice('xyz')}"
                return lambda _, root: os.removexattr(root + one, key, follow_symlinks=False)
            case "read":
                return lambda _, root: facts_of(root + one)
        return self.with_descriptor(name, one)

    def with_descriptor(self, name: str, path: bytes) -> Callable[[int, bytes], Answer]:
        rng = self.rng
        if name == "open" and len(self.open) < 20:
            self.next += 1
            number, opened = self.next, [-1, -1]
            self.open[number] = (-1, -1)

            def open_it(place: int, root: bytes) -> Answer:
                opened[place] = os.open(root + path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
                if not stat.S_ISREG(os.fstat(opened[place]).st_mode):
                    os.close(opened[place])
                    opened[place] = -1
                self.open[number] = (opened[0], opened[1])
                return None

            return open_it
        number = rng.choice(list(self.open) or [0])
        descriptors = self.open.get(number, (-1, -1))
        if name == "close":
            self.open.pop(number, None)
            return lambda place, _: os.close(descriptors[place])
        data, at, size = self.data()[:30_000], rng.randrange(300_000), rng.randrange(400_000)
        match rng.randrange(5):
            case 0 | 1:
                return lambda place, _: os.pwrite(descriptors[place], data, at)
            case 2:
                return lambda place, _: os.pread(descriptors[place], len(data), at)
            case 3:
                return lambda place, _: os.ftruncate(descriptors[place], size)
        return lambda place, _: synced(descriptors[place])

    def close_all(self) -> None:
        for descriptors in self.open.values():
            for fd in descriptors:
                if fd >= 0:
                    os.close(fd)
        self.open.clear()


def synced(fd: int) -> int:
    os.fsync(fd)
    return os.fstat(fd).st_nlink


def path_of(path: bytes) -> Path:
    return Path(os.fsdecode(path))


def write(path: bytes, flags: int, at: int | None, data: bytes) -> int:
    fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | flags, 0o644)
    try:
        return os.write(fd, data) if at is None else os.pwrite(fd, data, at)
    finally:
        os.close(fd)


def changed_mode(path: bytes, mode: int) -> None:
    if not stat.S_ISLNK(os.lstat(path).st_mode):
        os.chmod(path, mode)


def facts_of(path: bytes) -> tuple[object, ...]:
    """What a program can see of a thing, but for inode numbers and the times that the clock gives."""
    facts = os.lstat(path)
    attributes: object = ()
    content: object = None
    if stat.S_ISREG(facts.st_mode):
        with open(path, "rb") as file:
            content = file.read()
    elif stat.S_ISLNK(facts.st_mode):
        content = os.readlink(path)
    elif stat.S_ISDIR(facts.st_mode):
        content = sorted(os.listdir(path))
    if not stat.S_ISLNK(facts.st_mode):
        attributes = {key: os.getxattr(path, key) for key in os.listxattr(path)}
    size = 0 if stat.S_ISDIR(facts.st_mode) else facts.st_size
    return facts.st_mode, facts.st_nlink, facts.st_uid, facts.st_gid, size, attributes, content


def tree_of(root: bytes) -> Tree:
    """All of a tree, links told by the first of their names."""
    found: Tree = {}
    first: dict[int, bytes] = {}
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted([*folders, *files]):
            path = os.path.join(folder, name)
            below = os.path.relpath(path, root)
            found[below] = (*facts_of(path), first.setdefault(os.lstat(path).st_ino, below))
    return found


def answer(step: Callable[[int, bytes], Answer], place: int, root: bytes) -> Answer:
    try:
        return step(place, root)
    except OSError as error:
        return "fails", error.errno
    except ValueError:
        return "not open"


def assert_same(mounted: Tree, plain: Tree, when: str) -> None:
    different = [path for path in mounted.keys() | plain.keys() if mounted.get(path) != plain.get(path)]
    shown = [(path, short(mounted.get(path)), short(plain.get(path))) for path in sorted(different)[:5]]
    assert not different, f"{when}: {shown}"


def short(facts: tuple[object, ...] | None) -> str:
    return repr(facts)[:300]


@pytest.mark.timeout(7200 if LONG else 300)
def test_the_mount_answers_as_a_plain_folder_does(drive: Drive, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    (drive.point / "top").mkdir()
    roots = os.fsencode(drive.point / "top") + b"/", os.fsencode(tmp_path / "plain") + b"/"
    program = Program(random.Random(SEED))
    kept: dict[str, Tree] = {}
    for number in range(1, STEPS + 1):
        step = program.step()
        answers = [answer(step, place, root) for place, root in enumerate(roots)]
        assert answers[0] == answers[1], (number, answers)
        if number % KEEP_EVERY == 0:
            plain = tree_of(roots[1])
            assert_same(tree_of(roots[0]), plain, f"step {number}")
            drive.snapshot(f"s{number}")
            if len(kept) < 40:
                kept[f"s{number}"] = plain
        if number % AGAIN_EVERY == 0:
            plain = mounted_again(drive, program, roots, number)
            assert_same(tree_of(roots[0]), plain, f"mounted again after step {number}")
    program.close_all()
    drive.remount()
    assert_same(tree_of(roots[0]), tree_of(roots[1]), "at the end")
    for name, plain in kept.items():
        assert_same(tree_of(os.fsencode(drive.versions() / name / "top") + b"/"), plain, f"snapshot {name}")


def mounted_again(drive: Drive, program: Program, roots: tuple[bytes, bytes], number: int) -> Tree:
    """Unmounts, or makes all durable and kills; then mounts. Returns the plain tree."""
    program.close_all()
    if number % (2 * AGAIN_EVERY):
        drive.remount()
    else:
        drive.snapshot(f"before-kill-{number}")
        drive.kill()
        drive.mount()
    return tree_of(roots[1])
