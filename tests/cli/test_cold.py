"""hyperfs cold: a folder and a bucket as places of a drive, on a machine of their own."""

import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.s3_server import BUCKET, moto_server

from .machine import Machine

SECRET = "TOPSECRETOFTESTS"


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with moto_server() as address:
        urllib.request.urlopen(urllib.request.Request(f"{address}/{BUCKET}", method="PUT")).close()
        yield address


@pytest.fixture
def drive(machine: Machine) -> Machine:
    """Not mounted."""
    machine.init()
    return machine


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """The same, for what is refused and changes nothing."""
    made = Machine(tmp_path_factory.mktemp("refusing"))
    made.init()
    yield made
    made.end()


def folder(machine: Machine) -> str:
    return f"file://{machine.folder}/nas"


def key_file(machine: Machine, mode: int = 0o600) -> Path:
    path = machine.folder / "key"
    path.write_text(f"[default]\naws_access_key_id = AKID\naws_secret_access_key = {SECRET}\n")
    path.chmod(mode)
    return path


class TestAFolder:
    def test_it_is_added_listed_and_removed(self, drive: Machine) -> None:
        added = drive.run("cold", "add", folder(drive), drive.store)
        assert f"nas is a cold store now: {folder(drive)}" in added.stdout
        assert "same disk" in added.stderr
        [place] = drive.facts("cold", "list", drive.store)["places"]
        assert (place["name"], place["url"], place["objects"], place["trouble"]) == ("nas", folder(drive), 0, None)
        assert drive.facts("status", drive.store)["cold_stores"] == [place]
        assert "nas" in drive.run("cold", "list", drive.store).stdout
        assert drive.facts("cold", "remove", folder(drive), drive.store)["name"] == "nas"
        assert drive.facts("cold", "list", drive.store)["places"] == []
        assert "There is no cold store" in drive.run("cold", "list", drive.store).stdout

    def test_a_probe_leaves_nothing_but_the_marker(self, drive: Machine) -> None:
        drive.run("cold", "add", folder(drive), drive.store, "--name", "office")
        assert [path.name for path in (drive.folder / "nas").rglob("*") if path.is_file()] == ["hyperfs-cold"]

    def test_one_that_can_not_be_reached_is_not_added(self, refusing: Machine) -> None:
        drive = refusing
        said = drive.run("cold", "add", f"file://{drive.folder}/no/nas", drive.store, code=4).stderr
        assert "not mounted" in said
        assert drive.facts("cold", "list", drive.store)["places"] == []

    def test_one_that_went_away_is_told(self, drive: Machine) -> None:
        drive.run("cold", "add", folder(drive), drive.store)
        (drive.folder / "nas" / "hyperfs-cold").unlink()
        [place] = drive.facts("cold", "list", drive.store, "--check")["places"]
        assert "not mounted" in place["trouble"]
        assert "not mounted" in drive.run("cold", "list", drive.store, "--check").stderr

    @pytest.mark.parametrize("where", ["store/x", "store"])
    def test_it_is_no_folder_of_the_store(self, refusing: Machine, where: str) -> None:
        drive = refusing
        assert "own store" in drive.run("cold", "add", f"file://{drive.folder}/{where}", drive.store, code=5).stderr

    def test_one_place_has_one_name(self, drive: Machine) -> None:
        drive.run("cold", "add", folder(drive), drive.store)
        said = drive.run("cold", "add", folder(drive) + "/", drive.store, "--name", "other", code=5).stderr
        assert "count its copy twice" in said
        said = drive.run("cold", "add", f"file://{drive.folder}/other", drive.store, "--name", "nas", code=5).stderr
        assert "another cold store" in said
        drive.run("cold", "add", folder(drive), drive.store)

    def test_a_place_that_is_not_there_can_not_be_removed(self, refusing: Machine) -> None:
        drive = refusing
        assert "no cold store 'nas'" in drive.run("cold", "remove", "nas", drive.store, code=1).stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["/mnt/nas"], "file:///mnt/nas"),
        (["ftp://host/x"], "is no store"),
        (["file:///tmp/x", "--name", "local-only"], "no name of a place"),
        (["file:///tmp/x", "--name", "a,b"], "no name of a place"),
        ([f"s3://AKID:{SECRET}@backup/x"], "no credentials"),
    ],
)
def test_wrong_usage_says_what_is_right(refusing: Machine, arguments: list[str], says: str) -> None:
    drive = refusing
    said = drive.run("cold", "add", arguments[0], drive.store, *arguments[1:], code=2).stderr
    assert says in said
    assert SECRET not in said


