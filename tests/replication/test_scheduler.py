"""What is asked of whom: everything once, in the order in which it is wanted, within what each peer bears."""

from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfs.log.manifest import default_v1
from hyperfs.log.proof import BlockRequest, Request, UpgradeRequest
from hyperfs.replication import messages
from hyperfs.replication.bitfield import Bitfield
from hyperfs.replication.exchange import MOST_IN_FLIGHT, Exchange
from hyperfs.replication.messages import NoData, Range, Synchronize
from hyperfs.replication.scheduler import Scheduler

MANIFEST = default_v1(b"\x08" * 32)


def peer(length: int, has: list[tuple[int, int]], mine: int | None = None) -> Exchange:
    """One that stands at `length` and has these ranges; this side stands at `mine`."""
    mine = length if mine is None else mine
    found = Exchange(MANIFEST, Bitfield(), 0, mine)
    hears(found, Synchronize(0, length, mine, can_upgrade=True))
    for start, end in has:
        hears(found, Range(start, end - start))
    return found


def hears(exchange: Exchange, message: messages.Message) -> None:
    list(exchange.receive(*messages.encode(message)))


def ask(scheduler: Scheduler) -> list[tuple[Exchange, int]]:
    """The blocks that are asked for now."""
    found = []
    for exchange, block, *_ in scheduler.wishes():
        if block is not None:
            exchange.ask(Request(BlockRequest(block)))
            found.append((exchange, block))
    return found


def answer(scheduler: Scheduler, asked: list[tuple[Exchange, int]]) -> None:
    for exchange, block in asked:
        request = next(found for found in exchange.requests if found.block and found.block.block == block)
        number = next(number for number, found in exchange._in_flight.items() if found is request)
        hears(exchange, NoData(number))
        scheduler.came(block)


def test_the_longest_offer_is_taken_and_one_at_a_time() -> None:
    scheduler = Scheduler(10, [(0, 10)])
    near, far = peer(12, [], mine=10), peer(20, [], mine=10)
    scheduler.join(near)
    scheduler.join(far)
    assert [(wish.exchange, wish.upgrade) for wish in scheduler.wishes()] == [(far, UpgradeRequest(10, 10))]
    assert list(scheduler.wishes()) == []
    scheduler.leave(far)
    assert [(wish.exchange, wish.upgrade) for wish in scheduler.wishes()] == [(near, UpgradeRequest(10, 2))]
    scheduler.upgraded(12)
    near.stand(0, 12)
    assert list(scheduler.wishes()) == []


def test_who_does_not_know_our_length_is_not_asked_to_upgrade_it() -> None:
    scheduler = Scheduler(10, [])
    for sync in (
        Synchronize(0, 20, 7, can_upgrade=True),
        Synchronize(0, 20, 10, can_upgrade=False),
        Synchronize(1, 20, 10, can_upgrade=True),
        Synchronize(0, 9, 10, can_upgrade=True),
    ):
        found = Exchange(MANIFEST, Bitfield(), 0, 10)
        hears(found, sync)
        scheduler.join(found)
    assert list(scheduler.wishes()) == []


def test_the_newest_blocks_of_a_longer_tree_are_asked_for_with_it_once() -> None:
    scheduler = Scheduler(10, [(0, 10)], ())
    scheduler.along = 4
    far = peer(100, [], mine=10)
    scheduler.join(far)
    first = list(scheduler.wishes())
    assert [(wish.block, wish.within) for wish in first] == [(None, None), *((block, 100) for block in range(96, 100))]
    assert scheduler.under_way == 5
    scheduler.came(96)
    scheduler.upgraded(100)
    far.stand(0, 100)
    scheduler.denied(97)
    assert list(scheduler.wishes()) == []
    assert scheduler.under_way == 2


def test_without_the_longer_tree_its_blocks_are_not_waited_for() -> None:
    scheduler = Scheduler(10, [(0, 10)], ())
    scheduler.along = 100
    far = peer(12, [], mine=10)
    scheduler.join(far)
    assert [wish.block for wish in scheduler.wishes()] == [None, 10, 11]
    scheduler.upgrade_failed()
    assert scheduler.under_way == 0


def test_the_most_urgent_come_first_and_short_runs_in_their_order() -> None:
    scheduler = Scheduler(1000, [(20, 25)], [(500, 503), (18, 27), (0, 1)])
    scheduler.join(peer(1000, [(0, 1000)]))
    assert [block for _, block in ask(scheduler)] == [500, 501, 502, 18, 19, 25, 26, 0]


def test_a_long_run_is_scattered_and_yet_complete() -> None:
    scheduler = Scheduler(5000, [(100, 200)])
    only = peer(5000, [(0, 5000)])
    scheduler.join(only)
    first = ask(scheduler)
    assert len(first) == MOST_IN_FLIGHT
    assert first[1][1] - first[0][1] > 1000
    seen = []
    while first:
        seen += [block for _, block in first]
        answer(scheduler, first)
        first = ask(scheduler)
    assert sorted(seen) == [*range(100), *range(200, 5000)]
    assert not scheduler.missing()


def test_what_is_given_up_is_asked_for_again_of_another() -> None:
    scheduler = Scheduler(8, [])
    slow, quick = peer(8, [(0, 8)]), peer(8, [])
    scheduler.join(slow)
    scheduler.join(quick)
    assert {exchange for exchange, _ in ask(scheduler)} == {slow}
    hears(quick, Range(0, 8))
    assert ask(scheduler) == []
    slow.cancel_all()
    slow.is_stalled = True
    scheduler.release(slow)
    assert ask(scheduler) == [(quick, block) for block in range(8)]


def test_who_denies_a_block_is_not_asked_for_it_again() -> None:
    scheduler = Scheduler(1, [])
    boaster = peer(1, [(0, 1)])
    scheduler.join(boaster)
    assert ask(scheduler) == [(boaster, 0)]
    scheduler.denied(0)
    assert ask(scheduler) == []
    assert scheduler.missing()
    assert list(scheduler.inquiries()) == [(boaster, 0)]


ranges = st.lists(st.tuples(st.integers(0, 599), st.integers(1, 300)), max_size=4).map(
    lambda found: [(start, min(600, start + size)) for start, size in found]
)


@settings(max_examples=100, deadline=None)
@given(st.lists(ranges, min_size=1, max_size=4), ranges, ranges, st.randoms(use_true_random=False))
def test_all_that_is_wanted_and_had_by_somebody_is_asked_for_once(  # type: ignore[no-untyped-def]
    has, have, wanted, source
) -> None:
    scheduler = Scheduler(600, have, wanted)
    peers = [peer(600, found) for found in has]
    for found in peers:
        scheduler.join(found)
    asked: list[tuple[Exchange, int]] = []
    came: list[int] = []
    while new := ask(scheduler):
        asked += new
        assert all(len(found.requests) <= MOST_IN_FLIGHT for found in peers)
        source.shuffle(asked)
        done, asked = asked[: len(asked) // 2 + 1], asked[len(asked) // 2 + 1 :]
        came += [block for _, block in done]
        answer(scheduler, done)
    came += [block for _, block in asked]

    def blocks(of: list[tuple[int, int]]) -> set[int]:
        return {block for start, end in of for block in range(start, end)}

    offered = set().union(*(blocks(found) for found in has))
    assert sorted(came) == sorted(blocks(wanted) & offered - blocks(have))
