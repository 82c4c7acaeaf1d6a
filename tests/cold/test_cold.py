"""Blocks go to places, are proven there, leave, and come back: on a real volume, with places in memory."""

import random
import threading

import pytest
import trio

from hyperfs.cold import fetching
from hyperfs.cold import place as places
from hyperfs.cold.choosing import OBJECT_BYTES
from hyperfs.cold.holdings import DAY_NS
from hyperfs.cold.object_format import Name
from hyperfs.errors import PlaceFull, PlaceRefuses, Unreachable
from hyperfs.volume.elsewhere import Wish
from tests.volume.conftest import Store

from .conftest import SEED, Faulty, Side, running

MIB = 1 << 20


async def stored(side: Side, size: int = MIB) -> None:
    await side.write(b"file", size)


async def until(true: object) -> None:
    """Waits until a function says so; the test's timeout is the bound."""
    assert callable(true)
    while not true():
        await trio.sleep(0.01)


class TestBringing:
    async def test_what_is_wanted_is_brought_and_proven(self, store: Store) -> None:
        async with running(store, "nas") as side:
            await stored(side)
            side.want("nas")
            await side.until_proven("nas")
            assert await side.cold.confirm(side.log, 0, side.length) == {"nas"}
            [name] = side.places["nas"].contents
            assert Name.decode(name.rpartition("/")[2]) is not None

    async def test_nothing_goes_anywhere_that_is_not_wanted(self, store: Store) -> None:
        async with running(store, "nas", "office") as side:
            await stored(side)
            side.want("nas", first=1, end=3)
            await side.until_proven("nas", first=1, end=3)
            assert side.cold.proven(side.log, 0, side.length) == frozenset()
            assert side.places["office"].contents == {}
            kept = b"".join(side.places["nas"].contents.values())
            assert [side.block(index) in kept for index in range(side.length)] == [
                index in (1, 2) for index in range(side.length)
            ]

    async def test_as_many_places_as_copies_get_it(self, store: Store) -> None:
        async with running(store, "a", "b", "c") as side:
            await stored(side)
            side.want("a", "b", "c", copies=2)
            await side.until_proven("a", "b")
            assert side.places["c"].contents == {}

    async def test_another_place_gets_it_where_one_does_not_answer(self, store: Store) -> None:
        async with running(store, "a", "b", places={"a": Faulty(error=Unreachable("gone"))}) as side:
            await stored(side)
            side.want("a", "b", copies=1)
            await side.until_proven("b")
            assert "can't be used" in side.volume.warnings["cold-a"]

    async def test_objects_have_eight_mebibytes(self, store: Store) -> None:
        async with running(store, "nas") as side:
            await stored(side, 20 * MIB)
            side.want("nas")
            await side.until_proven("nas")
            sizes = sorted(len(data) for data in side.places["nas"].contents.values())
            assert len(sizes) == 3
            assert all(OBJECT_BYTES <= size < 2 * OBJECT_BYTES for size in sizes[1:])

    async def test_what_a_killed_run_had_sent_is_not_sent_again(self, store: Store) -> None:
        kept: dict[str, Faulty] = {}
        async with running(store, "nas", places=kept) as side:
            await stored(side, 12 * MIB)
            side.want("nas")
            await until(lambda: kept["nas"].count("put") >= 1)
        sent = dict(kept["nas"].contents)
        kept["nas"].asked.clear()
        async with running(store, "nas", places=kept) as side:  # its index is a new one: all is found by the list
            side.want("nas")
            await side.until_proven("nas")
            assert kept["nas"].count("put") == len(kept["nas"].contents) - len(sent)

    async def test_proofs_outlive_the_process(self, store: Store) -> None:
        kept: dict[str, Faulty] = {}
        async with running(store, "nas", places=kept, memory_index=False) as side:
            await stored(side)
            side.want("nas")
            await side.until_proven("nas")
        async with running(store, "nas", places=kept, memory_index=False, background=False) as side:
            assert side.cold.proven(side.log, 0, side.length) == {"nas"}

    async def test_blocks_that_left_are_brought_to_a_second_place_from_the_first(self, store: Store) -> None:
        async with running(store, "a", "b") as side:
            await stored(side)
            side.want("a")
            await side.until_proven("a")
            before = [side.block(index) for index in range(side.length)]
            side.evict()
            side.want("a", "b")
            await side.until_proven("a", "b")
            assert all(block in b"".join(side.places["b"].contents.values()) for block in before)

    async def test_new_wishes_take_the_place_of_old_ones(self, store: Store) -> None:
        async with running(store, "nas", places={"nas": Faulty(hangs=threading.Event())}) as side:
            await stored(side, 20 * MIB)
            side.want("nas")
            side.cold.want([Wish(side.log, 0, 1, frozenset({"nas"}), 1, True)])
            side.places["nas"].hangs.set()
            await side.until_proven("nas", end=1)
            await until(lambda: side.cold.facts()[0].proven_objects == 1)
            assert side.places["nas"].count("put") == 1


