"""Every version of hyperfs opens the sample drives of all formats, and finds in them what was put there."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from hyperfs.chunks.extents import WHOLE_BLOCK, Extent
from hyperfs.crypto import recovery, wrap
from hyperfs.crypto.keys import DeviceKeys
from hyperfs.store import folder
from hyperfs.trie.walk import walk
from hyperfs.volume.check import verify
from hyperfs.volume.entries import extent_in
from hyperfs.volume.opening import open_volume
from hyperfs.volume.options import Options
from hyperfs.volume.volume import Volume

from .make_sample import Clock, describe, unpack

SAMPLES: Final = sorted(Path(__file__).parent.glob("v*/*.tar.xz"))


@pytest.fixture(params=SAMPLES, ids=lambda path: f"{path.parent.name}-{path.name}")
def archive(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture
def manifest(archive: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(archive.with_name(archive.name.replace(".tar.xz", ".json")).read_text())
    return found


@pytest.fixture
def store(archive: Path, tmp_path: Path) -> Path:
    return unpack(archive, tmp_path)


def device_keys(store: Path) -> DeviceKeys:
    return DeviceKeys.from_bytes(wrap.unwrap((store / folder.KEYS).read_bytes(), wrap.KIND_DEVICE))


@pytest.fixture
def read_only(store: Path) -> Iterator[Volume]:
    volume = open_volume(store, device_keys(store), Options(read_only=True))
    yield volume
    volume.parts.close()


def test_there_is_a_sample_of_every_format() -> None:
    formats = {path.parent.name for path in SAMPLES}
    assert formats == {f"v{number}" for number in range(1, len(formats) + 1)}


def test_every_version_is_what_the_manifest_says(read_only: Volume, manifest: dict[str, Any]) -> None:
    found = describe(read_only)
    for version, told in zip(found["versions"], manifest["versions"], strict=True):
        assert version == told
    for name, value in found.items():
        assert value == manifest[name], name


def test_nothing_in_it_is_damaged(read_only: Volume) -> None:
    report = verify(read_only.parts)
    assert report.damage == []
    assert report.checked["files"] > 100


def test_the_sample_of_deltas_has_chains_of_every_length() -> None:
    with tempfile.TemporaryDirectory() as folder_name:
        store = unpack(Path(__file__).parent / "v1" / "deltas.tar.xz", Path(folder_name))
        volume = open_volume(store, device_keys(store), Options(read_only=True))
        entries = [found for facts in volume.versions.all() for found in walk_extents(volume, facts.version)]
        volume.parts.close()
    assert {len(extent.bases) for extent in entries} == {0, 1, 2, 3, 4}
    assert {extent.slot == WHOLE_BLOCK for extent in entries if extent.bases} == {False, True}


def walk_extents(volume: Volume, version: int) -> list[Extent]:
    tree = volume.versions.tree(version)
    found = (extent_in(key, (value, hint)) for key, value, hint in walk(tree.load, tree.root))
    return [extent for extent in found if extent is not None]


def test_its_root_key_is_the_one_on_the_card(read_only: Volume, manifest: dict[str, Any]) -> None:
    root = recovery.from_text(manifest["recovery_key"])
    assert root.recovery_box().public_key == read_only.parts.chain.recovery_key


async def test_it_goes_on_as_before(store: Path, manifest: dict[str, Any]) -> None:
    """Opened for writing: what the journal held becomes a version, and history stays as it is."""
    clock = Clock()
    clock.now_ns = manifest["versions"][-1]["time_ns"] + 10**12
    keys = device_keys(store)
    async with open_volume(store, keys, Options(wall_ns=clock)).running() as volume:
        newest = volume.versions.newest.version
        assert newest == manifest["versions"][-1]["version"] + 1
        assert (volume.overlay.live.active.inodes, volume.files.dirty_bytes) == ({}, 0)
    again = open_volume(store, keys, Options(read_only=True))
    found = describe(again)
    assert found["versions"][:-1] == manifest["versions"]
    assert found["live"] == {"put": {}, "gone": []}
    assert found["versions"][-1]["gone"] == manifest["live"]["gone"]
    made, told = found["versions"][-1]["put"], manifest["live"]["put"]
    assert list(made) == list(told)
    for path, entry in made.items():
        # Only the commit says what version a new file was born in, and only then is tiny content counted as stored.
        assert entry["born"] in (newest, told[path].get("born")), path
        assert entry | {"born": 0, "stored": 0} == told[path] | {"born": 0, "stored": 0}, path
    again.parts.close()
