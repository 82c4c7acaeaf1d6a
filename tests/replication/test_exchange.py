"""The state of a log's channel: what it says, what it bears, what ends it."""

from typing import Any

import pytest

from hyperfs.errors import Corrupt, Misbehaved
from hyperfs.log.manifest import default_v1
from hyperfs.log.proof import (
    BlockProof,
    BlockRequest,
    HashRequest,
    Request,
    SeekProof,
    SeekRequest,
    TreeProof,
    UpgradeProof,
    UpgradeRequest,
)
from hyperfs.replication import messages
from hyperfs.replication.bitfield import Bitfield
from hyperfs.replication.exchange import (
    MOST_HELD,
    MOST_IN_FLIGHT,
    Answered,
    Asked,
    Contradicted,
    Denied,
    Event,
    Exchange,
    Extended,
    Moved,
    Withdrawn,
)
from hyperfs.replication.messages import INVALID_REQUEST, NOT_AVAILABLE, Ask, Data, Message, NoData, Range, Synchronize

MANIFEST = default_v1(b"\x08" * 32)
BLOCK = Request(BlockRequest(3, 1))
EMPTY = TreeProof(0)


def exchange(length: int = 10, fork: int = 0) -> Exchange:
    have = Bitfield()
    have.add(0, length)
    return Exchange(MANIFEST, have, fork, length)


def said(side: Exchange) -> list[Message | None]:
    return [messages.decode(*found) for found in side.take()]


def hears(side: Exchange, message: Message) -> list[Event]:
    return list(side.receive(*messages.encode(message)))


def test_it_begins_with_where_it_stands_and_what_it_has() -> None:
    assert said(exchange()) == [Synchronize(0, 10, 0, can_upgrade=True), Range(0, 10)]
    assert said(exchange(0)) == [Synchronize(0, 0, 0, can_upgrade=True)]
    assert said(exchange(5, fork=2)) == [Synchronize(2, 5, 0, can_upgrade=False), Range(0, 5)]


def test_who_is_behind_is_told_that_its_length_is_known() -> None:
    side = exchange()
    side.take()
    assert hears(side, Synchronize(0, 7, 10, can_upgrade=False)) == [Moved()]
    assert said(side) == [Synchronize(0, 10, 7, can_upgrade=True)]
    assert hears(side, Synchronize(0, 12, 10, can_upgrade=True)) == [Moved()]
    assert said(side) == []
    assert side.can_upgrade
    side.stand(0, 11)
    assert said(side) == [Synchronize(0, 11, 12, can_upgrade=False)]
    assert not side.can_upgrade  # it does not know yet that this side has 11


def test_a_length_from_which_nothing_can_be_proved_is_not_upgraded() -> None:
    side = Exchange(MANIFEST, Bitfield(), 0, 10, lambda length: length == 4)
    side.take()
    for length, can in ((4, True), (5, False), (0, True)):
        hears(side, Synchronize(0, length, 0, can_upgrade=False))
        assert said(side) == [Synchronize(0, 10, length, can_upgrade=can)]


def test_a_request_is_answered_refused_or_withdrawn() -> None:
    side = exchange()
    side.take()
    first, second, third = (Ask(number, 0, BLOCK) for number in (1, 2, 3))
    found = [event for ask in (first, second, third) for event in hears(side, ask)]
    assert found == [Asked(first), Asked(second), Asked(third)]
    held = [event.ask for event in found if isinstance(event, Asked)]
    side.answer(held[0], TreeProof(0, BlockProof(3, b"bytes", ())))
    side.refuse(held[1])
    assert hears(side, messages.Cancel(3)) == [Withdrawn(third)]
    side.answer(held[2], EMPTY)
    assert said(side) == [Data(1, TreeProof(0, BlockProof(3, b"bytes", ()))), NoData(2, NOT_AVAILABLE)]


def test_a_number_that_is_used_again_withdraws_what_it_stood_for() -> None:
    side = exchange()
    again = Ask(1, 0, Request(BlockRequest(4)))
    hears(side, Ask(1, 0, BLOCK))
    assert hears(side, again) == [Withdrawn(Ask(1, 0, BLOCK)), Asked(again)]


def test_of_another_fork_only_the_manifest_is_given() -> None:
    side = exchange(fork=1)
    side.take()
    assert hears(side, Ask(1, 0, BLOCK)) == []
    assert hears(side, Ask(2, 0, Request(), manifest=True)) == []
    assert said(side) == [NoData(1, NOT_AVAILABLE), Data(2, TreeProof(1), MANIFEST)]


def test_the_signature_goes_in_the_manifest_s_form() -> None:
    upgrade = UpgradeProof(0, 10, (), (), b"\x07" * 64)
    side = exchange()
    side.take()
    (asked,) = hears(side, Ask(1, 0, Request(upgrade=UpgradeRequest(0, 10)), manifest=True))
    assert isinstance(asked, Asked)
    side.answer(asked.ask, TreeProof(0, upgrade=upgrade))
    (data,) = said(side)
    assert isinstance(data, Data)
    assert data.manifest == MANIFEST
    assert data.proof.upgrade == upgrade._replace(signature=b"\x01\x00" + b"\x07" * 64 + b"\x00\x00")
    other = exchange(0)
    hears(other, Synchronize(0, 10, 0, can_upgrade=True))
    other.ask(asked.ask.request)
    assert hears(other, data) == [Answered(asked.ask.request, TreeProof(0, upgrade=upgrade))]


