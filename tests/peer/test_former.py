"""The logs of a device that is no more in the drive: cleared by the root alone, and held for thirty days then."""

import pytest

from hyperfs.crypto.keys import LOG_CONTENT, LOG_METADATA
from hyperfs.errors import Refused
from hyperfs.log.control import Chain
from hyperfs.log.control_codec import CLOSED, REVOKED, Clear, ClearDeed, ClearIntent, LogEntry, sign_record
from hyperfs.peer.drive import HeldDrive

from .conftest import CONTENT, DAY, NOW, Owner, device, key, upload

PHONE = device(2, "phone")


def take_over(owner: Owner) -> None:
    """As `clone --former-device-lost` does it: the laptop is out, its logs are closed, and the phone has its own."""
    closed = tuple(
        entry._replace(state=CLOSED, fork=head.fork, length=head.length, tree_hash=head.tree_hash)
        for entry in owner.roster.logs
        for head in [owner.logs[entry.number].head()]
    )
    logs = [LogEntry(3, 2, LOG_METADATA, key("log 3").public_key), LogEntry(4, 2, LOG_CONTENT, key("log 4").public_key)]
    laptop = owner.laptop._replace(state=REVOKED)
    owner.record(owner.roster._replace(devices=(laptop, PHONE), logs=(*closed, *logs)), by_root=True)


def held(drive: HeldDrive, owner: Owner) -> list[tuple[int, int]]:
    return list(drive.lend(owner.discovery_key(CONTENT)).ranges())


@pytest.fixture
def taken_over(drive: HeldDrive, owner: Owner) -> HeldDrive:
    upload(owner, drive, CONTENT)
    take_over(owner)
    drive.offer_chain(owner.chain.encode())
    drive.sweep(NOW)
    return drive


def clear(owner: Owner, start: int, end: int) -> ClearIntent:
    head = owner.logs[CONTENT].head()
    return ClearIntent(Clear(CONTENT, head.fork, head.length, head.tree_hash, ((start, end),)))


def test_the_roots_clear_of_a_closed_log_is_done_after_thirty_days(taken_over: HeldDrive, owner: Owner) -> None:
    owner.clear(CONTENT, (10, 20), by_root=True)
    taken_over.offer_chain(owner.chain.encode())
    for day in range(30):
        taken_over.sweep(NOW + day * DAY)
    assert held(taken_over, owner) == [(0, 50)]
    taken_over.sweep(NOW + 30 * DAY)
    assert held(taken_over, owner) == [(0, 10), (20, 50)]


def test_what_the_former_device_had_cleared_and_was_taken_back_the_root_clears_again(
    drive: HeldDrive, owner: Owner
) -> None:
    upload(owner, drive, CONTENT)
    owner.clear(CONTENT, (0, 5))
    drive.offer_chain(owner.chain.encode())
    take_over(owner)
    drive.offer_chain(owner.chain.encode())
    for day in range(40):
        drive.sweep(NOW + day * DAY)
    assert held(drive, owner) == [(0, 50)]
    owner.clear(CONTENT, (0, 6), by_root=True)
    drive.offer_chain(owner.chain.encode())
    for day in range(40, 71):
        drive.sweep(NOW + day * DAY)
    assert held(drive, owner) == [(6, 50)]


@pytest.mark.parametrize(
    ("signer", "number", "words"),
    [("phone", 2, "device 2 speaks for log 2"), ("drive laptop", 1, "not signed as"), ("peer", 0, "not signed as")],
)
def test_attack_m12_nobody_but_the_root_clears_a_former_devices_log(
    taken_over: HeldDrive, owner: Owner, signer: str, number: int, words: str
) -> None:
    """A thief of the device that took over, the former device with a record of today, and a peer in the root's name."""
    honest = owner.chain
    record = sign_record(key(signer), number, len(honest.records), honest.last_hash, clear(owner, 0, 50))
    with pytest.raises(Refused, match=words):
        taken_over.offer_chain(Chain((*honest.records, record), record.hash(), honest.state).encode())
    for day in range(100):
        taken_over.sweep(NOW + day * DAY)
    assert held(taken_over, owner) == [(0, 50)]


def test_attack_m12_a_deed_of_another_for_what_the_root_announced_is_refused(
    taken_over: HeldDrive, owner: Owner
) -> None:
    """Killed between the root's two records: nobody else can do the second."""
    intent = len(owner.chain.records)
    announced = clear(owner, 0, 50)
    owner.record(announced, by_root=True)
    taken_over.offer_chain(owner.chain.encode())
    deed = ClearDeed(intent, announced.clear._replace(ranges=()))
    honest = owner.chain
    record = sign_record(key("phone"), 2, len(honest.records), honest.last_hash, deed)
    with pytest.raises(Refused, match="device 2 speaks for log 2"):
        taken_over.offer_chain(Chain((*honest.records, record), record.hash(), honest.state).encode())
    for day in range(100):
        taken_over.sweep(NOW + day * DAY)
    assert held(taken_over, owner) == [(0, 50)]
