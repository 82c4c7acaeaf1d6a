"""Which device may write to a drive, by its control chain: one at a time."""

from hyperfs.log.control import Chain
from hyperfs.log.heads import Head
from hyperfs.volume.creating import first_chain
from hyperfs.volume.enrolling import enrol
from hyperfs.volume.writers import may_write, open_logs_of, readable_length, why_barred, why_not_now, writer

from .conftest import DRIVE
from .twin_peer import new_keys

FIRST = first_chain(DRIVE)


def head(length: int) -> Head:
    return Head(0, length, 10 * length, bytes([length]) * 32, bytes(64))


def joined(chain: Chain, *closes: int, revokes: bool = True) -> Chain:
    """With one more device, which takes the place of those whose logs are closed."""
    return enrol(chain, DRIVE.root, new_keys(), "next", {number: head(5) for number in closes}, revokes)


def test_the_first_device_writes_until_another_takes_its_place() -> None:
    reader = joined(FIRST)
    taken = joined(reader, 1, 2)
    assert [writer(chain) for chain in (FIRST, reader, taken, joined(taken))] == [1, 1, 3, 3]
    assert why_not_now(FIRST, 1, 1, True) is None
    assert "device 'here' writes to this drive" in str(why_not_now(reader, 2, 1, False))
    assert "device 'next' writes" in str(why_not_now(taken, 2, 1, False))
    assert why_not_now(taken, 3, 1, False) is None
    assert why_not_now(taken, 3, 5, True) is None


def test_of_two_that_took_a_place_the_last_one_writes_whether_or_not_the_first_ever_did() -> None:
    second = joined(FIRST, 1, 2)
    third = joined(second, 3, 4)
    assert writer(third) == 3
    assert "declared lost" in str(why_barred(third, 2))
    assert why_barred(third, 3) is None
    assert may_write(second, {1: 5, 3: 0}) == [2]
    assert [entry.number for entry in open_logs_of(second, [2])] == [3, 4]


def test_a_device_whose_logs_were_closed_writes_no_more() -> None:
    recovered = joined(FIRST, 1, 2, revokes=False)
    assert writer(recovered) == 2
    assert "logs of this device were closed" in str(why_barred(recovered, 1))


def test_a_recovered_store_without_a_record_of_it_goes_on_by_what_its_logs_show() -> None:
    early = joined(FIRST)
    assert why_not_now(early, 2, 3, True) is None
    assert "has written to this drive as well" in str(why_not_now(early, 2, 1, True))
    assert may_write(early, {1: 5, 3: 7}) == [1, 2]


def test_of_a_closed_log_of_another_no_more_counts_than_it_was_closed_at() -> None:
    taken = joined(FIRST, 1, 2)
    assert readable_length(taken.logs[1], 2, 9) == 5
    assert readable_length(taken.logs[1], 2, 3) == 3
    assert readable_length(taken.logs[1], 1, 9) == 9
    assert readable_length(taken.logs[3], 1, 9) == 9