def test_answers_belong_to_their_requests() -> None:
    side = exchange(0)
    side.take()
    asked = [Request(BlockRequest(number)) for number in range(3)]
    for request in asked:
        side.ask(request)
    assert said(side) == [Ask(number, 0, request) for number, request in enumerate(asked, 1)]
    proof = TreeProof(0, BlockProof(1, b"", ()))
    assert hears(side, Data(2, proof)) == [Answered(asked[1], proof)]
    assert hears(side, NoData(1, 1)) == [Denied(asked[0], 1)]
    assert hears(side, Data(2, proof)) == []  # nothing is under way by that number
    assert side.room == MOST_IN_FLIGHT - 1
    side.cancel(asked[2])
    assert said(side) == [messages.Cancel(3)]
    assert hears(side, Data(3, TreeProof(0, BlockProof(2, b"", ())))) == []
    side.ask(asked[0])
    side.ask(asked[1])
    side.ask(asked[2])
    numbers = [ask.id for ask in said(side) if isinstance(ask, Ask)]
    assert sorted(numbers) == [1, 2, 4]  # 3 was withdrawn: its answer might have come late


def test_a_seek_s_padding_is_put_back() -> None:
    side = exchange(0)
    request = Request(seek=SeekRequest(9, 8))
    side.ask(request)
    assert hears(side, Data(1, TreeProof(0, seek=SeekProof(9, ())))) == [
        Answered(request, TreeProof(0, seek=SeekProof(9, (), 8)))
    ]


def wrong_answers() -> list[tuple[Request, Data]]:
    block = BlockProof(4, b"", ())
    upgrade = UpgradeProof(0, 1, (), (), b"\x01\x00" + bytes(64) + b"\x00\x00")
    return [
        (BLOCK, Data(1, TreeProof(0, block))),
        (BLOCK, Data(1, EMPTY)),
        (BLOCK, Data(1, TreeProof(0, block._replace(block=3), upgrade=upgrade))),
        (Request(hash=HashRequest(1)), Data(1, TreeProof(0, block))),
        (Request(seek=SeekRequest(4)), Data(1, TreeProof(0, seek=SeekProof(5, ())))),
        (BLOCK, Data(7, EMPTY)),
        (BLOCK, Data(1, EMPTY, default_v1(b"\x09" * 32))),
    ]


@pytest.mark.parametrize(("request_", "data"), wrong_answers())
def test_an_answer_to_something_else_ends_the_connection(request_: Request, data: Data) -> None:
    side = exchange(0)
    side.ask(request_)
    with pytest.raises(Misbehaved):
        hears(side, data)


def test_a_signature_in_no_form_of_the_manifest_s_is_refused() -> None:
    side = exchange(0)
    side.ask(Request(upgrade=UpgradeRequest(0, 1)))
    with pytest.raises(Corrupt, match="stored signature"):
        hears(side, Data(1, TreeProof(0, upgrade=UpgradeProof(0, 1, (), (), bytes(64)))))


def test_attack_n05_requests_that_wait_are_bounded() -> None:
    side = exchange()
    for number in range(1, MOST_HELD + 1):
        hears(side, Ask(number, 0, BLOCK))
    with pytest.raises(Misbehaved, match="1024 requests"):
        hears(side, Ask(MOST_HELD + 1, 0, BLOCK))


def test_attack_m13_absurd_lengths_end_the_connection() -> None:
    for sync in (Synchronize(0, 1 << 53, 0, can_upgrade=True), Synchronize(0, 0, 1 << 60, can_upgrade=True)):
        with pytest.raises(Misbehaved, match="a log of"):
            hears(exchange(), sync)


def test_requests_that_make_no_sense_are_borne_63_times() -> None:
    side = exchange()
    side.take()
    for number in range(63):
        (event,) = hears(side, Ask(1, 0, BLOCK))
        assert isinstance(event, Asked)
        side.refuse(event.ask, is_invalid=True)
        assert said(side) == [NoData(1, INVALID_REQUEST)], number
    (event,) = hears(side, Ask(1, 0, BLOCK))
    assert isinstance(event, Asked)
    with pytest.raises(Misbehaved, match="no sense"):
        side.refuse(event.ask, is_invalid=True)


def test_what_is_proved_unasked_is_only_a_contradiction() -> None:
    side = exchange()
    upgrade = UpgradeProof(0, 4, (), (), b"\x01\x00" + bytes(64) + b"\x00\x00")
    assert hears(side, Data(0, TreeProof(0, BlockProof(3, b"pushed", ())))) == []
    assert hears(side, Data(0, TreeProof(0, upgrade=upgrade._replace(start=2)))) == []
    (found,) = hears(side, Data(0, TreeProof(0, upgrade=upgrade)))
    assert isinstance(found, Contradicted)
    assert side.has_contradicted


def test_of_who_has_a_fault_or_does_not_serve_nothing_is_asked() -> None:
    side = exchange()
    assert side.room == MOST_IN_FLIGHT
    hears(side, Synchronize(0, 20, 10, can_upgrade=True, uploading=False))
    assert side.room == 0
    hears(side, Synchronize(0, 20, 10, can_upgrade=True))
    assert side.room == MOST_IN_FLIGHT
    side.fault = Corrupt("a lie")
    assert side.room == 0


def test_what_the_other_side_had_is_forgotten_when_it_is_of_another_fork() -> None:
    side = exchange()
    hears(side, Synchronize(0, 20, 10, can_upgrade=True))
    hears(side, Range(0, 20))
    assert 5 in side.remote_has
    hears(side, Synchronize(1, 20, 0, can_upgrade=True))
    assert 5 not in side.remote_has
    assert not side.can_upgrade


def test_an_extension_s_name_is_said_once() -> None:
    side = exchange()
    found: list[Any] = []
    for name, text in (("a", b"1"), ("", b"2"), ("b", b"3"), ("", b"4")):
        found += hears(side, messages.Extension(name, text))
    assert found == [Extended("a", b"1"), Extended("a", b"2"), Extended("b", b"3"), Extended("b", b"4")]
