"""What is not on this device is brought for whoever reads it: once, checked, in time, and kept or only lent."""

import errno
import math
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest
import trio

from hyperfs.errors import Unreachable
from hyperfs.values import BlockRef
from hyperfs.volume import returning
from hyperfs.volume.residence import Run
from hyperfs.volume.volume import Volume

from .conftest import Store, inode_of, write_file
from .other_places import InMemory


def noise(size: int) -> bytes:
    return random.Random(7).randbytes(size)


@asynccontextmanager
async def gone(store: Store, data: bytes) -> AsyncIterator[tuple[Volume, InMemory]]:
    """A volume with one file of which nothing is here, and the place that has it."""
    async with store.opened() as volume:
        await write_file(volume, b"f", data)
        await volume.commit()
        places = InMemory(volume.parts.logs, "nas")
        volume.returning.elsewhere = places
        number = volume.content.number
        length = volume.content.log.signed_length
        for index in range(length):
            places.at["nas"].blocks[BlockRef(number, index)] = volume.content.log.get(index)
        await volume.parts.residence.evict([Run(number, 0, length)], _yes)
        volume.parts.chunkstore.cache.clear()
        yield volume, places


async def _yes(run: Run) -> bool:
    return True


async def until(look: Callable[[], bool]) -> None:
    with trio.fail_after(60):
        while not look():
            await trio.sleep(0.01)


async def read(volume: Volume, offset: int, size: int, keep: bool = True) -> bytes:
    inode = inode_of(volume, b"f")
    return await volume.returning.complete(lambda: volume.files.read_soon(inode, offset, size), keep)


async def test_a_read_of_what_is_elsewhere_gives_its_bytes_and_it_is_here_then(store: Store) -> None:
    data = noise(3 << 20)
    async with gone(store, data) as (volume, places):
        before = volume.content.log.size_on_disk()
        assert await read(volume, 0, len(data)) == data
        await until(lambda: volume.parts.residence.is_whole)
        assert volume.content.log.size_on_disk() - before >= len(data)
        volume.parts.chunkstore.cache.clear()
        places.at.clear()
        assert await read(volume, 0, len(data)) == data
    async with store.opened() as volume:
        assert await read(volume, 0, len(data)) == data


async def test_it_is_known_whether_somebody_waits(store: Store) -> None:
    async with gone(store, noise(1 << 20)) as (volume, places):
        assert volume.returning.waited_ago() == math.inf
        during: list[float] = []
        fetch = places.fetch

        async def looked(blocks: Sequence[BlockRef]) -> Mapping[BlockRef, bytes]:
            during.append(volume.returning.waited_ago())
            return await fetch(blocks)

        places.fetch = looked  # type: ignore[method-assign]
        await read(volume, 0, 4096)
        assert during == [0]
        assert volume.returning.waited_ago() < math.inf


async def test_all_that_a_read_lacks_comes_with_one_question_and_a_small_one_brings_little(store: Store) -> None:
    data = noise(3 << 20)
    async with gone(store, data) as (volume, places):
        assert await read(volume, 2 << 20, 4096) == data[2 << 20 : (2 << 20) + 4096]
        assert [len(call) for call in places.calls] == [1]
        assert await read(volume, 0, 1 << 20) == data[: 1 << 20]
        assert len(places.calls) == 2
        assert volume.returning.fetched_bytes < 2 << 20


async def test_what_is_streamed_is_lent_and_takes_no_disk(store: Store) -> None:
    data = noise(3 << 20)
    async with gone(store, data) as (volume, places):
        before = volume.content.log.size_on_disk()
        assert await read(volume, 0, len(data), keep=False) == data
        assert volume.content.log.size_on_disk() == before
        assert not volume.parts.residence.is_whole
        volume.parts.chunkstore.cache.clear()
        assert await read(volume, 0, len(data), keep=False) == data
        assert max(places.fetched.values()) == 1, "what is lent is not asked for again"


