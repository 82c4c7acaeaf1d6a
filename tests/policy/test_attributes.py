"""What policies may say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.errors import InvalidArgument
from hyperfs.policy.attributes import CLASS, COMPUTED, COPIES, KEEP, PLACES, PREFIX, PROTECT, VALUES, check

RIGHT = {
    CLASS: (b"hot", b"auto", b"cold", b"archive"),
    PROTECT: (b"none", b"trash", b"nodelete", b"lock"),
    COPIES: tuple(b"%d" % number for number in range(1, 10)),
    PLACES: (b"local-only", b"nas", b"nas,office", b"s3-eu.1,a_b"),
    KEEP: (b"30d", b"1y", b"all", b"10 versions"),
}
WRONG = {
    CLASS: (b"", b"Hot", b"warm", b"hot ", b"hot\0"),
    PROTECT: (b"", b"locked", b"trash\n"),
    COPIES: (b"", b"0", b"10", b"-1", b"01", b"\xb2", b"1.5"),
    PLACES: (b"", b",", b"nas,", b"nas, office", b"nas,nas", b"nas,local-only", b"-a", b"a/b", b"\xff", b"a" * 65),
    KEEP: (b"", b"30 days", b"forever"),
}


def test_every_value_of_the_contract_is_taken() -> None:
    assert RIGHT.keys() == VALUES.keys()
    for name, values in RIGHT.items():
        for value in values:
            check(name, value)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_value_is_refused(name: bytes, value: bytes) -> None:
    with pytest.raises(InvalidArgument):
        check(name, value)


@given(st.sampled_from([CLASS, PROTECT, COPIES]), st.binary(max_size=9))
def test_nothing_else_is_taken(name: bytes, value: bytes) -> None:
    try:
        check(name, value)
    except InvalidArgument:
        assert value not in RIGHT[name]
    else:
        assert value in RIGHT[name]


def test_what_is_computed_is_not_set() -> None:
    assert not COMPUTED & VALUES.keys()
    assert {name.removeprefix(PREFIX) for name in COMPUTED} == {
        b"policy", b"version", b"resident", b"copies_now", b"link",
    }  # fmt: skip
