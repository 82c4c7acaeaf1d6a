"""From bytes through a real log and back; and everything that may be wrong on the way up."""

import random
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfs.chunks import codec, pack
from hyperfs.chunks.chunker import Chunker
from hyperfs.chunks.codec import RAW, ZSTD, ZSTD_WITH_BASE
from hyperfs.chunks.extents import WHOLE_BLOCK, Extent, Place, cut
from hyperfs.chunks.pack import PackEntry
from hyperfs.chunks.resolver import MAX_DELTAS
from hyperfs.crypto.ids import chunk_id
from hyperfs.crypto.keys import EpochKeys
from hyperfs.crypto.seal import KIND_CHUNK, KIND_NODES, KIND_PACK, KIND_VOID
from hyperfs.errors import Corrupt, FormatTooNew, KeyMissing, NotResident
from hyperfs.values import BlockRef

Content = Any  # tests/chunks/conftest.py
NUMBER = 2


def noise(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


def text(size: int, seed: int = 0) -> bytes:
    return (b"line %d of a file\n" % seed * (size // 10 + 1))[:size]


def ident(content: Content, data: bytes) -> bytes:
    (found,) = content.store.identify([data])
    return found


def whole(content: Content, data: bytes, index: int, slot: int = WHOLE_BLOCK) -> Extent:
    return Extent(0, len(data), ident(content, data), 0, len(data), NUMBER, index, slot)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 300_000)), min_size=1, max_size=8),
    st.lists(st.tuples(st.integers(0, 1_000_000), st.integers(0, 300_000)), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(0, 1_000_000), st.integers(0, 100_000)), max_size=2),
    st.sampled_from([0, 300_000, 64 << 20]),
)
def test_what_is_written_is_read(
    parts: list[tuple[bool, int]], reads: list[tuple[int, int]], holes: list[tuple[int, int]], cache: int
) -> None:
    pieces = [noise(size, seed) if noisy else text(size, seed) for seed, (noisy, size) in enumerate(parts)]
    data = bytearray(b"".join(pieces))
    with tempfile.TemporaryDirectory() as folder:
        content = make(Path(folder), cache)
        extents = content.write(pieces)
        for start, size in holes:
            extents = cut(extents, start, start + size)
            data[start : start + size] = bytes(len(data[start : start + size]))
        for offset, size in [*reads, (0, len(data))]:
            offset = min(offset, len(data))
            size = min(size, len(data) - offset)
            assert content.store.read(extents, offset, size) == data[offset : offset + size]
        for extent in extents:
            assert content.store.read_chunk(extent) in pieces
        content.log.close()


make: Callable[..., Content]


@pytest.fixture(autouse=True)
def _make(make_content: Callable[..., Content]) -> None:
    global make  # noqa: PLW0603 - Hypothesis wants no function-scoped fixture in a property
    make = make_content


def test_a_file_survives_flush_and_reopening(content: Content) -> None:
    data = noise(700_000, 1) + text(500_000)
    ends = Chunker().cut(data, final=True)
    pieces = [data[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]
    extents = content.write(pieces)
    content.log.flush()
    content.cache.clear()
    assert content.store.read(extents, 0, len(data)) == data
    assert content.log.byte_length < 900_000


def test_a_whole_chunk_is_read_without_a_copy(content: Content) -> None:
    (extent,) = content.write([noise(100_000, 1)])
    first = content.store.read([extent], 0, 100_000)
    assert content.store.read([extent], 0, 100_000) is first


def test_small_chunks_share_a_block_and_their_reads_share_the_cache(content: Content) -> None:
    pieces = [text(1000, seed) for seed in range(50)]
    extents = content.write(pieces)
    assert content.log.length == 1
    assert content.store.read(extents, 0, 50_000) == b"".join(pieces)
    assert len(content.cache) == 1


def test_threads_seal_what_one_would(content: Content) -> None:
    pieces = [noise(90_000, seed) + text(90_000) for seed in range(12)]
    plans = content.store.layout(list(zip(content.store.identify(pieces), pieces, strict=True)))

    def seal(index: int) -> object:
        return content.store.seal_block(
            plans[index],
            log_number=NUMBER,
            log_key=content.log.key,
            fork=0,
            index=index,
            nonce=index.to_bytes(12, "big"),
        )

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(seal, range(12))) == [seal(index) for index in range(12)]


