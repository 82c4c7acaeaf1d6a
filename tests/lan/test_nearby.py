import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.errors import Corrupt
from hyperfs.lan.nearby import PLACES_MOST, SHUNNED_SECONDS, Heard, Nearby, parse

NAMES = {"now"}


@pytest.mark.parametrize("host", ["192.168.1.5", "10.0.0.1", "172.20.1.1", "169.254.3.4", "fd00::7", "fe80::1%eth0"])
def test_places_of_this_network_are_worth_a_try(host: str) -> None:
    nearby = Nearby()
    assert nearby.hear(Heard("now", host, 4780), NAMES, 0.0)
    assert not nearby.hear(Heard("now", host, 4780), NAMES, 0.0), "it is known"
    assert nearby.places() == [(host, 4780)]


@pytest.mark.parametrize(
    "host",
    [
        "8.8.8.8", "2001:4860:4860::8888", "127.0.0.1", "::1", "0.0.0.0", "::", "224.0.0.1", "ff02::1",
        "255.255.255.255", "192.0.2.1", "100.64.0.1", "172.32.0.1", "::ffff:8.8.8.8", "::ffff:127.0.0.1", "example.org",
        "", "10.0.0.1; x",
    ],
)  # fmt: skip
def test_an_announcement_leads_nowhere_else(host: str) -> None:
    nearby = Nearby()
    assert not nearby.hear(Heard("now", host, 4780), NAMES, 0.0)
    assert nearby.places() == []


@pytest.mark.parametrize("port", [-1, 0, 22, 1023, 65_536])
def test_an_announcement_does_not_lead_to_a_machines_old_services(port: int) -> None:
    assert not Nearby().hear(Heard("now", "10.0.0.1", port), NAMES, 0.0)


def test_names_of_others_mean_nothing() -> None:
    assert not Nearby().hear(Heard("other", "10.0.0.1", 4780), NAMES, 0.0)


def test_whoever_repeats_a_name_fills_no_memory() -> None:
    nearby = Nearby()
    for port in range(2000, 2000 + 10 * PLACES_MOST):
        nearby.hear(Heard("now", "10.0.0.1", port), NAMES, 0.0)
    assert len(nearby.places()) == PLACES_MOST
    assert nearby.places()[0] == ("10.0.0.1", 2000 + 10 * PLACES_MOST - 1)
    for port in range(2000, 4000):
        nearby.shun(("10.0.0.1", port), 0.0)
    assert len(nearby._shunned) == 256


def test_where_somebody_else_answered_is_not_tried_for_an_hour() -> None:
    nearby, place = Nearby(), ("10.0.0.1", 4780)
    nearby.hear(Heard("now", *place), NAMES, 0.0)
    nearby.shun(place, 10.0)
    assert nearby.places() == []
    assert not nearby.hear(Heard("now", *place), NAMES, 10.0 + SHUNNED_SECONDS - 1)
    assert nearby.hear(Heard("now", *place), NAMES, 10.0 + SHUNNED_SECONDS)


def test_what_is_taken_back_is_forgotten() -> None:
    nearby = Nearby()
    nearby.hear(Heard("now", "10.0.0.1", 4780), NAMES, 0.0)
    nearby.gone("other")
    assert len(nearby.places()) == 1
    nearby.gone("now")
    assert nearby.places() == []


def test_lines_of_the_child() -> None:
    line = json.dumps({"name": "n", "hosts": ["10.0.0.1", "fd00::1"], "port": 5}).encode()
    assert parse(line) == ([Heard("n", "10.0.0.1", 5), Heard("n", "fd00::1", 5)], "")
    assert parse(b'{"gone": "n"}') == ([], "n")


@pytest.mark.parametrize(
    "line",
    [
        b"", b"{", b"[]", b"{}", b'{"gone": 5}', b'{"name": "n", "hosts": "h", "port": 5}', b"[" * 100_000,
        b'{"name": "n", "hosts": [], "port": true}', b'{"name": 5, "hosts": [], "port": 5}', b"\xff",
        b'{"name": "n", "hosts": [5], "port": 5}', b'{"gone": "%s"}' % (b"x" * 300),
        json.dumps({"name": "n", "hosts": ["10.0.0.1"] * 33, "port": 5}).encode(),
    ],
)  # fmt: skip
def test_lines_that_are_none(line: bytes) -> None:
    with pytest.raises(Corrupt):
        parse(line)


@given(st.text(), st.integers())
def test_any_host_is_looked_at_without_a_fault(host: str, port: int) -> None:
    Nearby().hear(Heard("now", host, port), NAMES, 0.0)
