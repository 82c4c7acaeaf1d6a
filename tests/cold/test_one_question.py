"""What a small read in the middle of a large file costs at the store: one ranged request, as the server counts them."""

import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from hyperfs.cold import choosing
from hyperfs.store.s3 import S3Objects
from tests.store.s3_server import BUCKET, KEY, Asked, location, moto_server, ranged
from tests.volume.conftest import Store

from .conftest import SEED, Side, running
from .test_stores import evict, read

KIB = 1 << 10
SIZE = 3 << 20
ASKED: list[Asked] = []


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with moto_server(ASKED) as address:
        urllib.request.urlopen(urllib.request.Request(f"{address}/{BUCKET}", method="PUT")).close()
        yield address


async def read_a_little(side: Side, offset: int, whole: bytes) -> None:
    """4 KiB, and what the server saw of it."""
    side.volume.parts.chunkstore.cache.clear()
    ASKED.clear()
    assert await read(side, b"large", offset, 4 * KIB) == whole[offset : offset + 4 * KIB]
    [asked] = ASKED
    assert ranged(ASKED) == ASKED
    assert asked.nbytes < 300 * KIB  # a block and its seal


async def test_4_kib_in_the_middle_are_one_ranged_read_of_one_block_at_once_and_after_opening_anew(
    store: Store, moto: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choosing, "OBJECT_BYTES", 256 * KIB)
    objects = S3Objects(location(moto, prefix=tmp_path.name), KEY)
    async with running(store, memory_index=False) as side:
        side.cold.add("place", "url", objects)
        side.volume.returning.elsewhere = side.cold
        await side.write(b"large", SIZE, seed=SEED)
        data = await read(side, b"large", 0, SIZE)
        side.want("place")
        await side.until_proven("place")
        assert side.cold.facts()[0].objects > 7
        await evict(side)
        await read_a_little(side, SIZE // 2, data)
    async with running(store, memory_index=False, background=False) as side:
        side.cold.add("place", "url", objects)
        side.volume.returning.elsewhere = side.cold
        assert side.volume.parts.residence.has_left(side.refs(side.length // 2)[0])
        for offset in (SIZE // 2, SIZE // 3, SIZE - 5 * KIB):
            await read_a_little(side, offset, data)
