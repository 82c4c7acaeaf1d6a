"""Thirty days are counted, whatever the clock says, and survive in their record."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.errors import Corrupt, FormatTooNew
from hyperfs.log.merkle import hash32
from hyperfs.peer.clears import clears_of
from hyperfs.peer.holds import HOLD_NS, HeldFork, HoldClock, Holds, decode

from .conftest import CONTENT, DAY, HOUR, NOW, Owner

VECTORS = Path(__file__).parents[1] / "vectors"

u64 = st.integers(0, (1 << 62))
holds = st.builds(
    Holds,
    st.builds(HoldClock, u64, u64),
    u64,
    st.dictionaries(st.integers(0, 1 << 40), u64, max_size=5),
    st.lists(st.builds(HeldFork, st.binary(min_size=32, max_size=32), u64, u64), max_size=3).map(tuple),
    st.frozensets(st.integers(0, 1 << 40), max_size=5),
)


@given(holds)
def test_a_record_comes_back(found: Holds) -> None:
    assert decode(found.encode()) == found


def test_the_golden_bytes() -> None:
    golden = json.loads((VECTORS / "peer.json").read_text())["holds"]
    found = decode(bytes.fromhex(golden["hex"]))
    assert found.encode().hex() == golden["hex"]
    assert {str(sequence): since for sequence, since in found.clears.items()} == golden["clears"]
    assert sorted(found.cancelled) == golden["cancelled"]
    assert [[held.log.hex(), held.fork, held.since_ns] for held in found.forks] == golden["forks"]


def test_a_damaged_record_is_not_believed() -> None:
    data = Holds(seen=7).encode()
    with pytest.raises(Corrupt):
        decode(data[:20] + b"\x01" + data[21:])
    later = data[:8] + b"\x02" + data[9:-32]
    with pytest.raises(FormatTooNew):
        decode(later + hash32(later))


def test_attack_m12_a_clock_that_jumps_frees_nothing_early() -> None:
    clock = HoldClock().at(NOW)
    assert clock.counted_ns == 0
    assert clock.at(NOW + 400 * DAY).counted_ns == DAY
    assert clock.at(NOW - 400 * DAY).counted_ns == 0
    back = clock.at(NOW - 400 * DAY).at(NOW)
    assert back.counted_ns == DAY
    for hour in range(1, 49):
        clock = clock.at(NOW + hour * HOUR)
    assert clock.counted_ns == 2 * DAY


def test_a_clear_is_due_after_thirty_days_and_is_done_once(owner: Owner) -> None:
    owner.clear(CONTENT, (1, 2))
    chain = owner.chain
    found = Holds().look(NOW).schedule(clears_of(chain.records), len(chain.records), chain.devices, [(b"l" * 32, 0)])
    day = 0
    while not found.due_clears():
        day += 1
        found = found.look(NOW + day * DAY)
        again = found.schedule(clears_of(chain.records), len(chain.records), chain.devices, [(b"l" * 32, 0)])
        assert again == found
    assert day * DAY == HOLD_NS
    assert [held.fork for held in found.due_forks()] == [0]
    done = found.without(found.due_clears(), found.due_forks())
    assert done.schedule(clears_of(chain.records), len(chain.records), chain.devices, ()).clears == {}


def test_a_clear_of_a_device_that_is_revoked_meanwhile_is_taken_back_for_ever(owner: Owner) -> None:
    deed = owner.clear(CONTENT, (1, 2))
    kept = owner.clear(CONTENT, (4, 5), by_root=True)
    chain = owner.chain
    found = Holds().look(NOW).schedule(clears_of(chain.records), len(chain.records), chain.devices, ())
    assert sorted(found.clears) == [deed, kept]
    chain = owner.revoke()
    found = found.schedule(clears_of(chain.records), len(chain.records), chain.devices, ())
    assert (sorted(found.clears), found.cancelled) == ([kept], {deed})
