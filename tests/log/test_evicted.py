"""The record of what is elsewhere, as bytes. How it is kept is tried in tests/volume/test_residence.py."""

import pytest

from hyperfs.errors import Corrupt, FormatTooNew
from hyperfs.log import evicted
from hyperfs.log.evicted import Evicted


def _tag(data: bytes) -> bytes:
    return sum(data).to_bytes(evicted.TAG_BYTES)


def test_only_the_present_form_is_read() -> None:
    body = evicted.encode(Evicted(), _tag)[: -evicted.TAG_BYTES]
    at = len(evicted.MAGIC)
    assert evicted.encode(evicted.decode(body + _tag(body), _tag, 0), _tag) == body + _tag(body)
    for number, raised in ((0, Corrupt), (2, FormatTooNew)):
        other = body[:at] + number.to_bytes(4, "little") + body[at + 4 :]
        with pytest.raises(raised):
            evicted.decode(other + _tag(other), _tag, 0)
