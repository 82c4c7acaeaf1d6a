"""Trees that have all that a copy can lose: links, holes, attributes, odd names, odd modes, times to the nanosecond."""

import os
import random
import socket
from pathlib import Path

from tests.mount.drive import LONG

HOLE_BYTES = (512 << 20) if LONG else (48 << 20)


def strange_tree(folder: Path, seed: int) -> None:
    """Makes `folder` with some of everything. As root also what only root can make."""
    rng = random.Random(seed)
    folder.mkdir()
    for depth in range(6):
        below = folder.joinpath(*(f"d{number}" for number in range(depth)))
        below.mkdir(exist_ok=True)
        for number in range(12):
            (below / f"f{number}").write_bytes(rng.randbytes(rng.choice([0, 1, 100, 4096, 70_000])))
    _links(folder)
    _names(folder)
    _sparse(folder / "sparse", rng)
    _attributes(folder, rng)
    _modes_and_times(folder, rng)


def _links(folder: Path) -> None:
    (folder / "links").mkdir()
    for number in range(4):
        os.link(folder / "d0" / "f4", folder / "links" / f"hard{number}")
    os.link(folder / "d0" / "d1" / "f5", folder / "hard-above")
    os.symlink("hard0", folder / "links" / "soft")
    os.symlink("no/such/place", folder / "links" / "dangling")
    os.symlink("../d0", folder / "links" / "folder")
    os.link(folder / "links" / "dangling", folder / "links" / "dangling-too", follow_symlinks=False)
    os.mkfifo(folder / "links" / "fifo")
    with socket.socket(socket.AF_UNIX) as one:
        back = os.open(".", os.O_RDONLY)  # the address may be no longer than 107 bytes
        os.chdir(folder / "links")
        try:
            one.bind("socket")
        finally:
            os.fchdir(back)
            os.close(back)
    if os.getuid() == 0:
        os.mknod(folder / "links" / "null", 0o20666, os.makedev(1, 3))


def _names(folder: Path) -> None:
    (folder / "names").mkdir()
    text = "\u00e9\u0301 \U0001f600".encode()
    for name in (text, b"new\nline", b"\xff\xfe not text", b"n" * 255, b" ", b"-rf", b"a\\b", b'"*?'):
        Path(os.fsdecode(os.path.join(os.fsencode(folder / "names"), name))).write_bytes(name)
    (folder / "names" / "empty folder").mkdir()


def _sparse(path: Path, rng: random.Random) -> None:
    with path.open("wb") as file:
        for place in (0, HOLE_BYTES // 3, HOLE_BYTES // 2 + 5, HOLE_BYTES - 100_000):
            file.seek(place)
            file.write(rng.randbytes(30_000))
        file.truncate(HOLE_BYTES)


def _attributes(folder: Path, rng: random.Random) -> None:
    for path in (folder, folder / "d0", folder / "d0" / "f1", folder / "sparse"):
        for number in range(3):
            os.setxattr(path, f"user.key{number}", rng.randbytes(number * 500))
    if os.getuid() == 0:
        os.setxattr(folder / "f2", "trusted.key", b"for root")


def _modes_and_times(folder: Path, rng: random.Random) -> None:
    modes = [0o644, 0o600, 0o755, 0o444, 0o4755, 0o2755, 0o1777, 0o640]
    for path in sorted(folder.rglob("*"), reverse=True):  # below first: a folder's time changes with its entries
        if not path.is_symlink() and not path.is_dir():
            if os.getuid() == 0 and rng.random() < 0.3:
                os.chown(path, rng.randrange(1000, 1100), rng.randrange(1000, 1100))
            path.chmod(rng.choice(modes))
        os.utime(path, ns=(rng.randrange(2**61), rng.randrange(2**61)), follow_symlinks=False)
