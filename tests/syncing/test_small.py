"""When a peer is tried again, what is wrong with one in words, and what the drive remembers of it."""

import pytest

from hyperfs.daemon.exit_codes import exit_code_of
from hyperfs.errors import (
    BadRequest,
    Contradiction,
    Corrupt,
    HyperfsError,
    InvalidArgument,
    Misbehaved,
    NotHeld,
    PlaceFull,
    Refused,
    Unreachable,
)
from hyperfs.replication import address
from hyperfs.syncing import settings
from hyperfs.syncing.attesting import Broken
from hyperfs.syncing.backoff import MOST_SECONDS, wait_after
from hyperfs.syncing.settings import Known, Limits, name_for, read_rate
from hyperfs.syncing.stranded import Stranding
from hyperfs.syncing.trouble import trouble_of
from tests.volume.conftest import Store

from .conftest import running

KEY = "ab" * 32
WHERE = address.parse(f"hyperfs://{KEY}@cloud.example.org:4780")


def test_waits_double_up_to_five_minutes_and_vary_by_a_quarter() -> None:
    assert [wait_after(failures, lambda n: n // 2) for failures in (0, 1, 2, 3, 9, 50)] == [0, 1, 2, 4, 256, 300]
    assert wait_after(50, lambda n: 0) == MOST_SECONDS * 0.75
    assert wait_after(50, lambda n: n - 1) == MOST_SECONDS * 1.25


@pytest.mark.parametrize(
    ("error", "code", "loud", "says"),
    [
        (Unreachable("no route"), 4, False, "can't be reached: no route: it is tried again"),
        (ConnectionRefusedError(111, "Connection refused"), 4, False, "can't be reached: Connection refused"),
        (Misbehaved("a frame of 0 bytes"), 4, False, "a frame"),
        (PlaceFull("the peer says: over its quota"), 1, True, "raise the quota"),
        (NotHeld("no such drive"), 5, True, "hyperfs peer invite"),
        (Contradiction("two histories"), 3, True, "nothing more goes there"),
        (Broken("other bytes"), 3, True, "counted for nothing"),
        (Corrupt("an answer that says nothing"), 3, True, "counted for nothing"),
        (Refused("the log is closed"), 5, False, "the log is closed: it is tried again"),
        (BadRequest("method 9"), 5, False, "method 9"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(error: Exception, code: int, loud: bool, says: str) -> None:
    trouble = trouble_of(error)
    assert says in trouble.words("cloud")
    assert trouble.words("cloud").startswith("the peer cloud")
    assert trouble.is_loud == loud
    assert exit_code_of(trouble.raised("cloud")) == code


async def test_what_is_stranded_and_can_not_be_looked_for_ends_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[object] = []

    def broken(home: object) -> None:
        looked.append(home)
        raise RuntimeError("a defect")

    monkeypatch.setattr("hyperfs.syncing.stranded.stranded", broken)
    async with running(store) as side:
        await Stranding(side.peers.home, "cloud").look()
        assert looked == [side.peers.home]


def test_a_peer_goes_into_a_setting_and_back() -> None:
    known = Known("cloud", WHERE, 1_795_000_000_000_000_000)
    assert Known.decode("cloud", known.encode()) == known
    assert Known.decode("cloud", known.encode() + b" and more of a later version") == known
    with pytest.raises(BadRequest):
        Known.decode("cloud", b"nonsense")


@pytest.mark.parametrize("limits", [Limits(), Limits(500 << 10, 2 << 20, "yes"), Limits(0, 1, "no")])
def test_limits_go_into_a_setting_and_back(limits: Limits) -> None:
    assert Limits.decode(limits.encode()) == limits
    assert Limits.decode(limits.encode() + b" more=1") == limits


def test_limits_that_nobody_understands_are_none() -> None:
    assert Limits.decode(b"up=-3 down=x metered=perhaps \xff") == Limits()


def test_rates_are_bytes_a_second() -> None:
    assert [read_rate(text) for text in ("none", "0", "800", "500K", "2M")] == [0, 0, 800, 512_000, 2 << 20]
    for wrong in ("fast", "-1", "2M/s", "1.5M", ""):
        with pytest.raises(InvalidArgument):
            read_rate(wrong)


def test_a_name_comes_from_the_host() -> None:
    assert name_for(WHERE, ()) == "cloud"
    assert name_for(WHERE, ("cloud", "cloud-2")) == "cloud-3"
    assert name_for(address.parse(f"hyperfs://{KEY}@[::1]:1"), ()) == "cloud"
    assert name_for(address.parse(f"hyperfs://{KEY}@nas:1"), ()) == "nas"


async def test_a_peer_is_remembered_in_the_drive_and_names_are_places(store: Store) -> None:
    known = Known("cloud", WHERE, 7)
    other = address.parse(f"hyperfs://{'cd' * 32}@other:1")
    async with store.opened() as volume:
        await settings.remember(volume, "cloud", known)
    async with store.opened() as volume:
        assert settings.known(volume) == {"cloud": known}
        settings.check_new(volume, "cloud", WHERE._replace(endpoint=other.endpoint))  # it has moved
        refused: list[tuple[str, address.Address, type[HyperfsError], str]] = [
            ("cloud", other, Refused, "another peer"),
            ("twice", WHERE, Refused, "count its copy twice"),
            ("local-only", other, InvalidArgument, "no name of a place"),
            ("a,b", other, InvalidArgument, "no name of a place"),
        ]
        for name, where, kind, says in refused:
            with pytest.raises(kind, match=says):
                settings.check_new(volume, name, where)
        await settings.remember(volume, "cloud", None)
        assert settings.known(volume) == {}