async def test_what_is_lent_is_bounded_but_for_what_is_in_use(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(returning, "LENT_BYTES", 300 << 10)
    data = noise(3 << 20)
    async with gone(store, data) as (volume, _):
        assert await read(volume, 0, len(data), keep=False) == data
        marks = volume.content.log.evicted
        assert marks is not None
        assert sum(map(len, marks.lent.values())) <= 300 << 10


async def test_many_readers_of_one_block_make_one_fetch(store: Store) -> None:
    data = noise(100_000)
    async with gone(store, data) as (volume, places):
        places.at["nas"].delay = 0.05
        found: list[bytes] = []

        async def one() -> None:
            found.append(await read(volume, 0, len(data)))

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(one)
        assert found == [data] * 20
        assert len(places.calls) == 1


async def test_a_reader_that_gives_up_does_not_end_the_fetch_of_the_others(store: Store) -> None:
    data = noise(100_000)
    async with gone(store, data) as (volume, places):
        places.at["nas"].delay = 0.2
        found: list[bytes] = []

        async def impatient() -> None:
            with trio.move_on_after(0.05):
                await read(volume, 0, len(data))

        async def patient() -> None:
            found.append(await read(volume, 0, len(data)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(impatient)
            nursery.start_soon(patient)
        assert found == [data]
        assert len(places.calls) == 1


async def test_bytes_that_are_not_what_was_signed_are_refused_and_told(store: Store) -> None:
    data = noise(100_000)
    async with gone(store, data) as (volume, places):
        places.at["nas"].lies = {BlockRef(volume.content.number, 0)}
        with pytest.raises(Unreachable, match="not as it was signed"):
            await read(volume, 0, len(data))
        assert "not as it was signed" in (volume.returning.warning or "")
        places.at["nas"].lies.clear()
        assert await read(volume, 0, len(data)) == data
        assert volume.returning.warning is None


async def test_where_no_place_answers_the_reader_is_told_at_once_and_it_comes_back_by_itself(store: Store) -> None:
    data = noise(100_000)
    async with gone(store, data) as (volume, places):
        places.at["nas"].is_gone = True
        with pytest.raises(Unreachable, match="no place answers"):
            await read(volume, 0, len(data))
        assert volume.returning.warning
        places.at["nas"].is_gone = False
        assert await read(volume, 0, len(data)) == data


@pytest.mark.parametrize(
    "failure", [OSError(errno.ENOSPC, "No space left"), ExceptionGroup("of a nursery", [KeyError("No space left")])]
)
async def test_whatever_a_fetch_meets_is_an_answer_to_who_reads_and_the_drive_goes_on(
    store: Store, failure: Exception
) -> None:
    """A clone writes nodes of the tree while it fetches, so its own disk may be full."""

    async def fail(blocks: Sequence[BlockRef]) -> Mapping[BlockRef, bytes]:
        raise failure

    data = noise(100_000)
    async with gone(store, data) as (volume, places):
        vars(places)["fetch"] = fail
        with pytest.raises(Unreachable, match=r"could not be fetched: .*No space left"):
            await read(volume, 0, len(data))
        del vars(places)["fetch"]
        assert await read(volume, 0, len(data)) == data


async def test_a_place_that_hangs_is_given_up_at_the_deadline_and_others_fail_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(returning, "FETCH_SECONDS", 0.3)
    monkeypatch.setattr(returning, "SLOW_SECONDS", 0.1)
    data = noise(1 << 20)
    async with gone(store, data) as (volume, places):
        places.at["nas"].delay = 3600
        with pytest.raises(Unreachable):
            await read(volume, 0, 4096)
        calls = len(places.calls)
        with pytest.raises(Unreachable):
            await read(volume, 1 << 19, 4096)
        assert len(places.calls) == calls, "for a while nobody asks again"
        assert volume.returning.warning


async def test_asked_ahead_it_is_there_when_it_is_read(store: Store) -> None:
    data = noise(1 << 20)
    async with gone(store, data) as (volume, places):
        extents = volume.overlay.extents(inode_of(volume, b"f"), 0, len(data))
        volume.returning.ahead([BlockRef(e.log, e.block) for e in extents], keep=False)
        assert await read(volume, 0, len(data)) == data
        assert len(places.calls) == 1


async def test_a_file_is_edited_though_its_bytes_are_not_here(store: Store) -> None:
    data = noise(1 << 20)
    async with gone(store, data) as (volume, places):
        inode = inode_of(volume, b"f")
        await volume.files.write(inode, 500_000, b"new bytes")
        await volume.commit()
        assert places.calls == []
        volume.parts.chunkstore.cache.clear()
        expected = data[:500_000] + b"new bytes" + data[500_009:]
        assert await read(volume, 0, len(data)) == expected


async def test_what_is_cut_to_a_few_bytes_that_are_not_here_becomes_a_version(store: Store) -> None:
    data = noise(1 << 20)
    async with gone(store, data) as (volume, _):
        inode = inode_of(volume, b"f")
        await volume.files.resize(inode, 100)
        await volume.files.write(inode, 10, b"xy")
        await volume.commit()
        assert await read(volume, 0, 100) == data[:10] + b"xy" + data[12:100]


async def test_a_block_that_is_damaged_here_and_reads_as_zeros_is_had_from_elsewhere(store: Store) -> None:
    data = noise(100_000)
    async with store.opened() as volume:
        await write_file(volume, b"f", data)
        await volume.commit()
        places = InMemory(volume.parts.logs, "nas")
        volume.returning.elsewhere = places
        ref = BlockRef(volume.content.number, 0)
        places.at["nas"].blocks[ref] = volume.content.log.get(0)
        volume.content.log.punch(0, 1)
        volume.parts.chunkstore.cache.clear()
        assert await read(volume, 0, len(data)) == data
        await until(lambda: volume.parts.residence.is_whole)
        assert volume.content.log.holds(0)



async def test_a_delta_and_its_bases_come_with_one_question(store: Store) -> None:
    data = bytearray(noise(100_000))
    async with store.opened() as volume:
        inode = await write_file(volume, b"f", bytes(data))
        await volume.commit()
        for number in range(3):
            await volume.files.write(inode, 40_000 + number, b"%d" % number)
            data[40_000 + number : 40_001 + number] = b"%d" % number
            await volume.commit()
        extents = volume.overlay.extents(inode, 0, len(data))
        assert any(extent.bases for extent in extents), "it is to be a delta"
        places = InMemory(volume.parts.logs, "nas")
        volume.returning.elsewhere = places
        number, length = volume.content.number, volume.content.log.signed_length
        for index in range(length):
            places.at["nas"].blocks[BlockRef(number, index)] = volume.content.log.get(index)
        await volume.parts.residence.evict([Run(number, 0, length)], _yes)
        volume.parts.chunkstore.cache.clear()
        assert await read(volume, 0, len(data)) == bytes(data)
        assert len(places.calls) == 1