class TestFetching:
    async def test_blocks_come_back_as_they_were(self, store: Store) -> None:
        async with running(store, "nas") as side:
            await stored(side, 3 * MIB)
            side.want("nas")
            await side.until_proven("nas")
            blocks = {ref: side.block(ref.index) for ref in side.refs(*range(side.length))}
            side.evict()
            chosen = random.Random(SEED).sample(sorted(blocks), 5)
            assert await side.cold.fetch(chosen) == {ref: blocks[ref] for ref in chosen}
            assert await side.cold.fetch(sorted(blocks)) == blocks

    async def test_one_block_moves_little_in_one_request(self, store: Store) -> None:
        async with running(store, "nas") as side:
            await stored(side, 9 * MIB)
            side.want("nas")
            await side.until_proven("nas")
            size = len(side.block(20))
            side.evict()
            nas = side.places["nas"]
            nas.asked.clear()
            before = side.cold.transfer()["fetched_bytes"]
            await side.cold.fetch(side.refs(20))
            assert [kind for kind, _ in nas.asked if kind == "read"] == ["read"]
            assert side.cold.transfer()["fetched_bytes"] - before == size

    async def test_many_readers_of_one_block_are_one_fetch(self, store: Store) -> None:
        async with running(store, "nas") as side:
            await stored(side)
            side.want("nas")
            await side.until_proven("nas")
            nas, found = side.places["nas"], []
            nas.asked.clear()
            nas.hangs = threading.Event()

            async def read() -> None:
                found.append(await side.cold.fetch(side.refs(2)))

            async with trio.open_nursery() as nursery:
                for _ in range(50):
                    nursery.start_soon(read)
                await until(lambda: nas.count("read") == 1)
                nas.hangs.set()
            assert len(found) == 50
            assert nas.count("read") == 1

    async def test_who_is_cancelled_takes_nothing_from_the_others(self, store: Store) -> None:
        async with running(store, "nas") as side:
            await stored(side)
            side.want("nas")
            await side.until_proven("nas")
            nas = side.places["nas"]
            nas.hangs = threading.Event()
            scope = trio.CancelScope()

            async def leaves() -> None:
                with scope:
                    await side.cold.fetch(side.refs(2))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(leaves)
                await trio.testing.wait_all_tasks_blocked(0.01)
                nursery.start_soon(side.cold.fetch, side.refs(2))
                await trio.testing.wait_all_tasks_blocked(0.01)
                scope.cancel()
                nas.hangs.set()

    async def test_what_no_place_has_is_unreachable_and_says_so(self, store: Store) -> None:
        async with running(store, "nas") as side:
            await stored(side)
            with pytest.raises(Unreachable, match=f"block 2 of log {side.log}"):
                await side.cold.fetch(side.refs(2))

    async def test_without_an_index_the_place_is_listed_for_a_reader(self, store: Store) -> None:
        kept: dict[str, Faulty] = {}
        async with running(store, "nas", places=kept) as side:
            await stored(side)
            side.want("nas")
            await side.until_proven("nas")
            block = side.block(2)
            side.evict()
        async with running(store, "nas", places=kept, background=False) as side:
            assert await side.cold.fetch(side.refs(2)) == {side.refs(2)[0]: block}


