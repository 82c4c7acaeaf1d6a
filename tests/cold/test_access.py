"""Where credentials come from, and that those which are kept can't be read without the drive's key."""

import pytest

from hyperfs.cold.access import AccessKeys, of_environment, parse_access_key
from hyperfs.errors import Corrupt, FormatTooNew, InvalidArgument
from hyperfs.store.objects import AccessKey

FILE = """
[default]
aws_access_key_id = AKID
aws_secret_access_key = se=cr%et
region = eu-central-1

[nas]
aws_access_key_id = OTHER
aws_secret_access_key = other
aws_session_token = token
"""
KEYS = {"nas": AccessKey("AKID", "TOPSECRET"), "office": AccessKey("OTHER", "secret", "token")}


def test_a_profile_of_a_file() -> None:
    assert parse_access_key(FILE) == AccessKey("AKID", "se=cr%et")
    assert parse_access_key(FILE, "nas") == AccessKey("OTHER", "other", "token")
    assert parse_access_key(FILE, "none") is None


def test_a_file_of_a_key_alone() -> None:
    assert parse_access_key("aws_access_key_id=A\naws_secret_access_key=B\n") == AccessKey("A", "B")


@pytest.mark.parametrize(
    "text",
    ["TOPSECRET", "aws_access_key_id = TOPSECRET", "[default]\n", "[default", "aws_secret_access_key=\tTOPSECRET\n"],
)
def test_what_is_no_key_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_access_key(text)
    assert "TOPSECRET" not in str(caught.value)


def test_the_environment_comes_before_the_profile() -> None:
    environ = {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "B", "AWS_SESSION_TOKEN": "C"}
    assert of_environment(environ, FILE) == AccessKey("A", "B", "C")
    assert of_environment({"AWS_ACCESS_KEY_ID": "A"}, FILE) == AccessKey("AKID", "se=cr%et")
    assert of_environment({"AWS_PROFILE": "nas"}, FILE) == AccessKey("OTHER", "other", "token")
    assert of_environment({}, None) is None


def test_kept_keys_come_back_and_are_sealed() -> None:
    data = AccessKeys(bytes(32)).encode(KEYS)
    assert AccessKeys(bytes(32)).decode(data) == KEYS
    assert b"TOPSECRET" not in data
    with pytest.raises(Corrupt):
        AccessKeys(bytes(31) + b"\1").decode(data)


def test_every_flipped_bit_is_found() -> None:
    data = AccessKeys(bytes(32)).encode(KEYS)
    for bit in range(len(data) * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises((Corrupt, FormatTooNew)):
            AccessKeys(bytes(32)).decode(bytes(changed))