def test_threads_may_read_at_once_through_a_small_cache(tmp_path: Path) -> None:
    content = make(tmp_path, 1 << 20)
    pieces = [noise(70_000 + seed, seed) for seed in range(30)]
    extents = content.write(pieces)
    data = b"".join(pieces)

    def read(seed: int) -> None:
        where = random.Random(seed)
        for _ in range(40):
            offset = where.randrange(len(data))
            size = min(200_000, len(data) - offset)
            assert content.store.read(extents, offset, size) == data[offset : offset + size]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(read, range(4)))
    content.log.close()


# Damage


def test_attack_m01_a_flipped_byte_is_never_read_as_data(content: Content) -> None:
    pieces = [noise(70_000, 1), text(80_000), *[text(500, seed) for seed in range(9)]]
    extents = content.write(pieces)
    content.log.flush()
    where = random.Random(7)
    blocks_file = content.folder / "log" / "blocks"
    original = blocks_file.read_bytes()
    for index in range(content.log.length):
        start, size = content.log.block_range(index)
        positions = [*range(70), *range(size - 20, size), *(where.randrange(size) for _ in range(60))]
        hit = [extent for extent in extents if extent.block == index]
        for position in positions:
            damaged = bytearray(original)
            damaged[start + position] ^= 1 << where.randrange(8)
            blocks_file.write_bytes(damaged)
            content.cache.clear()
            for extent in hit[:2]:
                with pytest.raises((Corrupt, FormatTooNew, KeyMissing)):
                    content.store.read_chunk(extent)
            with pytest.raises((Corrupt, FormatTooNew, KeyMissing)):
                content.store.check_block(NUMBER, index)
    blocks_file.write_bytes(original)
    assert content.store.read(extents, 0, sum(map(len, pieces))) == b"".join(pieces)


def test_attack_m02_blocks_that_changed_places_are_corrupt(content: Content) -> None:
    one, two = content.write([noise(70_000, 1), noise(70_000, 2)])
    blocks_file = content.folder / "log" / "blocks"
    data = blocks_file.read_bytes()
    half = len(data) // 2
    blocks_file.write_bytes(data[half:] + data[:half])
    for extent in (one, two):
        with pytest.raises(Corrupt, match="sealed as"):
            content.store.read_chunk(extent)


def test_every_missing_block_of_a_read_is_named(content: Content) -> None:
    pieces = [noise(70_000, seed) for seed in range(6)]
    extents = content.write(pieces)
    content.log.flush()
    content.log.punch(1, 3)
    content.log.punch(4, 5)
    with pytest.raises(NotResident) as absent:
        content.store.read(extents, 0, 6 * 70_000)
    assert absent.value.blocks == (BlockRef(2, 1), BlockRef(2, 2), BlockRef(2, 4))
    with pytest.raises(NotResident) as absent:
        content.store.read(extents, 3 * 70_000 + 5, 70_000)
    assert absent.value.blocks == (BlockRef(2, 4),)
    assert content.store.read(extents, 3 * 70_000, 70_000) == pieces[3]
    with pytest.raises(NotResident):
        content.store.check_block(NUMBER, 1)


def test_what_is_cached_outlives_its_block(content: Content) -> None:
    (extent,) = content.write([noise(70_000, 1)])
    data = content.store.read_chunk(extent)
    content.log.flush()
    content.log.punch(0, 1)
    assert content.store.read_chunk(extent) == data