class TestFaults:
    async def test_a_place_that_acknowledges_and_drops_proves_nothing_and_is_told(self, store: Store) -> None:
        async with running(store, "nas", places={"nas": Faulty(drops=True)}) as side:
            await stored(side)
            side.want("nas")
            await until(lambda: "cold-nas-lies" in side.volume.warnings)
            assert "acknowledged" in side.volume.warnings["cold-nas-lies"]
            assert side.cold.proven(side.log, 0, side.length) == frozenset()
            side.places["nas"].drops = False
            await side.until_proven("nas")
            await until(lambda: "cold-nas-lies" not in side.volume.warnings)

    async def test_a_place_that_loses_later_is_found_before_anything_rests_on_it(self, store: Store) -> None:
        async with running(store, "nas") as side:
            await stored(side)
            side.want("nas")
            await side.until_proven("nas")
            held = dict(side.places["nas"].contents)
            side.places["nas"].contents.clear()
            await trio.sleep(0)
            side.cold._prover._asked.clear()
            assert await side.cold.confirm(side.log, 0, side.length) == frozenset()
            assert "cold-nas-lies" in side.volume.warnings
            await side.until_proven("nas")  # it was sent again
            assert side.places["nas"].contents == held

    async def test_what_was_lost_is_found_by_the_daily_list(self, store: Store) -> None:
        async with running(store, "nas") as side:
            await stored(side)
            side.want("nas")
            await side.until_proven("nas")
            side.cold.want([])
            side.places["nas"].contents.clear()
            store.clock.forward(25 * 3600)
            await until(lambda: not side.cold.proven(side.log, 0, side.length))
            assert "does not list" in side.volume.warnings["cold-nas-lies"]

    async def test_a_place_that_gives_other_bytes_is_found_by_the_sample(self, store: Store) -> None:
        async with running(store, "nas", places={"nas": Faulty(lies=True)}) as side:
            await stored(side)
            side.want("nas")
            await until(lambda: "other bytes" in side.volume.warnings.get("cold-nas-lies", ""))
            assert side.cold.proven(side.log, 0, side.length) == frozenset()

    async def test_where_one_place_lies_the_next_is_asked(self, store: Store) -> None:
        async with running(store, "a", "b") as side:
            await stored(side)
            side.want("a", "b")
            await side.until_proven("a", "b")
            block = side.block(1)
            side.evict()
            side.places["a"].lies = True
            assert await side.cold.fetch(side.refs(1)) == {side.refs(1)[0]: block}
            assert "other bytes" in side.volume.warnings["cold-a-lies"]

    async def test_where_one_place_does_not_answer_the_next_is_asked(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(places, "FETCH_SECONDS", 0.2)
        monkeypatch.setattr(places.Place.ask, "__defaults__", (0.2, False))
        async with running(store, "a", "b") as side:
            await stored(side)
            side.want("a", "b")
            await side.until_proven("a", "b")
            block = side.block(1)
            side.evict()
            side.places["a"].hangs = threading.Event()
            assert await side.cold.fetch(side.refs(1)) == {side.refs(1)[0]: block}
            assert "did not answer" in side.volume.warnings["cold-a"]
            side.places["a"].hangs.set()

    async def test_with_nobody_there_a_reader_has_his_error_by_the_deadline(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with running(store, "a") as side:
            await stored(side)
            side.want("a")
            await side.until_proven("a")
            side.evict()
            monkeypatch.setattr(fetching, "DEADLINE_SECONDS", 0.3)
            gate = side.places["a"].hangs = threading.Event()
            with pytest.raises(Unreachable, match="block 1"):
                await side.cold.fetch(side.refs(1))
            gate.set()
            side.places["a"].hangs = None
            assert await side.cold.fetch(side.refs(1))

    @pytest.mark.parametrize(
        ("error", "says"), [(PlaceFull("no room"), "it is full"), (PlaceRefuses("403"), "it refuses: look at its cred")]
    )
    async def test_a_full_or_refusing_place_is_told_and_tried_again(
        self, store: Store, error: Unreachable, says: str
    ) -> None:
        async with running(store, "nas", places={"nas": Faulty(error=error, only=frozenset({"put"}))}) as side:
            await stored(side)
            side.want("nas")
            await until(lambda: says in side.volume.warnings.get("cold-nas-writes", ""))
            assert side.places["nas"].contents == {}
            side.places["nas"].error = None
            await side.until_proven("nas")
            assert "cold-nas-writes" not in side.volume.warnings

    async def test_a_place_that_goes_away_in_the_middle_gets_the_rest_later(self, store: Store) -> None:
        async with running(store, "nas") as side:
            await stored(side, 20 * MIB)
            side.want("nas")
            nas = side.places["nas"]
            await until(lambda: nas.count("put") == 1)
            nas.error = Unreachable("gone")
            await until(lambda: "cold-nas" in side.volume.warnings or "cold-nas-writes" in side.volume.warnings)
            assert len(side.cold.facts()) == 1
            assert side.cold.facts()[0].trouble
            nas.error = None
            await side.until_proven("nas")
            assert not [key for key in side.volume.warnings if key.startswith("cold")]

    async def test_a_place_without_checksums_is_read_whole_once(self, store: Store) -> None:
        async with running(store, "nas", places={"nas": Faulty(tags=lambda info: f"v{info.size}")}) as side:
            await stored(side)
            side.want("nas")
            await side.until_proven("nas")
            nas = side.places["nas"]
            whole = nas.count("read")
            nas.asked.clear()
            store.clock.forward(21 * 24 * 3600)
            await until(lambda: side.cold.facts()[0].oldest_proof_ns > store.clock.now_ns - DAY_NS)
            assert (whole, nas.count("read")) == (2, 1)  # all of it and a block; then just a block

    async def test_other_bytes_of_the_same_length_are_found_where_there_are_no_checksums(self, store: Store) -> None:
        async with running(store, "nas", places={"nas": Faulty(tags=lambda info: info.tag[::-1])}) as side:
            await stored(side)
            side.want("nas")
            await side.until_proven("nas")
            side.cold.want([])
            nas = side.places["nas"]
            for name, data in list(nas.contents.items()):
                nas.contents[name] = data[:-1] + bytes([data[-1] ^ 1])
            side.cold._prover._asked.clear()
            assert await side.cold.confirm(side.log, 0, side.length) == frozenset()
            await until(lambda: "not those that its name says" in side.volume.warnings.get("cold-nas-lies", ""))


class TestProofs:
    async def test_they_end_after_thirty_days(self, store: Store) -> None:
        async with running(store, "nas") as side:
            await stored(side)
            side.want("nas")
            await side.until_proven("nas")
            side.places["nas"].error = Unreachable("gone")
            store.clock.forward(29 * 24 * 3600)
            assert side.cold.proven(side.log, 0, side.length) == {"nas"}
            store.clock.forward(2 * 24 * 3600)
            assert side.cold.proven(side.log, 0, side.length) == frozenset()

    async def test_they_are_made_anew_before(self, store: Store) -> None:
        async with running(store, "nas") as side:
            await stored(side)
            side.want("nas")
            await side.until_proven("nas")
            for _ in range(3):
                store.clock.forward(21 * 24 * 3600)
                await until(lambda: side.cold.facts()[0].oldest_proof_ns > store.clock.now_ns - DAY_NS)
            assert side.cold.proven(side.log, 0, side.length) == {"nas"}
            assert side.places["nas"].count("put") == 1

    async def test_a_place_that_can_not_be_asked_confirms_nothing(self, store: Store) -> None:
        async with running(store, "a", "b") as side:
            await stored(side)
            side.want("a", "b")
            await side.until_proven("a", "b")
            side.places["a"].error = Unreachable("gone")
            side.cold._prover._asked.clear()
            assert await side.cold.confirm(side.log, 0, side.length) == {"b"}
            assert side.cold.proven(side.log, 0, side.length) == {"a", "b"}
