"""The control chain: golden bytes, every rule tried by breaking it, and damage."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hyperfs.crypto.keys import LOG_CONTENT, LOG_METADATA, BoxKeyPair, SigningKeyPair, seal_to
from hyperfs.errors import Corrupt, FormatTooNew, Refused
from hyperfs.log import control_codec
from hyperfs.log.compact import Reader
from hyperfs.log.control import Chain
from hyperfs.log.control_codec import (
    CLOSED,
    REVOKED,
    ROOT,
    Body,
    Clear,
    ClearDeed,
    ClearIntent,
    Device,
    Epoch,
    LogClosed,
    LogEntry,
    LogOpened,
    Record,
    Roster,
    SealedCopy,
    Succession,
    sign_record,
    succession_message,
)
from hyperfs.log.merkle import hash32

VECTORS = Path(__file__).parents[1] / "vectors"
PAYLOAD = bytes(range(64))


def key(name: str) -> SigningKeyPair:
    return SigningKeyPair(hash32(name.encode()))


def box(name: str) -> BoxKeyPair:
    return BoxKeyPair(hash32(b"box " + name.encode()))


def device(number: int, name: str) -> Device:
    return Device(
        number, name.encode(), key(name).public_key, box(name).public_key, box("transport " + name).public_key
    )


def log(number: int, of: int, kind: int = LOG_CONTENT) -> LogEntry:
    return LogEntry(number, of, kind, key(f"log {number}").public_key)


ROOT_PAIR = key("root")
RECOVERY = box("recovery")
LAPTOP, PHONE = device(1, "laptop"), device(2, "phone")
FIRST = Roster(ROOT_PAIR.public_key, RECOVERY.public_key, (LAPTOP,), (log(1, 1, LOG_METADATA), log(2, 1)))
HEAD = (0, 1000, b"\x11" * 32)


def epoch(number: int, *names: str, ciphers: tuple[int, ...] = (1,), key_id: bytes | None = None) -> Epoch:
    keys = [RECOVERY.public_key if name == "recovery" else box(name).public_key for name in names]
    copies = tuple(SealedCopy(to, seal_to(to, PAYLOAD, hash32(to))) for to in keys)
    return Epoch(number, key_id or bytes([number]) * 4, ciphers, copies)


@pytest.fixture
def chain() -> Chain:
    return Chain.start(FIRST, ROOT_PAIR)


def grow(chain: Chain, *bodies: Body, by: SigningKeyPair = ROOT_PAIR, number: int = ROOT) -> Chain:
    for body in bodies:
        chain = chain.append(chain.make(body, by, number))
    return chain


def refuses(chain: Chain, body: Body, match: str, by: SigningKeyPair = ROOT_PAIR, number: int = ROOT) -> None:
    with pytest.raises(Refused, match=match):
        grow(chain, body, by=by, number=number)


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    vectors: dict[str, Any] = json.loads((VECTORS / "control_chain.json").read_text())
    return vectors


def test_golden_chain(golden: dict[str, Any]) -> None:
    data = bytes.fromhex(golden["file"])
    chain = Chain.parse(data, bytes.fromhex(golden["drive_id"]))
    assert chain.encode() == data
    for record, known in zip(chain.records, golden["records"], strict=True):
        assert type(record.body).__name__ == known["type"]
        assert record.encode().hex() == known["bytes"]
        assert record.hash().hex() == known["hash"]
        assert control_codec.decode_record(Reader(bytes.fromhex(known["bytes"]), "golden")) == record
    assert len({known["type"] for known in golden["records"]}) == 7
    seeds = {name: bytes.fromhex(seed) for name, seed in golden["seeds"].items()}
    for name in ("box", "recovery"):
        pair = BoxKeyPair(seeds[name])
        assert pair.open(chain.sealed_copies(pair.public_key)[1]) == PAYLOAD
    assert chain.root_key == SigningKeyPair(seeds["new_root"]).public_key


def test_every_record_of_the_golden_chain_can_be_made_again(golden: dict[str, Any]) -> None:
    chain = Chain.parse(bytes.fromhex(golden["file"]))
    seeds = {name: bytes.fromhex(seed) for name, seed in golden["seeds"].items()}
    for record in chain.records:
        signer = SigningKeyPair(seeds["root" if record.signer == ROOT else "device"])
        assert sign_record(signer, record.signer, record.sequence, record.previous, record.body) == record


def test_the_drive_is_named_by_the_hash_of_its_first_roster(chain: Chain) -> None:
    assert chain.drive_id == hash32(chain.records[0].encode())
    assert Chain.parse(chain.encode(), chain.drive_id) == chain
    with pytest.raises(Corrupt, match="another drive"):
        Chain.parse(chain.encode(), bytes(32))


def test_a_chain_says_what_its_records_said(chain: Chain) -> None:
    assert (chain.devices, chain.logs) == ({1: LAPTOP}, {log.number: log for log in FIRST.logs})
    assert chain.newest_epoch() is None
    chain = grow(chain, epoch(1, "laptop", "recovery"))
    roster = FIRST._replace(devices=(LAPTOP, PHONE), logs=(*FIRST.logs, log(3, 2, LOG_METADATA), log(4, 2)))
    chain = grow(chain, roster, epoch(1, "phone"), epoch(2, "phone", "laptop", "recovery"))
    chain = Chain.parse(chain.encode())
    assert chain.devices[2] == PHONE
    assert set(chain.logs) == {1, 2, 3, 4}
    assert chain.newest_epoch() == chain.epochs[2]
    opened = {n: box("phone").open(copy) for n, copy in chain.sealed_copies(PHONE.box_key).items()}
    assert opened == {1: PAYLOAD, 2: PAYLOAD}
    assert set(chain.sealed_copies(RECOVERY.public_key)) == {1, 2}


def test_attack_m07_nobody_but_the_root_changes_who_is_in(chain: Chain) -> None:
    two = FIRST._replace(devices=(LAPTOP, PHONE))
    refuses(chain, two, "not signed", by=key("thief"))
    refuses(chain, two, "only the root", by=key("laptop"), number=1)
    refuses(chain, epoch(1, "laptop", "recovery"), "only the root", by=key("laptop"), number=1)
    refuses(chain, epoch(1, "laptop", "recovery", "phone"), "not in the roster")
    refuses(chain, epoch(1, "laptop"), "every device and the recovery key")
    refuses(chain, two, "not signed", by=key("phone"), number=2)
    with pytest.raises(Refused, match="own root key"):
        Chain.start(FIRST, key("thief"))


def test_rosters_drop_nothing_and_bring_nothing_back(chain: Chain) -> None:
    refuses(chain, FIRST._replace(devices=(), logs=()), "drops device")
    refuses(chain, FIRST._replace(logs=FIRST.logs[:1]), "drops log")
    refuses(chain, FIRST._replace(devices=(LAPTOP._replace(box_key=bytes(32)),)), "changes device 1")
    refuses(chain, FIRST._replace(logs=(FIRST.logs[0], log(2, 1)._replace(public_key=bytes(32)))), "is changed")
    refuses(chain, FIRST._replace(root_key=bytes(32)), "another root key")
    refuses(chain, FIRST._replace(recovery_key=bytes(32)), "another recovery key")
    refuses(chain, FIRST._replace(devices=(PHONE, LAPTOP)), "order")
    refuses(chain, FIRST._replace(devices=(LAPTOP, PHONE._replace(signing_key=LAPTOP.signing_key))), "one key")
    refuses(
        chain,
        FIRST._replace(logs=(*FIRST.logs, log(3, 1)._replace(public_key=log(1, 1).public_key))),
        "one key",
    )
    refuses(chain, FIRST._replace(logs=(*FIRST.logs, log(3, 9))), "unknown device")
    refuses(chain, FIRST._replace(logs=(*FIRST.logs, log(3, 1)._replace(kind=9))), "kind 9")
    refuses(chain, FIRST._replace(logs=(*FIRST.logs, log(3, 1)._replace(state=9))), "state 9")
    refuses(chain, FIRST._replace(logs=(*FIRST.logs, log(3, 1)._replace(length=9))), "has a last head")
    refuses(chain, FIRST._replace(devices=(LAPTOP._replace(state=9),)), "state 9")
    with pytest.raises(Refused, match="number 0"):
        Chain.start(FIRST._replace(devices=(LAPTOP._replace(number=0), LAPTOP)), ROOT_PAIR)
    with pytest.raises(Refused, match="log number 0"):
        Chain.start(FIRST._replace(logs=(log(0, 1),)), ROOT_PAIR)
    assert grow(chain, FIRST._replace(devices=(LAPTOP._replace(name=b"old laptop"),))).devices[1].name == b"old laptop"


def test_a_revoked_device_is_out_for_good(chain: Chain) -> None:
    chain = grow(chain, epoch(1, "laptop", "recovery"))
    revoked = FIRST._replace(
        devices=(LAPTOP._replace(state=REVOKED), PHONE),
        logs=tuple(entry._replace(state=CLOSED, length=7) for entry in FIRST.logs),
    )
    chain = grow(chain, revoked)
    refuses(chain, FIRST._replace(devices=(LAPTOP, PHONE), logs=revoked.logs), "brings device 1 back")
    refuses(chain, revoked._replace(logs=FIRST.logs), "is changed")
    refuses(chain, LogOpened(log(5, 1)), "not signed", by=key("laptop"), number=1)
    refuses(chain, LogOpened(log(5, 1)), "revoked device")
    refuses(chain, epoch(2, "laptop", "phone", "recovery"), "not in the roster")
    chain = grow(chain, epoch(2, "phone", "recovery"))
    assert set(chain.sealed_copies(LAPTOP.box_key)) == {1}


def test_epochs_follow_one_another_and_stay_what_they_are(chain: Chain) -> None:
    refuses(chain, epoch(2, "laptop", "recovery"), "not the next")
    refuses(chain, epoch(0, "laptop", "recovery"), "not the next")
    refuses(chain, epoch(1, "laptop", "recovery", ciphers=()), "ciphers")
    refuses(chain, epoch(1, "laptop", "recovery", ciphers=(2, 1)), "ciphers")
    refuses(chain, epoch(1, "laptop", "recovery", "laptop"), "two copies")
    chain = grow(chain, epoch(1, "laptop", "recovery"))
    refuses(chain, epoch(1, "laptop", key_id=b"else"), "is changed")
    refuses(chain, epoch(1, "laptop", ciphers=(1, 2)), "is changed")
    refuses(chain, epoch(1), "not in the roster")
    refuses(chain, epoch(3, "laptop", "recovery"), "not the next")


def test_logs_are_opened_and_closed_by_their_device_and_numbers_serve_once(chain: Chain) -> None:
    laptop = {"by": key("laptop"), "number": 1}
    chain = grow(chain, FIRST._replace(devices=(LAPTOP, PHONE)))
    refuses(chain, LogOpened(log(3, 2)), "speaks for log", by=key("laptop"), number=1)
    refuses(chain, LogOpened(log(2, 1)), "used before", by=key("laptop"), number=1)
    refuses(chain, LogOpened(log(3, 1)._replace(public_key=log(2, 1).public_key)), "one key")
    refuses(chain, LogOpened(log(3, 1)._replace(state=CLOSED)), "opened closed")
    refuses(chain, LogOpened(log(3, 9)), "unknown device")
    chain = grow(chain, LogClosed(2, *HEAD), LogOpened(log(3, 1)), **laptop)  # type: ignore[arg-type]
    assert chain.logs[2] == log(2, 1)._replace(state=CLOSED, fork=0, length=1000, tree_hash=b"\x11" * 32)
    refuses(chain, LogClosed(2, *HEAD), "not open")
    refuses(chain, LogClosed(9, *HEAD), "not open")
    refuses(chain, LogClosed(3, *HEAD), "speaks for log", by=key("phone"), number=2)


def test_a_clear_is_announced_then_done_once_and_no_more(chain: Chain) -> None:
    intent = Clear(2, *HEAD, ((10, 20), (30, 100)))
    chain = grow(chain, ClearIntent(intent), by=key("laptop"), number=1)
    assert chain.intents == {1: intent}

    def deed(*ranges: tuple[int, int], length: int = 1200, log: int = 2, of: int = 1, fork: int = 0) -> ClearDeed:
        return ClearDeed(of, Clear(log, fork, length, b"\x12" * 32, ranges))

    refuses(chain, deed((10, 21)), "does not name")
    refuses(chain, deed((25, 26)), "does not name")
    refuses(chain, deed((10, 20), of=0), "open intent")
    refuses(chain, deed((10, 20), length=900), "another head")
    refuses(chain, deed((10, 20), fork=1), "another head")
    refuses(chain, deed((10, 20), log=1), "another head")
    chain = grow(chain, deed((10, 20), (40, 50)))
    assert chain.intents[1].ranges == ((30, 40), (50, 100))
    refuses(chain, deed((40, 45)), "does not name")
    assert grow(chain, deed((30, 40)), deed((50, 100))).intents == {}
    chain = grow(chain, deed())  # all that was left
    assert chain.intents == {}
    refuses(chain, deed((10, 20)), "open intent")
    refuses(chain, deed(), "open intent")


@pytest.mark.parametrize("ranges", [(), ((5, 5),), ((7, 5),), ((10, 20), (15, 30)), ((10, 20), (20, 30)), ((0, 1001),)])
def test_attack_m12_senseless_clears_are_refused(chain: Chain, ranges: tuple[tuple[int, int], ...]) -> None:
    refuses(chain, ClearIntent(Clear(2, *HEAD, ranges)), "clear of|ranges ascend")
    refuses(chain, ClearIntent(Clear(9, *HEAD, ((1, 2),))), "unknown log")


def test_attack_m12_a_device_clears_its_own_logs_only(chain: Chain) -> None:
    chain = grow(chain, FIRST._replace(devices=(LAPTOP, PHONE)))
    refuses(chain, ClearIntent(Clear(2, *HEAD, ((1, 2),))), "speaks for log 2", by=key("phone"), number=2)


def test_the_root_is_succeeded_by_one_that_consents(chain: Chain) -> None:
    new, recovery = key("new root"), box("new recovery")
    consent = new.sign(succession_message(chain.drive_id, new.public_key, recovery.public_key))
    body = Succession(new.public_key, recovery.public_key, consent)
    refuses(chain, body, "only the root", by=key("laptop"), number=1)
    refuses(chain, body, "not signed", by=new)
    refuses(chain, body._replace(consent=bytes(64)), "consent")
    refuses(chain, body._replace(recovery_key=bytes(32)), "consent")
    chain = grow(chain, epoch(1, "laptop", "recovery"), body)
    assert (chain.root_key, chain.recovery_key) == (new.public_key, recovery.public_key)
    roster = FIRST._replace(root_key=new.public_key, recovery_key=recovery.public_key)
    refuses(chain, roster, "not signed")
    to = recovery.public_key
    again = Epoch(1, b"\x01" * 4, (1,), (SealedCopy(to, seal_to(to, PAYLOAD, bytes(32))),))
    chain = grow(chain, roster, again, by=new)
    assert recovery.open(chain.sealed_copies(to)[1]) == PAYLOAD


def test_records_follow_in_their_order_only(chain: Chain) -> None:
    one = chain.make(epoch(1, "laptop", "recovery"), ROOT_PAIR)
    two = chain.make(LogClosed(2, *HEAD), ROOT_PAIR)
    for wrong, match in (
        (one._replace(sequence=2), "record 2 after 1"),
        (one._replace(previous=bytes(32)), "another one than the last"),
        (one._replace(signature=two.signature), "not signed"),
        (one._replace(signer=1), "not signed"),
    ):
        with pytest.raises(Refused, match=match):
            chain.append(wrong)
    with pytest.raises(Refused, match="record 1 after 2"):
        chain.append(one).append(two)


def test_only_a_longer_chain_with_the_same_past_continues_it(chain: Chain) -> None:
    longer = grow(chain, epoch(1, "laptop", "recovery"))
    other = grow(chain, LogClosed(2, *HEAD))
    assert longer.continues(chain)
    assert longer.continues(longer)
    assert not chain.continues(longer)
    assert not longer.continues(other)


def test_a_chain_begins_with_a_roster_of_the_root() -> None:
    def refused(*records: Record) -> None:
        with pytest.raises(Corrupt, match="rules"):
            Chain.parse(control_codec.encode_file(records))

    refused(sign_record(ROOT_PAIR, ROOT, 0, bytes(32), LogClosed(2, *HEAD)))
    refused(sign_record(ROOT_PAIR, 1, 0, bytes(32), FIRST))
    refused(sign_record(ROOT_PAIR, ROOT, 1, bytes(32), FIRST))
    refused(sign_record(ROOT_PAIR, ROOT, 0, b"\1" * 32, FIRST))
    with pytest.raises(Corrupt, match="empty"):
        Chain.parse(control_codec.encode_file([]))


@settings(max_examples=200)
@given(st.integers(0, 1 << 30))
def test_no_flipped_bit_of_the_file_goes_unnoticed(golden: dict[str, Any], position: int) -> None:
    data = bytearray.fromhex(golden["file"])
    position %= len(data) * 8
    data[position // 8] ^= 1 << position % 8
    with pytest.raises(Corrupt, match="damaged"):
        Chain.parse(bytes(data))


@settings(max_examples=300)
@given(st.integers(0, 1 << 30))
@example(8 * 8)  # of the format: 0
def test_attack_m01_a_flipped_bit_under_a_good_checksum_is_found_by_the_signatures(
    golden: dict[str, Any], position: int
) -> None:
    data = bytearray.fromhex(golden["file"])[:-32]
    position %= len(data) * 8
    data[position // 8] ^= 1 << position % 8
    with pytest.raises((Corrupt, FormatTooNew)):
        Chain.parse(bytes(data) + hash32(data), bytes.fromhex(golden["drive_id"]))


@given(st.binary(max_size=300))
def test_nonsense_is_corrupt_and_nothing_else(data: bytes) -> None:
    for junk in (data, data + hash32(data)):
        with pytest.raises((Corrupt, FormatTooNew)):
            Chain.parse(junk)


def test_a_cut_file_is_damaged(golden: dict[str, Any]) -> None:
    data = bytes.fromhex(golden["file"])
    for size in (0, 10, 47, 48, len(data) - 1):
        with pytest.raises(Corrupt):
            Chain.parse(data[:size])


def test_later_formats_are_told_as_such(chain: Chain) -> None:
    data = bytearray(chain.encode()[:-32])
    data[8] = 2
    with pytest.raises(FormatTooNew, match="control chain has format 2"):
        Chain.parse(bytes(data) + hash32(data))
    data[8] = 1
    data[16] = 200
    with pytest.raises(FormatTooNew, match="control record"):
        Chain.parse(bytes(data) + hash32(data))
