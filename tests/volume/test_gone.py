"""The marks of versions that were let go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.errors import Corrupt
from hyperfs.volume import gone, keys
from hyperfs.volume.entries import Gone, encode_gone
from hyperfs.volume.gone import BY_HAND, GoneVersions

VERSIONS = st.lists(st.sets(st.integers(1, 40), max_size=12), max_size=4)


@given(VERSIONS)
def test_the_marks_hold_all_that_was_let_go_and_nothing_else(batches: list[set[int]]) -> None:
    facts: dict[bytes, bytes] = {}
    done: set[int] = set()
    for when, batch in enumerate(batches):
        changes = GoneVersions(facts).with_more([(1, version) for version in batch - done], when, 0, BY_HAND)
        facts = {key: value for key, value in {**facts, **changes}.items() if value is not None}
        done |= batch
    found = GoneVersions(facts)
    assert {version for version in range(60) if found.has(version)} == done
    assert found.count() == len(done)
    whole = next(version for version in range(1, 60) if version not in done) - 1
    assert [version for version in range(60) if found.has_all_through(version)] == list(range(whole + 1))
    ends = [(r.first, r.gone.last) for r in found.ranges]
    assert len(ends) == sum(version - 1 not in done for version in done), "ranges that touch are one"


def test_ranges_by_different_rules_stay_apart_and_joined_ones_have_the_later_time() -> None:
    facts = GoneVersions({}).with_more([(1, 1), (1, 2)], 100, 0, BY_HAND)
    facts |= GoneVersions({k: v for k, v in facts.items() if v}).with_more([(1, 3)], 200, 0, BY_HAND)
    kept = {key: value for key, value in facts.items() if value is not None}
    assert GoneVersions(kept).of(1) == Gone(3, 200, 0, BY_HAND)
    kept |= {k: v for k, v in GoneVersions(kept).with_more([(1, 4)], 300, 0, 1).items() if v is not None}
    assert GoneVersions(kept).of(3) == Gone(3, 200, 0, BY_HAND)
    assert GoneVersions(kept).of(4) == Gone(4, 300, 0, 1)


def test_versions_of_two_devices_have_marks_of_their_own() -> None:
    facts = GoneVersions({}).with_more([(1, 1), (1, 2), (2, 3)], 100, 0, BY_HAND)
    found = GoneVersions({key: value for key, value in facts.items() if value is not None})
    assert [(r.device, r.first, r.gone.last) for r in found.ranges] == [(1, 1, 2), (2, 3, 3)]
    assert found.has_all_through(3)


def test_a_mark_that_ends_before_it_begins_is_corrupt() -> None:
    with pytest.raises(Corrupt, match="before it begins"):
        GoneVersions({keys.gone_versions_key(1, 5): encode_gone(Gone(4, 0, 0, BY_HAND))})
    with pytest.raises(Corrupt, match="impossible key"):
        GoneVersions({gone.PREFIX + b"xx": encode_gone(Gone(4, 0, 0, BY_HAND))})