def test_an_index_that_a_rollback_gave_away_is_read_anew(content: Content) -> None:
    (old,) = content.write([noise(70_000, 1)])
    content.store.read_chunk(old)
    content.log.rollback(0)
    (new,) = content.write([noise(70_000, 2)])
    assert content.store.read_chunk(new) == noise(70_000, 2)
    with pytest.raises(Corrupt, match="is not there"):
        content.store.read_chunk(old)


def test_an_extent_that_points_nowhere_is_corrupt(content: Content) -> None:
    (extent,) = content.write([noise(70_000, 1)])
    with pytest.raises(Corrupt, match="the log ends at 1"):
        content.store.read_chunk(extent._replace(block=1))
    with pytest.raises(Corrupt, match="none of that number"):
        content.store.read_chunk(extent._replace(log=8))
    with pytest.raises(Corrupt, match="where an extent says"):
        content.store.read_chunk(extent._replace(chunk_length=70_001))


@pytest.mark.parametrize("kind", [KIND_VOID, KIND_NODES])
def test_a_block_of_another_kind_is_no_content(content: Content, kind: int) -> None:
    data = noise(100, 1)
    index = content.append(kind, RAW, 100, data)
    with pytest.raises(Corrupt, match=f"kind {kind}"):
        content.store.read_chunk(whole(content, data, index))


def test_a_block_of_another_realm_is_refused(content: Content) -> None:
    data = noise(100, 1)
    index = content.append(KIND_CHUNK, RAW, 100, data, realm=1)
    with pytest.raises(Corrupt, match="realm 1"):
        content.store.read_chunk(whole(content, data, index))


def test_a_pack_without_the_chunk_is_corrupt(content: Content) -> None:
    extents = content.write([text(900, seed) for seed in range(3)])
    with pytest.raises(Corrupt, match="is not there"):
        content.store.read_chunk(extents[0]._replace(chunk=b"x" * 16))


def test_a_pack_block_has_no_base(content: Content) -> None:
    states = chain(content, 0)
    plaintext = pack.build([PackEntry(ident(content, b"abc"), RAW, 3, b"abc")])
    payload = codec.encode_delta(plaintext, states[0])
    index = content.append(KIND_PACK, ZSTD_WITH_BASE, len(plaintext), payload, base=ident(content, states[0]))
    with pytest.raises(Corrupt, match="with a base"):
        content.store.check_block(NUMBER, index)


def test_a_pack_whose_directory_lies_is_corrupt(content: Content) -> None:
    plaintext = pack.build([PackEntry(b"i" * 16, RAW, 3, b"abc")])
    index = content.append(KIND_PACK, RAW, len(plaintext), plaintext)
    with pytest.raises(Corrupt, match="is named"):
        content.store.read_chunk(Extent(0, 3, b"i" * 16, 0, 3, NUMBER, index, 0))
    with pytest.raises(Corrupt, match="is named"):
        content.store.check_block(NUMBER, index)


def test_attack_m13_a_sealed_bomb_is_refused(content: Content) -> None:
    payload = codec.encode(bytes(16 << 20))[1]
    index = content.append(KIND_CHUNK, ZSTD, 1000, bytes(payload))
    with pytest.raises(Corrupt, match="announced"):
        content.store.check_block(NUMBER, index)


# Moved chunks


def test_a_chunk_that_was_moved_is_found_through_its_place(content: Content) -> None:
    (old,) = content.write([text(900)])
    (new, _) = content.write([text(900), text(800, 1)])
    content.log.flush()
    content.log.punch(0, 1)
    with pytest.raises(NotResident) as absent:
        content.store.read_chunk(old)
    assert absent.value.blocks == (BlockRef(NUMBER, 0),)
    content.places[old.chunk] = new.place
    assert content.store.read_chunk(old) == text(900)
    content.cache.clear()
    content.log.punch(1, 2)
    with pytest.raises(NotResident) as absent:
        content.store.read_chunk(old)
    assert absent.value.blocks == (BlockRef(NUMBER, 1),)


