"""What a chain's clears mean: deeds, what intents have left, who took them back."""

from hypothesis import given
from hypothesis import strategies as st

from hyperfs.log.cleared import runs_of
from hyperfs.log.control_codec import Clear, ClearDeed, ClearIntent
from hyperfs.peer.clears import Deed, clears_of, is_taken_back, unwanted, waiting, without

from .conftest import CONTENT, METADATA, Owner

blocks = st.sets(st.integers(0, 60))


@given(blocks, blocks)
def test_what_is_cut_out_is_not_in_it(here: set[int], cut: set[int]) -> None:
    found = without(runs_of(sorted(here)), runs_of(sorted(cut)))
    assert list(found) == list(runs_of(sorted(here - cut)))


def test_deeds_take_from_their_intents(owner: Owner) -> None:
    head = (0, 50, bytes(32))
    owner.record(ClearIntent(Clear(CONTENT, *head, ((1, 5), (10, 20)))))
    owner.record(ClearIntent(Clear(METADATA, *head, ((0, 2),))))
    owner.record(ClearDeed(1, Clear(CONTENT, *head, ((12, 14),))))
    found = clears_of(owner.chain.records)
    assert found.deeds == {3: Deed(3, 1, CONTENT, 0, ((12, 14),))}
    assert [intent.ranges for intent in found.intents] == [((1, 5), (10, 12), (14, 20)), ((0, 2),)]
    owner.record(ClearDeed(1, Clear(CONTENT, *head, ())))
    found = clears_of(owner.chain.records)
    assert found.deeds[4].ranges == ((1, 5), (10, 12), (14, 20))
    assert [intent.log for intent in found.intents] == [METADATA]


def test_what_a_device_cleared_is_taken_back_with_the_device(owner: Owner) -> None:
    by_device = owner.clear(CONTENT, (1, 5))
    by_root = owner.clear(CONTENT, (7, 9), by_root=True)
    clears = clears_of(owner.chain.records)
    devices = owner.chain.devices
    assert not any(is_taken_back(deed, devices) for deed in clears.deeds.values())
    owner.revoke()
    devices = owner.chain.devices
    assert is_taken_back(clears.deeds[by_device], devices)
    assert not is_taken_back(clears.deeds[by_root], devices)
    assert unwanted(clears, {by_device}, devices)[0].ranges(CONTENT) == ((7, 9),)
    assert unwanted(clears, (), devices)[0].ranges(CONTENT) == ((1, 5), (7, 9))
    assert waiting(clears, [by_device])[0].ranges(CONTENT) == ((1, 5),)
