"""A gibibyte that is cold, on a mount: what 4 KiB from its middle cost, as the S3 server counts it."""

import os
import random
import time
import urllib.request
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from tests import tally
from tests.mount.drive import LONG, until
from tests.store.s3_server import BUCKET, Asked, moto_server, ranged

from .machine import Machine

KIB, MIB = 1 << 10, 1 << 20
SIZE = int(os.environ.get("HYPERFS_COLD_MIB", "1024")) * MIB
SEED = 1
WAIT = 3600.0
QUIET_SECONDS = 15.0
ASKED: list[Asked] = []


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("MOTO_S3_DEFAULT_KEY_BUFFER_SIZE", str(MIB))  # what is larger goes to the disk
    with moto_server(ASKED) as address:
        urllib.request.urlopen(urllib.request.Request(f"{address}/{BUCKET}", method="PUT")).close()
        yield address


def write_noise(path: Path) -> str:
    """Its digest."""
    rng, digest = random.Random(SEED), sha256()
    with path.open("wb") as out:
        for _ in range(SIZE // MIB):
            digest.update(part := rng.randbytes(MIB))
            out.write(part)
    return digest.hexdigest()


def resident(path: Path) -> int:
    return int(os.getxattr(path, "user.hyperfs.resident"))


def wait_for_quiet() -> None:
    """Until nothing has been asked of the store for a while: what is listed and written anew after a mount is over."""
    last, since = -1, time.monotonic()
    while time.monotonic() - since < QUIET_SECONDS:
        time.sleep(0.5)
        if len(ASKED) != last:
            last, since = len(ASKED), time.monotonic()


def read_a_little(file: Path, offset: int) -> bytes:
    """4 KiB of a file that nobody has open; the server gave them with one answer."""
    ASKED.clear()
    fd = os.open(file, os.O_RDONLY)
    try:
        data = os.pread(fd, 4 * KIB, offset)
    finally:
        os.close(fd)
    [asked] = ranged(ASKED)
    assert asked.nbytes < MIB
    tally.add("bytes that reads of 4 KiB in a large cold file moved", asked.nbytes, seed=SEED)
    return data


@pytest.mark.skipif(not LONG, reason="moves a gibibyte to a store and back: HYPERFS_ALL=1")
@pytest.mark.timeout(5400)
def test_4_kib_in_the_middle_of_a_cold_gibibyte_are_one_ranged_request(mounted: Machine, s3: str) -> None:
    mounted.patience_seconds = 900  # a fsync of all of it
    url = f"s3://{BUCKET}/cold?endpoint={s3}"
    key = mounted.folder / "key"
    key.write_text("[default]\naws_access_key_id = AKID\naws_secret_access_key = secret\n")
    key.chmod(0o600)
    mounted.run("cold", "add", url, mounted.point, "--access-key-file", key)
    file = mounted.point / "large"
    digest = write_noise(file)
    offsets = [SIZE // 2, SIZE // 3, SIZE // 7]
    wanted = {}
    with file.open("rb") as opened:
        for offset in offsets:
            opened.seek(offset)
            wanted[offset] = opened.read(4 * KIB)
    mounted.run("policy", "set", file, "class=cold")
    until("all has left", lambda: resident(file) == 0, WAIT)
    logs = [path.stat().st_blocks * 512 for path in (mounted.store / "logs").rglob("*") if path.is_file()]
    assert sum(logs) < SIZE // 2
    mounted.unmount()
    mounted.mount()
    assert file.stat().st_size == SIZE
    wait_for_quiet()
    for offset in offsets:
        assert read_a_little(file, offset) == wanted[offset]
    found = sha256()
    with file.open("rb") as opened:
        while part := opened.read(MIB):
            found.update(part)
    assert found.hexdigest() == digest
    tally.add("bytes of a cold file that were read back through a mount", SIZE, seed=SEED)