def test_a_wrong_slot_costs_a_search_and_no_more(content: Content) -> None:
    extents = content.write([text(900, seed) for seed in range(3)])
    assert content.store.read_chunk(extents[1]._replace(slot=0)) == text(900, 1)
    assert content.store.read_chunk(extents[1]._replace(slot=77)) == text(900, 1)


# Deltas


def chain(content: Content, length: int) -> list[bytes]:
    """A chunk and `length` edits of it, each a delta against the one before."""
    states = [noise(3_000, 1)]
    index = content.append(KIND_CHUNK, RAW, 3_000, states[0])
    content.places[ident(content, states[0])] = Place(NUMBER, index, WHOLE_BLOCK)
    for number in range(length):
        base = states[-1]
        data = base[:1_000] + b"edit %d" % number + base[1_000:]
        payload = codec.encode_delta(data, base)
        assert len(payload) < 100
        index = content.append(KIND_CHUNK, ZSTD_WITH_BASE, len(data), payload, base=ident(content, base))
        content.places[ident(content, data)] = Place(NUMBER, index, WHOLE_BLOCK)
        states.append(data)
    return states


@pytest.mark.parametrize("warm", [False, True])
def test_a_chain_of_deltas_is_read_up_to_the_limit(content: Content, warm: bool) -> None:
    states = chain(content, MAX_DELTAS + 1)
    for number, data in enumerate(states[:-1]):
        if not warm:
            content.cache.clear()
        assert content.store.read_chunk(whole(content, data, number)) == data
        (fact,) = content.store.check_block(NUMBER, number).chunks
        assert (fact.chunk, fact.length) == (ident(content, data), len(data))
        assert fact.base == (ident(content, states[number - 1]) if number else None)
    if not warm:
        content.cache.clear()
    with pytest.raises(Corrupt, match="chain"):
        content.store.read_chunk(whole(content, states[-1], MAX_DELTAS + 1))


def test_bases_are_read_where_the_extent_says(content: Content) -> None:
    states = chain(content, MAX_DELTAS)
    content.places.clear()
    places = [Place(NUMBER, number, WHOLE_BLOCK) for number in range(len(states))]
    for number, data in enumerate(states):
        content.cache.clear()
        extent = whole(content, data, number)
        assert content.store.read_chunk(extent._replace(bases=tuple(reversed(places[:number])))) == data
    content.cache.clear()
    with pytest.raises(Corrupt, match="nowhere"):
        content.store.read_chunk(whole(content, states[-1], MAX_DELTAS)._replace(bases=(places[-2], places[-3])))


def test_a_base_that_moved_is_read_where_the_newest_root_says(content: Content) -> None:
    states = chain(content, 1)
    content.places.clear()
    content.write([noise(900, 7)])
    wrong = Place(NUMBER, 2, WHOLE_BLOCK)
    content.places[ident(content, states[0])] = Place(NUMBER, 0, WHOLE_BLOCK)
    content.cache.clear()
    assert content.store.read_chunk(whole(content, states[1], 1)._replace(bases=(wrong,))) == states[1]


def test_deltas_that_need_each_other_are_corrupt(content: Content) -> None:
    one, two = noise(500, 1), noise(500, 2)
    for data, base in ((one, two), (two, one)):
        payload = codec.encode_delta(data, base)
        index = content.append(KIND_CHUNK, ZSTD_WITH_BASE, 500, payload, base=ident(content, base))
        content.places[ident(content, data)] = Place(NUMBER, index, WHOLE_BLOCK)
    with pytest.raises(Corrupt, match="chain"):
        content.store.read_chunk(whole(content, one, 0))


def test_a_missing_base_is_named(content: Content) -> None:
    states = chain(content, 1)
    content.log.flush()
    content.log.punch(0, 1)
    with pytest.raises(NotResident) as absent:
        content.store.read_chunk(whole(content, states[1], 1))
    assert absent.value.blocks == (BlockRef(NUMBER, 0),)


