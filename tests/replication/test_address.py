"""Addresses of peers: one form, and clear words for all that is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.errors import BadRequest
from hyperfs.replication.address import Address, Endpoint, parse, parse_endpoint

KEY = bytes(range(32))

hosts = st.one_of(
    st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,60}[a-z0-9])?", fullmatch=True),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
)


@given(st.binary(min_size=32, max_size=32), hosts, st.integers(1, 65_535))
def test_every_address_comes_back(key: bytes, host: str, port: int) -> None:
    address = Address(key, Endpoint(host, port))
    assert parse(str(address)) == address
    assert parse(f"  {address}/\n") == address


def test_what_they_look_like() -> None:
    assert str(Address(KEY, Endpoint("cloud.example", 4780))) == f"hyperfs://{KEY.hex()}@cloud.example:4780"
    assert str(Address(KEY, Endpoint("fe80::1", 1))) == f"hyperfs://{KEY.hex()}@[fe80::1]:1"
    assert parse(f"hyperfs://{KEY.hex().upper()}@[fe80::1%eth0]:9").endpoint == Endpoint("fe80::1%eth0", 9)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cloud.example:4780",
        f"hyper://{KEY.hex()}@cloud.example:4780",
        f"hyperfs://{KEY.hex()[:-1]}@cloud.example:4780",
        f"hyperfs://{KEY.hex()}@cloud.example",
        f"hyperfs://{KEY.hex()}@cloud.example:0",
        f"hyperfs://{KEY.hex()}@cloud.example:65536",
        f"hyperfs://{KEY.hex()}@fe80::1:4780",
        f"hyperfs://{KEY.hex()}@[cloud]:4780",
        f"hyperfs://{KEY.hex()}@cloud example:4780",
        f"hyperfs://{KEY.hex()}@cloud\x1b:4780",
        f"hyperfs://{KEY.hex()}@{'a' * 254}:4780",
    ],
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        parse(text)


def test_the_system_may_choose_a_port_where_that_is_said() -> None:
    assert parse_endpoint("127.0.0.1:0", least_port=0) == Endpoint("127.0.0.1", 0)
    with pytest.raises(BadRequest, match="no port"):
        parse_endpoint("127.0.0.1:0")
