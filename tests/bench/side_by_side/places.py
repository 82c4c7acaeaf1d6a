"""The folders under test: hyperfs and its peers, each mounted in a folder of its own."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from tests.cli.machine import Machine

SERVER: Final = Path(__file__).parents[1] / "memory_filesystem.py"


class Missing(Exception):
    """A peer's program is not installed."""


def need(program: str) -> None:
    if shutil.which(program) is None:
        raise Missing(f"{program} is not installed")


@contextmanager
def disk(base: Path) -> Iterator[Path]:
    """A plain folder on the disk below."""
    yield base


@contextmanager
def hyperfs(base: Path) -> Iterator[Path]:
    machine = Machine(base)
    try:
        machine.mount()
        yield machine.point
        machine.unmount()
    finally:
        machine.end()


@contextmanager
def gocryptfs(base: Path) -> Iterator[Path]:
    """Encrypted, without versions: what people pick."""
    need("gocryptfs")
    cipher, point = base / "cipher", base / "mount"
    cipher.mkdir()
    point.mkdir()
    password = ["-extpass", "echo bench", "-q"]
    subprocess.run(["gocryptfs", "-init", *password, cipher], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["gocryptfs", *password, cipher, point], check=True, stdout=subprocess.DEVNULL)
    with unmounted_after(point):
        yield point


@contextmanager
def s3ql(base: Path) -> Iterator[Path]:
    """Our nearest relative: Python, pyfuse3, compressed, encrypted, with copied trees as its versions."""
    need("mkfs.s3ql")
    store, point, secrets = base / "store", base / "mount", base / "authinfo2"
    store.mkdir()
    point.mkdir()
    url = f"local://{store}"
    secrets.write_text(f"[bench]\nstorage-url: {url}\nfs-passphrase: bench\n")
    secrets.chmod(0o600)
    common = ["--authfile", str(secrets), "--cachedir", str(base / "cache")]
    subprocess.run(["mkfs.s3ql", *common, url], check=True, capture_output=True, input=b"bench\n")
    log = ["--log", str(base / "log"), "--compress", "zlib-6"]
    subprocess.run(["mount.s3ql", *common, *log, url, point], check=True, capture_output=True)
    try:
        yield point
    finally:
        subprocess.run(["umount.s3ql", point], check=False, capture_output=True)


@contextmanager
def memory(base: Path, *options: str) -> Iterator[Path]:
    """A pyfuse3 filesystem that keeps everything in a dict: the limit for anything built like this."""
    point = base / "mount"
    point.mkdir()
    command = [sys.executable, str(SERVER), "-", str(point), *options]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    try:
        with unmounted_after(point):
            yield point
    finally:
        server.communicate(timeout=20)


@contextmanager
def unmounted_after(point: Path) -> Iterator[None]:
    try:
        yield
    finally:
        subprocess.run(["fusermount3", "-uz", point], check=False)


PLACES: Final[dict[str, Callable[[Path], AbstractContextManager[Path]]]] = {
    "hyperfs": hyperfs,
    "gocryptfs": gocryptfs,
    "s3ql": s3ql,
    "disk": disk,
    "memory": memory,
    "memory-lite": lambda base: memory(base, "lite"),
}