def test_a_base_without_a_place_is_corrupt(content: Content) -> None:
    states = chain(content, 1)
    content.places.clear()
    with pytest.raises(Corrupt, match="nowhere"):
        content.store.read_chunk(whole(content, states[1], 1))


def test_a_pack_may_hold_deltas(content: Content) -> None:
    base, plain = noise(3_000, 1), text(700)
    data = base[:500] + b"!" + base[500:]
    content.write([base])
    content.places[ident(content, base)] = Place(NUMBER, 0, WHOLE_BLOCK)
    payload = codec.encode_delta(data, base)
    entries = [
        PackEntry(ident(content, plain), RAW, len(plain), plain),
        PackEntry(ident(content, data), ZSTD_WITH_BASE, len(data), payload, ident(content, base)),
        PackEntry(ident(content, plain), ZSTD, len(plain), codec.encode(plain)[1]),
    ]
    plaintext = pack.build(entries)
    index = content.append(KIND_PACK, RAW, len(plaintext), plaintext)
    for _ in range(2):
        assert content.store.read_chunk(whole(content, data, index, 1)) == data
        assert content.store.read_chunk(whole(content, plain, index, 0)) == plain
        assert content.store.read_chunk(whole(content, plain, index, 2)) == plain
    facts = content.store.check_block(NUMBER, index)
    assert [fact.length for fact in facts.chunks] == [700, 3_001, 700]
    assert facts.chunks[1].base == ident(content, base)


def test_a_delta_in_a_pack_against_the_wrong_base_is_corrupt(content: Content) -> None:
    base, other = noise(3_000, 1), noise(3_000, 2)
    data = base[:500] + b"!" + base[500:]
    content.write([other])
    content.places[ident(content, other)] = Place(NUMBER, 0, WHOLE_BLOCK)
    payload = codec.encode_delta(data, base)
    entry = PackEntry(ident(content, data), ZSTD_WITH_BASE, len(data), payload, ident(content, other))
    plaintext = pack.build([entry])
    index = content.append(KIND_PACK, RAW, len(plaintext), plaintext)
    with pytest.raises(Corrupt):
        content.store.read_chunk(whole(content, data, index, 0))
    with pytest.raises(Corrupt):
        content.store.check_block(NUMBER, index)


# Facts for verify


def test_a_block_is_described(content: Content) -> None:
    pieces = [text(80_000), text(10, 1), text(20, 2)]
    content.write(pieces)
    big, small = content.store.check_block(NUMBER, 0), content.store.check_block(NUMBER, 1)
    assert (big.kind, big.codec, big.decoded_bytes) == (KIND_CHUNK, ZSTD, 80_000)
    assert big.stored_bytes == content.log.block_range(0)[1]
    assert [(fact.slot, fact.length) for fact in big.chunks] == [(WHOLE_BLOCK, 80_000)]
    assert small.kind == KIND_PACK
    assert [(fact.slot, fact.chunk, fact.length) for fact in small.chunks] == [
        (0, ident(content, pieces[1]), 10),
        (1, ident(content, pieces[2]), 20),
    ]


def test_a_void_block_has_no_chunks(content: Content) -> None:
    sealed = content.store.seal_void(
        log_number=NUMBER, log_key=content.log.key, fork=0, index=0, nonce=content.nonce()
    )
    content.log.append([sealed.block], [sealed.leaf_hash])
    facts = content.store.check_block(NUMBER, 0)
    assert (facts.kind, facts.decoded_bytes, facts.chunks) == (KIND_VOID, 0, ())


def test_ids_are_keyed_and_those_of_the_crypto_package(content: Content) -> None:
    key = EpochKeys(1, b"e" * 32, b"d" * 32).chunk_id_key()
    assert content.store.identify([b"a", memoryview(b"b")]) == [chunk_id(key, b"a"), chunk_id(key, b"b")]
