"""Whatever is encoded comes back; whatever else comes in is Corrupt, at bounded cost."""

import random
import tracemalloc

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfs.chunks import codec
from hyperfs.chunks.codec import RAW, ZSTD, ZSTD_WITH_BASE
from hyperfs.errors import Corrupt


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def text(size: int) -> bytes:
    return (b"".join([b"line %d of a file\n" % i for i in range(size // 12 + 1)]))[:size]


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """Mixtures of the random and the regular, up to 256 KiB."""
    parts = draw(st.lists(st.tuples(st.booleans(), st.integers(0, 65_536)), max_size=4))
    return b"".join([noise(size, size) if noisy else text(size) for noisy, size in parts]) + draw(
        st.binary(max_size=100)
    )


@settings(max_examples=60, deadline=None)
@given(contents(), st.sampled_from([-7, -3, 1, 3]), st.booleans())
def test_round_trip(data: bytes, level: int, as_view: bool) -> None:
    number, payload = codec.encode(memoryview(data) if as_view else data, level)
    assert number in (RAW, ZSTD)
    assert len(payload) <= len(data)
    assert codec.decode(number, payload, len(data)) == data


def test_raw_bytes_are_handed_on_without_a_copy() -> None:
    data = noise(128 << 10)
    number, payload = codec.encode(data)
    assert number == RAW
    assert payload is data
    assert codec.decode(RAW, payload, len(data)) is data


@pytest.mark.parametrize("period", [512, 4096, 16384, 65536])
def test_half_random_data_is_not_taken_for_random(period: int) -> None:
    unit = noise(period) + text(period)
    data = unit * ((256 << 10) // len(unit))
    number, payload = codec.encode(data)
    assert number == ZSTD
    assert len(payload) < 0.7 * len(data)


def test_data_that_only_entropy_coding_shrinks_passes_the_probe() -> None:
    letters = bytes(random.Random(5).choices(b"abcdefghijklmnop", k=128 << 10))
    number, payload = codec.encode(letters)
    assert number == ZSTD
    assert len(payload) < 0.6 * len(letters)


def test_more_than_a_reader_takes_is_not_written() -> None:
    with pytest.raises(ValueError, match="at most"):
        codec.encode(bytes(codec.MAX_DECODED_BYTES + 1))


@settings(max_examples=40, deadline=None)
@given(contents(), st.integers(0, 5_000), st.binary(max_size=60))
def test_a_delta_round_trips_against_its_base_only(base: bytes, at: int, inserted: bytes) -> None:
    base = base + b"base"
    data = base[:at] + inserted + base[at:]
    payload = codec.encode_delta(data, base)
    assert codec.decode(ZSTD_WITH_BASE, payload, len(data), base) == data
    with pytest.raises(Corrupt):
        codec.decode(ZSTD_WITH_BASE, payload, len(data))
    with pytest.raises(Corrupt):
        codec.decode(ZSTD, payload, len(data), base)


def test_a_delta_of_an_edit_is_small() -> None:
    base = noise(200 << 10)
    data = base[:70_000] + b"edited" + base[70_000:]
    assert len(codec.encode_delta(data, base)) < 200


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_mutated_payload_is_corrupt_or_of_the_announced_length(data: st.DataObject) -> None:
    """The codec has no checksum: the seal and the chunk id are what tells. Nothing else may be raised."""
    plain = text(3_000) + noise(300)
    payload = bytearray(zstandard.compress(plain, 1))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(payload)))
    if data.draw(st.booleans()):
        payload = payload[:cut]
    try:
        decoded = codec.decode(ZSTD, bytes(payload), len(plain))
    except Corrupt:
        return
    assert len(decoded) == len(plain)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 255), st.binary(max_size=300), st.integers(-1, 1 << 40), st.none() | st.binary(max_size=9)
)
def test_any_input_is_decoded_or_corrupt(
    number: int, payload: bytes, length: int, base: bytes | None
) -> None:
    try:
        decoded = codec.decode(number, payload, length, base)
    except Corrupt:
        return
    assert len(decoded) == length


def bomb(size: int) -> bytes:
    return zstandard.ZstdCompressor(level=3).compress(bytes(size))


@pytest.mark.parametrize("announced", [0, 1, 1_000, codec.MAX_DECODED_BYTES, codec.MAX_DECODED_BYTES + 1])
@pytest.mark.parametrize("streamed", [False, True], ids=["sized", "unsized"])
def test_attack_m13_a_bomb_is_refused_within_the_announced_memory(announced: int, streamed: bool) -> None:
    payload = bomb(256 << 20)
    if streamed:  # a frame without content size
        compressor = zstandard.ZstdCompressor(write_content_size=False).compressobj()
        payload = compressor.compress(bytes(64 << 20)) + compressor.flush()
    tracemalloc.start()
    try:
        with pytest.raises(Corrupt):
            codec.decode(ZSTD, payload, announced)
        assert tracemalloc.get_traced_memory()[1] < announced + (1 << 20)
    finally:
        tracemalloc.stop()


def test_a_frame_that_lies_about_its_size_is_corrupt() -> None:
    payload = bytearray(zstandard.ZstdCompressor().compress(bytes(100_000)))
    at = payload.index((100_000).to_bytes(4, "little"))
    payload[at : at + 4] = (1_000).to_bytes(4, "little")
    with pytest.raises(Corrupt):
        codec.decode(ZSTD, bytes(payload), 1_000)


def test_bytes_behind_the_frame_are_corrupt() -> None:
    payload = zstandard.compress(text(1_000))
    with pytest.raises(Corrupt):
        codec.decode(ZSTD, payload + b"x", 1_000)
    with pytest.raises(Corrupt):
        codec.decode(ZSTD, payload + payload, 1_000)
