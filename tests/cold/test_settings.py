"""Names of places, which two are one, and places that can't be used."""

import pytest

from hyperfs.cold import settings
from hyperfs.errors import InvalidArgument, PlaceRefuses
from hyperfs.store.objects import AccessKey, parse_url
from tests.volume.conftest import Store

URL = "s3://backup/a/laptop?endpoint=http://nas:9000"


@pytest.mark.parametrize(
    ("url", "taken", "name"),
    [
        ("file:///mnt/nas/hyperfs", {}, "hyperfs"),
        ("file:///mnt/my%20nas", {}, "my-nas"),
        ("s3://backup", {}, "backup"),
        (URL, {}, "laptop"),
        (URL, {"laptop": "x"}, "laptop-2"),
        ("file:///local-only", {}, "local-only-2"),
        ("file:///...", {}, "cold"),
    ],
)
def test_a_place_without_a_name_gets_one_that_policies_can_say(url: str, taken: dict[str, str], name: str) -> None:
    assert settings.name_for(parse_url(url), taken) == name
    assert settings.check_name(name) == name


@pytest.mark.parametrize("name", ["", "local-only", "a,b", "-a", "a" * 65, "ä"])
def test_a_name_that_policies_can_not_say_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument):
        settings.check_name(name)


def test_a_place_is_the_same_however_it_is_written() -> None:
    one = parse_url(URL)
    assert settings.same_place(one, parse_url(URL + "/&class=STANDARD_IA&region=eu-west-1"))
    assert not settings.same_place(one, parse_url(URL.replace("laptop", "desktop")))
    assert settings.same_place(parse_url("file:///mnt/nas/"), parse_url("file:///mnt/nas"))


def test_a_bucket_without_credentials_says_so_to_every_question() -> None:
    objects = settings.open_place("nas", URL, {}, {"HOME": "/nonexistent"})
    for ask in (
        objects.prepare,
        lambda: objects.put("a", b"1"),
        lambda: objects.read("a", 0, 1),
        lambda: objects.info("a"),
        lambda: list(objects.list("a")),
        lambda: objects.remove("a"),
    ):
        with pytest.raises(PlaceRefuses, match="no credentials"):
            ask()


async def test_places_and_keys_are_remembered(store: Store) -> None:
    async with store.opened() as volume:
        await settings.remember(volume, "nas", "file:///mnt/nas")
        await settings.remember(volume, "office", URL)
        settings.keep_access_key(volume, "office", AccessKey("A", "B"))
    async with store.opened() as volume:
        assert settings.urls(volume) == {"nas": "file:///mnt/nas", "office": URL}
        assert settings.access_keys(volume) == {"office": AccessKey("A", "B")}
        await settings.remember(volume, "office", None)
        settings.keep_access_key(volume, "office", None)
    async with store.opened() as volume:
        assert settings.urls(volume) == {"nas": "file:///mnt/nas"}
        assert settings.access_keys(volume) == {}
