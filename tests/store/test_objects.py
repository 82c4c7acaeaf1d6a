"""One behaviour for all object stores, the errors of each, and URLs."""

import os
import resource
import shutil
import urllib.request
from collections.abc import Iterator
from hashlib import md5
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.errors import InvalidArgument, NoSuchObject, PlaceFull, PlaceRefuses, Unreachable
from hyperfs.store.object_folder import MARKER, FolderObjects
from hyperfs.store.object_memory import MemoryObjects
from hyperfs.store.objects import FILE, AccessKey, Location, Objects, parse_url
from hyperfs.store.s3 import S3Objects

from .s3_server import BUCKET, KEY, location, moto_server, server_of_faults

MANY = 1100 if os.environ.get("HYPERFS_ALL") == "1" else 20
"""Objects; S3 servers list up to 1,000 at once."""


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with moto_server() as address:
        yield address


@pytest.fixture(params=["memory", "folder", "S3 (moto)"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Objects]:
    made: Objects
    if request.param == "memory":
        made = MemoryObjects()
    elif request.param == "folder":
        made = FolderObjects(tmp_path / "place")
    else:
        address = request.getfixturevalue("moto")
        urllib.request.urlopen(urllib.request.Request(f"{address}/moto-api/reset", method="POST")).close()
        urllib.request.urlopen(urllib.request.Request(f"{address}/{BUCKET}", method="PUT")).close()
        made = S3Objects(location(address), KEY)
    made.prepare()
    return made


class TestAll:
    def test_what_was_put_is_listed_and_read(self, objects: Objects) -> None:
        objects.put("a/b/one", b"0123456789")
        objects.put("a/c/two", b"x" * 3000)
        objects.put("other", b"y")
        assert sorted((found.name, found.size) for found in objects.list("a")) == [("a/b/one", 10), ("a/c/two", 3000)]
        assert [found.name for found in objects.list("a/b")] == ["a/b/one"]
        assert objects.read("a/b/one", 0, 10) == b"0123456789"
        assert objects.read("a/b/one", 3, 4) == b"3"

    def test_a_folder_that_is_not_there_has_nothing(self, objects: Objects) -> None:
        objects.put("a/bc", b"1")
        assert list(objects.list("nothing")) == []
        assert list(objects.list("a/b")) == []

    def test_more_objects_than_a_page_has_are_all_listed(self, objects: Objects) -> None:
        names = {f"many/{number:04}" for number in range(MANY)}
        for name in names:
            objects.put(name, b"1")
        assert {found.name for found in objects.list("many")} == names

    def test_what_is_not_there_is_said_to_be_absent(self, objects: Objects) -> None:
        with pytest.raises(NoSuchObject):
            objects.read("a/none", 0, 1)
        with pytest.raises(NoSuchObject):
            objects.info("a/none")
        objects.remove("a/none")

    def test_a_removed_object_is_gone(self, objects: Objects) -> None:
        objects.put("a/one", b"1")
        objects.remove("a/one")
        assert list(objects.list("a")) == []
        with pytest.raises(NoSuchObject):
            objects.info("a/one")

    def test_an_object_that_is_put_again_is_replaced_and_has_another_tag(self, objects: Objects) -> None:
        objects.put("a/one", b"first")
        first = objects.info("a/one")
        objects.put("a/one", b"other")
        second = objects.info("a/one")
        assert objects.read("a/one", 0, 5) == b"other"
        assert first.tag
        assert first.tag != second.tag

    def test_what_is_listed_is_what_is_told_of_one(self, objects: Objects) -> None:
        objects.put("a/one", b"12")
        assert list(objects.list("a")) == [objects.info("a/one")]

    def test_less_than_was_asked_for_is_an_error(self, objects: Objects) -> None:
        objects.put("a/one", b"12345")
        for start, end in ((0, 6), (5, 6), (100, 101)):
            with pytest.raises(Unreachable):
                objects.read("a/one", start, end)

    def test_objects_of_eight_mebibytes(self, objects: Objects) -> None:
        data = os.urandom(8 << 20)
        objects.put("a/large", data)
        assert objects.info("a/large").size == len(data)
        assert objects.read("a/large", 5_000_000, 5_100_000) == data[5_000_000:5_100_000]


class TestFolder:
    def test_a_disk_that_is_not_mounted_is_unreachable_and_not_written_to(self, tmp_path: Path) -> None:
        objects = FolderObjects(tmp_path / "place")
        objects.prepare()
        objects.put("a/one", b"1")
        shutil.move(tmp_path / "place", tmp_path / "away")
        (tmp_path / "place").mkdir()
        for ask in (
            lambda: objects.put("a/two", b"2"),
            lambda: objects.read("a/one", 0, 1),
            lambda: objects.info("a/one"),
            lambda: list(objects.list("a")),
            lambda: objects.remove("a/one"),
        ):
            with pytest.raises(Unreachable, match="mounted"):
                ask()
        assert list((tmp_path / "place").iterdir()) == []

    def test_a_missing_parent_is_not_made(self, tmp_path: Path) -> None:
        with pytest.raises(Unreachable, match="mounted"):
            FolderObjects(tmp_path / "no" / "place").prepare()
        assert list(tmp_path.iterdir()) == []

    def test_what_a_killed_writer_left_is_not_listed(self, tmp_path: Path) -> None:
        objects = FolderObjects(tmp_path)
        objects.prepare()
        objects.put("a/one", b"1")
        (tmp_path / "a" / "two.7-1.new").write_bytes(b"half")
        assert [found.name for found in objects.list("a")] == ["a/one"]

    def test_nobody_else_may_read_it(self, tmp_path: Path) -> None:
        objects = FolderObjects(tmp_path / "place")
        objects.prepare()
        objects.put("a/one", b"1")
        modes = {path.relative_to(tmp_path).as_posix(): path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
        assert modes == {"place": 0o700, "place/a": 0o700, "place/a/one": 0o600, f"place/{MARKER}": 0o600}

    def test_a_full_disk_leaves_no_part_of_an_object(self, tmp_path: Path) -> None:
        objects = FolderObjects(tmp_path)
        objects.prepare()
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))  # past it the kernel says EFBIG
        try:
            with pytest.raises(PlaceFull):
                objects.put("a/one", bytes(10_000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert list((tmp_path / "a").iterdir()) == []

    @pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../b", "a//b", ""])
    def test_no_name_leads_out_of_it(self, tmp_path: Path, name: str) -> None:
        objects = FolderObjects(tmp_path)
        objects.prepare()
        with pytest.raises(ValueError, match="no object"):
            objects.put(name, b"1")


DENIED = b"<Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>AKIDOFTESTS</AWSAccessKeyId></Error>"


class TestS3:
    @pytest.mark.parametrize(
        ("status", "body", "kind", "says"),
        [
            (403, DENIED, PlaceRefuses, "403"),
            (401, b"", PlaceRefuses, "401"),
            (507, b"", PlaceFull, "507"),
            (403, b"<Error><Code>QuotaExceeded</Code></Error>", PlaceFull, "QuotaExceeded"),
            (404, b"<Error><Code>NoSuchBucket</Code></Error>", Unreachable, "bucket does not exist"),
            (400, b"", Unreachable, "400"),
            (500, b"", Unreachable, "500"),
            (301, b"", Unreachable, "region"),
        ],
    )
    def test_what_a_server_answers_is_told_without_its_words(
        self, status: int, body: bytes, kind: type[Unreachable], says: str
    ) -> None:
        with server_of_faults() as (address, answers):
            answers.status, answers.body = status, body
            objects = S3Objects(location(address), KEY)
            for ask in (
                lambda: objects.put("a", b"1"),
                lambda: objects.read("a", 0, 1),
                lambda: list(objects.list("a")),
            ):
                with pytest.raises(kind, match=says) as caught:
                    ask()
                assert type(caught.value) is kind
                assert "AKID" not in str(caught.value)

    def test_a_server_that_ignores_the_range_is_not_believed(self) -> None:
        with server_of_faults() as (address, answers):
            answers.body = b"0123456789"
            with pytest.raises(Unreachable, match="other bytes"):
                S3Objects(location(address), KEY).read("a", 2, 4)

    def test_nobody_there(self) -> None:
        with pytest.raises(Unreachable, match="refused"):
            S3Objects(location("http://127.0.0.1:1"), KEY).info("a")

    def test_the_class_is_sent_and_the_secret_is_not(self) -> None:
        with server_of_faults() as (address, answers):
            assert S3Objects(location(address), KEY).put("a", b"1", "STANDARD_IA")
            [(method, path, headers)] = answers.asked
            assert (method, path) == ("PUT", f"/{BUCKET}/a/prefix/a")
            assert headers["x-amz-storage-class"] == "STANDARD_IA"
            assert KEY.secret not in str(headers)

    def test_a_class_that_the_server_refuses_is_left_out(self, moto: str) -> None:
        urllib.request.urlopen(urllib.request.Request(f"{moto}/{BUCKET}", method="PUT")).close()
        objects = S3Objects(location(moto), KEY)
        assert objects.put("a", b"1", "GLACIER_IR")
        assert not objects.put("a", b"12", "NO_SUCH_CLASS")
        assert objects.info("a").size == 2

    def test_with_other_errors_nothing_is_said_of_the_class(self) -> None:
        with server_of_faults() as (address, answers):
            answers.status, answers.body = 403, b"<Error><Code>AccessDenied</Code></Error>"
            with pytest.raises(PlaceRefuses):
                S3Objects(location(address), KEY).put("a", b"1", "STANDARD_IA")
            assert ["x-amz-storage-class" in headers for _, _, headers in answers.asked] == [True, False]

    def test_credentials_of_the_environment_do_not_mix_with_ours(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "OTHER")
        monkeypatch.setenv("AWS_SESSION_TOKEN", "token-of-another")
        with server_of_faults() as (address, answers):
            S3Objects(location(address), KEY).put("a", b"1")
            [(_, _, headers)] = answers.asked
            assert "token-of-another" not in str(headers)
            assert "AKIDOFTESTS" in headers["authorization"]

    def test_the_md5_of_the_bytes_is_the_tag(self, moto: str) -> None:
        urllib.request.urlopen(urllib.request.Request(f"{moto}/{BUCKET}", method="PUT")).close()
        objects = S3Objects(location(moto), KEY)
        objects.put("a", b"some bytes")
        assert objects.info("a").tag == md5(b"some bytes").hexdigest()


class TestUrl:
    def test_a_folder(self) -> None:
        assert parse_url("file:///mnt/nas/hyperfs/") == Location(FILE, path="/mnt/nas/hyperfs")
        assert parse_url("file:///mnt/my%20nas").path == "/mnt/my nas"

    def test_a_bucket(self) -> None:
        found = parse_url("s3://backup/a/b?endpoint=http://nas:9000&region=eu-central-1&class=GLACIER_IR")
        assert found == Location("s3", "backup", "a/b", "http://nas:9000", "eu-central-1", "GLACIER_IR")

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "backup",
            "/mnt/nas",
            "file://nas/x",
            "file:///",
            "file:///a/../b",
            "file:///a?x=1",
            "ftp://host/x",
            "s3://",
            "s3://b/a//b",
            "s3://b/../a",
            "s3://backup?endpoint=nas:9000",
            "s3://backup?endpoint=http://",
            "s3://backup?class=DEEP_ARCHIVE",
            "s3://backup?secret=x",
            "s3://backup?region=EU",
            "s3://backup#part",
            "s3://[x",
        ],
    )
    def test_what_is_no_store_is_refused_with_an_example(self, url: str) -> None:
        with pytest.raises(InvalidArgument):
            parse_url(url)

    @pytest.mark.parametrize("url", ["s3://AKID:TOPSECRET@backup/x", "s3://backup?endpoint=http://AKID:TOPSECRET@nas"])
    def test_credentials_in_it_are_refused_and_not_repeated(self, url: str) -> None:
        with pytest.raises(InvalidArgument) as caught:
            parse_url(url)
        assert "TOPSECRET" not in str(caught.value)

    @given(st.text(max_size=60))
    def test_any_text_is_a_place_or_refused(self, text: str) -> None:
        for url in (text, f"s3://{text}", f"file://{text}", f"s3://backup?endpoint={text}"):
            try:
                parse_url(url)
            except InvalidArgument:
                continue


def test_a_key_is_not_shown() -> None:
    assert "secret" not in repr(AccessKey("id", "secret", "token"))
