"""Objects go into the class of a store's own that policies say: seen at an S3 server (moto's), and at a real Ceph in
the long tests."""

import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Iterator

import pytest
import trio

from hyperfs.cold import choosing
from hyperfs.cold.storage_classes import StorageClasses
from hyperfs.policy.placement import STRENGTHS, Strength
from hyperfs.store.s3 import S3Objects
from hyperfs.values import BlockRef
from hyperfs.volume.moving import Mover
from hyperfs.volume.policy_words import holding
from tests.store.s3_server import BUCKET, KEY, location, moto_server
from tests.volume.conftest import Store, inode_of
from tests.volume.test_moving import folder_with

from .conftest import Faulty, Side, running

URL = "s3://bucket/prefix?endpoint=http://127.0.0.1:1"


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with moto_server() as address:
        urllib.request.urlopen(urllib.request.Request(f"{address}/{BUCKET}", method="PUT")).close()
        yield address


def classes_at(moto: str) -> list[str]:
    """Of all objects, as the server says."""
    with urllib.request.urlopen(f"{moto}/{BUCKET}?list-type=2&prefix=classes") as answer:
        found = ET.fromstring(answer.read())
    return sorted(element.text or "" for element in found.iter() if element.tag.endswith("StorageClass"))


async def bring(side: Side, **classes: bytes) -> None:
    """A folder of each class, with one file in it; returns when all of them have left."""
    volume, mover = side.volume, Mover(side.volume)
    volume.returning.elsewhere = side.cold
    for seed, (name, value) in enumerate(classes.items()):
        await folder_with(volume, name.encode(), seed, **{"class": value})
    with trio.fail_after(60):
        while not volume.parts.residence.cold_bytes or mover.standing.to_leave_bytes:
            await mover.turn()
            await trio.sleep(0.02)


def test_what_is_cold_is_rarely_read_and_what_is_archived_never_changes() -> None:
    by_policy = {name: StorageClasses(URL).of(strength) for name, strength in STRENGTHS.items()}
    assert by_policy == {"hot": "", "auto": "", "cold": "STANDARD_IA", "archive": "GLACIER_IR"}


def test_a_class_in_the_url_is_for_all_and_a_folder_has_none() -> None:
    assert {StorageClasses(f"{URL}&class=ONEZONE_IA").of(strength) for strength in Strength} == {"ONEZONE_IA"}
    assert {StorageClasses(f"{URL}&class=STANDARD").of(strength) for strength in Strength} == {""}
    assert {StorageClasses("file:///mnt/nas").of(strength) for strength in Strength} == {""}


async def test_the_policy_chooses_and_says_so(store: Store, moto: str) -> None:
    objects = S3Objects(location(moto, "classes"), KEY)
    async with running(store) as side:
        side.cold.add("s3", URL, objects)
        await bring(side, one=b"cold", two=b"archive", three=b"cold")
        # Neighbours of one class share an object, others don't.
        assert classes_at(moto) == ["GLACIER_IR", "STANDARD_IA"]
        assert side.cold.facts()[0].storage_classes == {"cold": "STANDARD_IA", "archive": "GLACIER_IR"}
        told = holding(side.volume, inode_of(side.volume, b"two/f").ino)["class"].words
        assert told.endswith("; s3 keeps it as GLACIER_IR")
        assert "keeps it" not in holding(side.volume, inode_of(side.volume, b"").ino)["class"].words
        sizes = [side.volume.content.log.block_range(index)[1] for index in range(side.length)]
        assert side.cold.kept_bytes(side.log, 1, side.length) == {"s3": sum(sizes[1:])}
        assert side.cold.kept_bytes(side.volume.parts.metadata_number, 0, 1) == {}
        ref = BlockRef(side.log, 0)
        assert (await side.cold.fetch([ref]))[ref]


async def test_a_store_that_has_no_such_class_keeps_it_in_its_standard_one(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    class Plain(Faulty):
        def put(self, name: str, data: bytes, storage_class: str = "") -> bool:
            super().put(name, data)
            return not storage_class

    plain = Plain()
    async with running(store) as side:
        side.cold.add("nas", URL, plain)
        await bring(side, one=b"archive", two=b"archive")
        assert set(plain.classes.values()) == {""}
        assert caplog.text.count("nas takes nothing in the storage class GLACIER_IR") == 1
        facts = side.cold.facts()[0]
        assert (facts.storage_classes, facts.trouble) == ({"cold": "STANDARD_IA"}, None)
        # Who has asked for it by name is told for longer.
        side.cold.add("nas", f"{URL}&class=GLACIER_IR", plain)  # as with other credentials
        await side.write(b"more", 300_000, seed=7)
        side.want("nas")
        with trio.fail_after(60):
            await side.until_proven("nas")
        assert "GLACIER_IR" in (side.cold.facts()[0].trouble or "")


async def test_what_is_written_anew_stays_in_its_class(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "OBJECT_BYTES", 1 << 20)
    async with running(store, background=False) as side:
        auditor = side.cold._auditor
        side.cold.add("nas", URL, Faulty())
        place = side.cold.place("nas")
        assert place is not None
        await auditor.list(place)
        await side.write(b"large", 9 << 20)
        middle, number = side.length // 2, side.log
        wish = side.want("nas")
        halves = [
            wish._replace(end=middle, strength=Strength.ARCHIVE),
            wish._replace(first=middle, strength=Strength.COLD),
        ]
        side.cold.want(halves)
        await side.cold._uploader.turn()
        objects = place.holdings.of(number)
        cleared = tuple((held.name.first + 1, held.name.end) for held in objects)  # of each the first block stays
        catalog = side.volume.parts.catalog
        catalog.cleared = catalog.cleared.more([(number, 0, 0, b"", cleared)])
        assert auditor._rewrites(place, number) is None, "nobody has looked yet which class they are of"
        auditor._strength_of = lambda ref: Strength.ARCHIVE if ref.index < middle else Strength.COLD
        plans = auditor._rewrites(place, number)
        assert plans is not None
        assert [(plan.storage_class, plan.end <= middle) for plan in plans] == [
            ("GLACIER_IR", True),
            ("STANDARD_IA", False),
        ]