class TestABucket:
    def test_it_is_added_with_a_key_from_a_file_which_is_kept_sealed(self, drive: Machine, s3: str) -> None:
        url = f"s3://{BUCKET}/laptop?endpoint={s3}"
        drive.run("cold", "add", url, drive.store, "--access-key-file", key_file(drive))
        [place] = drive.facts("cold", "list", drive.store, "--check")["places"]
        assert (place["name"], place["trouble"]) == ("laptop", None)
        kept = drive.store / "access-keys"
        assert kept.stat().st_mode & 0o777 == 0o600
        assert SECRET.encode() not in kept.read_bytes()
        drive.run("cold", "remove", "laptop", drive.store)
        assert len(kept.read_bytes()) < 60

    def test_it_is_added_with_a_key_from_the_environment(self, drive: Machine, s3: str) -> None:
        url = f"s3://{BUCKET}/laptop?endpoint={s3}"
        said = drive.run("cold", "add", url, drive.store, code=5).stderr
        assert "there are no credentials" in said
        drive.run("cold", "add", url, drive.store, AWS_ACCESS_KEY_ID="AKID", AWS_SECRET_ACCESS_KEY=SECRET)
        assert not (drive.store / "access-keys").exists()

    def test_it_is_added_with_a_key_from_the_profile(self, drive: Machine, s3: str) -> None:
        (drive.folder / ".aws").mkdir()
        key_file(drive).rename(drive.folder / ".aws" / "credentials")
        drive.run("cold", "add", f"s3://{BUCKET}/laptop?endpoint={s3}", drive.store)

    def test_a_bucket_that_is_not_there(self, refusing: Machine, s3: str) -> None:
        drive = refusing
        url = f"s3://none-such/x?endpoint={s3}"
        said = drive.run("cold", "add", url, drive.store, "--access-key-file", key_file(drive), code=4).stderr
        assert "the bucket does not exist" in said

    def test_a_key_that_others_can_read_is_refused(self, refusing: Machine, s3: str) -> None:
        drive = refusing
        url = f"s3://{BUCKET}/x?endpoint={s3}"
        said = drive.run("cold", "add", url, drive.store, "--access-key-file", key_file(drive, 0o644), code=5).stderr
        assert "others can read" in said

    def test_a_file_that_has_no_key(self, refusing: Machine, s3: str) -> None:
        drive = refusing
        path = drive.folder / "key"
        path.write_text(f"{SECRET}\n")
        path.chmod(0o600)
        said = drive.run("cold", "add", f"s3://{BUCKET}?endpoint={s3}", drive.store, "--access-key-file", path, code=2)
        assert "aws_access_key_id" in said.stderr
        assert SECRET not in said.stderr


class TestMounted:
    def test_a_mounted_drive_has_it_at_once_and_after_a_remount(self, mounted: Machine, s3: str) -> None:
        url = f"s3://{BUCKET}/mounted?endpoint={s3}"
        mounted.run("cold", "add", url, mounted.point, "--access-key-file", key_file(mounted))
        mounted.run("cold", "add", folder(mounted), mounted.point)
        assert [p["name"] for p in mounted.facts("cold", "list", mounted.point)["places"]] == ["mounted", "nas"]
        mounted.unmount()
        mounted.mount()
        places = mounted.facts("cold", "list", mounted.point, "--check")["places"]
        assert [(place["name"], place["trouble"]) for place in places] == [("mounted", None), ("nas", None)]
        log = "".join(path.read_text(errors="replace") for path in mounted.folder.rglob("*.log"))
        assert SECRET not in log

    def test_its_own_mount_is_no_place(self, mounted: Machine) -> None:
        os.mkdir(mounted.point / "inside")
        url = f"file://{mounted.point}/inside"
        assert "in a mounted drive" in mounted.run("cold", "add", url, mounted.point, code=5).stderr


def test_the_help_has_an_example(machine: Machine) -> None:
    for words in (["cold"], ["cold", "add"], ["cold", "list"], ["cold", "remove"]):
        assert "Example:  hyperfs cold" in machine.run(*words, "--help").stdout
