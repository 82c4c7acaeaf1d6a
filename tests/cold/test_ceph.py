"""The long tests' S3: a real Ceph, which the tests start themselves."""

import os
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import trio

from hyperfs.errors import PlaceRefuses
from hyperfs.store.objects import AccessKey, Objects, parse_url
from hyperfs.store.s3 import S3Objects
from tests import tally
from tests.store.test_objects import TestAll as Suite
from tests.volume.conftest import Store, inode_of

from . import test_stores
from .ceph import KEY_ID, SECRET, STORAGE_CLASS, Ceph, missing
from .conftest import SEED, running

LONG = os.environ.get("HYPERFS_ALL") == "1"
MIB = 1 << 20
SIZE = int(os.environ.get("HYPERFS_CEPH_MIB", "2048")) * MIB
FILE_BYTES = 32 * MIB
KEY = AccessKey(KEY_ID, SECRET)
BUCKET = "hyperfs"

pytestmark = [
    pytest.mark.skipif(not LONG, reason="one of the long tests (packaging/test --all): it starts a whole Ceph"),
    pytest.mark.timeout(5400),
]


def client(ceph: Ceph) -> Any:
    """Another client than ours."""
    import boto3  # it comes with moto, and takes a second

    return boto3.client(
        "s3",
        endpoint_url=ceph.endpoint,
        region_name="us-east-1",
        aws_access_key_id=KEY_ID,
        aws_secret_access_key=SECRET,
    )


@pytest.fixture(scope="module")
def ceph() -> Iterator[Ceph]:
    if missing():
        pytest.skip(f"NOT RUN: Ceph ({', '.join(missing())}) is not installed: packaging/suites installs it")
    if os.geteuid() != 0:
        pytest.skip("NOT RUN: the tests' Ceph wants to be started by root")
    folder = Path(tempfile.mkdtemp(prefix="hyperfs-ceph-"))
    made = Ceph(folder / "cluster")
    try:
        made.start()
        client(made).create_bucket(Bucket=BUCKET)
        yield made
    finally:
        made.end()
        folder.rmdir()


@pytest.fixture
def objects(ceph: Ceph, tmp_path: Path) -> Objects:
    return S3Objects(parse_url(f"s3://{BUCKET}/{tmp_path.name}?endpoint={ceph.endpoint}"), KEY)


class TestCeph(Suite):
    """The suite that all object stores keep to."""


test_files_leave_and_are_read_from_the_store = test_stores.test_files_leave_and_are_read_from_the_store
test_what_was_cleared_goes_from_the_store_too = test_stores.test_what_was_cleared_goes_from_the_store_too
test_the_map_is_made_again_from_the_list = test_stores.test_the_map_is_made_again_from_the_list


def test_a_wrong_secret_is_refused(ceph: Ceph) -> None:
    wrong = S3Objects(parse_url(f"s3://{BUCKET}/x?endpoint={ceph.endpoint}"), AccessKey(KEY_ID, "wrong"))
    with pytest.raises(PlaceRefuses) as caught:
        wrong.info("a")
    assert KEY_ID not in str(caught.value)


def test_it_takes_the_classes_that_it_has_and_the_rest_in_its_standard_one(ceph: Ceph, objects: Objects) -> None:
    assert objects.put("a", b"some bytes", STORAGE_CLASS)
    assert not objects.put("b", b"some bytes", "GLACIER_IR")
    assert [objects.read(name, 0, 10) for name in "ab"] == [b"some bytes"] * 2
    found = {at["Key"][-1]: at["StorageClass"] for at in client(ceph).list_objects_v2(Bucket=BUCKET)["Contents"]}
    assert (found["a"], found["b"]) == (STORAGE_CLASS, "STANDARD")


async def test_a_gateway_that_halts_and_goes_on(ceph: Ceph, store: Store, objects: Objects) -> None:
    async with running(store) as side:
        side.cold.add("ceph", "url", objects)
        await side.write(b"file", 40 * MIB)
        side.want("ceph")
        await side.until_proven("ceph", end=1)
        ceph.stop_gateway()
        await side.write(b"further", 16 * MIB, seed=1)  # all of the first may have gone by then
        side.want("ceph")
        try:
            with trio.fail_after(600):
                while not side.cold.facts()[0].trouble:
                    await trio.sleep(0.5)
        finally:
            ceph.go_on()
        with trio.fail_after(900):
            await side.until_proven("ceph")
        assert side.cold.facts()[0].trouble is None


async def test_a_large_tree_goes_and_comes_back(ceph: Ceph, store: Store, objects: Objects) -> None:
    async with running(store) as side:
        side.cold.add("ceph", "url", objects)
        side.volume.returning.elsewhere = side.cold
        wanted = {}
        for number in range(SIZE // FILE_BYTES):
            name = b"file%d" % number
            await side.write(name, FILE_BYTES, seed=number)
            inode = inode_of(side.volume, name)
            found = sha256()
            for offset in range(0, inode.size, 4 * MIB):
                found.update(await side.volume.files.read_soon(inode, offset, 4 * MIB))
            wanted[name] = found.digest()
        side.want("ceph")
        await side.until_proven("ceph")
        await test_stores.evict(side)
        assert side.volume.content.log.size_on_disk() < 32 * MIB
        moved = side.cold.transfer()["fetched_bytes"]
        await test_stores.read(side, b"file0", FILE_BYTES // 2, 4096)
        assert side.cold.transfer()["fetched_bytes"] - moved < MIB
        for name, digest in wanted.items():
            inode, found = inode_of(side.volume, name), sha256()
            for offset in range(0, inode.size, 4 * MIB):
                found.update(await test_stores.read(side, name, offset, 4 * MIB))
            assert found.digest() == digest
        tally.add("bytes that left for Ceph and were read back", SIZE, seed=SEED)
