"""A pack gives back what was put in, and a decoder of hostile bytes raises Corrupt and nothing else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfs.chunks import codec, pack
from hyperfs.chunks.codec import RAW, ZSTD, ZSTD_WITH_BASE
from hyperfs.chunks.pack import PackEntry
from hyperfs.errors import Corrupt, FormatTooNew

MOST = codec.MAX_DECODED_BYTES

ids = st.binary(min_size=16, max_size=16)


@st.composite
def entries(draw: st.DrawFn) -> PackEntry:
    chunk, payload = draw(ids), draw(st.binary(min_size=1, max_size=200))
    number = draw(st.sampled_from([RAW, RAW, ZSTD, ZSTD_WITH_BASE]))
    decoded = len(payload) if number == RAW else draw(st.integers(1, MOST if number == ZSTD_WITH_BASE else MOST // 20))
    return PackEntry(chunk, number, decoded, payload, draw(ids) if number == ZSTD_WITH_BASE else None)


@settings(max_examples=200)
@given(st.lists(entries(), min_size=1, max_size=20))
def test_round_trip(given_entries: list[PackEntry]) -> None:
    plaintext = pack.build(given_entries)
    assert len(plaintext) == pack.packed_size(given_entries)
    parsed = pack.parse(plaintext)
    assert len(parsed.slots) == len(given_entries)
    for number, (slot, entry) in enumerate(zip(parsed.slots, given_entries, strict=True)):
        assert (slot.chunk, slot.codec, slot.decoded_length, slot.base) == (
            entry.chunk,
            entry.codec,
            entry.decoded_length,
            entry.base,
        )
        assert parsed.payload(number) == entry.payload
        found = parsed.find(entry.chunk)
        assert found is not None
        assert parsed.slots[found].chunk == entry.chunk
    with pytest.raises(IndexError):
        parsed.payload(len(given_entries))


def test_an_id_that_is_not_in_the_pack_is_not_found() -> None:
    assert pack.parse(pack.build([PackEntry(b"a" * 16, RAW, 1, b"x")])).find(b"b" * 16) is None


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_random_bytes_are_corrupt_or_rebuild_to_themselves(plaintext: bytes) -> None:
    check_canonical(plaintext)


@settings(max_examples=300)
@given(st.lists(entries(), min_size=1, max_size=4), st.data())
def test_mutated_packs_are_corrupt_or_rebuild_to_themselves(
    given_entries: list[PackEntry], data: st.DataObject
) -> None:
    plaintext = bytearray(pack.build(given_entries))
    for _ in range(data.draw(st.integers(1, 3))):
        plaintext[data.draw(st.integers(0, len(plaintext) - 1))] = data.draw(st.integers(0, 255))
    check_canonical(bytes(plaintext[: data.draw(st.integers(0, len(plaintext)))]))
    check_canonical(bytes(plaintext))


def check_canonical(plaintext: bytes) -> None:
    """There is one encoding of each pack."""
    try:
        parsed = pack.parse(plaintext)
    except (Corrupt, FormatTooNew):
        return
    rebuilt = [
        PackEntry(slot.chunk, slot.codec, slot.decoded_length, parsed.payload(number), slot.base)
        for number, slot in enumerate(parsed.slots)
    ]
    assert pack.build(rebuilt) == plaintext


def test_a_later_format_is_named_as_such() -> None:
    with pytest.raises(FormatTooNew):
        pack.parse(b"\x02" + bytes(40))


def test_attack_m13_a_huge_count_costs_nothing() -> None:
    with pytest.raises(Corrupt, match="can't have"):
        pack.parse(b"\x01\0\0\0\xff\xff\xff\xff" + bytes(100))


@pytest.mark.parametrize(
    "entry",
    [
        PackEntry(b"a" * 16, RAW, 2, b"x"),
        PackEntry(b"a" * 15, RAW, 1, b"x"),
        PackEntry(b"a" * 16, RAW, 0, b""),
        PackEntry(b"a" * 16, 3, 1, b"x"),
        PackEntry(b"a" * 16, ZSTD_WITH_BASE, 1, b"x"),
        PackEntry(b"a" * 16, RAW, 1, b"x", b"b" * 16),
        PackEntry(b"a" * 16, ZSTD, (16 << 20) + 1, b"x"),
    ],
)
def test_what_a_reader_would_refuse_is_not_built(entry: PackEntry) -> None:
    with pytest.raises(ValueError, match=r"codec|bytes"):
        pack.build([entry])


def test_an_empty_pack_and_a_huge_one_are_not_built() -> None:
    with pytest.raises(ValueError, match="at least one"):
        pack.build([])
    with pytest.raises(ValueError, match="at most"):
        pack.build([PackEntry(b"a" * 16, RAW, 9 << 20, bytes(9 << 20))] * 2)


def test_entries_that_would_take_hours_to_decode_are_refused_before_any_is_decoded() -> None:
    small, big = bytes(9), codec.MAX_DECODED_BYTES
    entries = [PackEntry(bytes([number]) * 16, codec.ZSTD, big // 2, small) for number in range(3)]
    assert len(pack.parse(pack.build(entries[:2])).slots) == 2
    with pytest.raises(ValueError, match="as many"):
        pack.build(entries)
    one = pack.build(entries[:1])[pack.HEAD_BYTES :]
    directory, stored = one[: pack.ENTRY_BYTES], one[pack.ENTRY_BYTES :]
    head = bytes((pack.PACK_FORMAT, 0, 0, 0)) + (1000).to_bytes(4, "little")
    with pytest.raises(Corrupt, match="come to over"):
        pack.parse(head + directory * 1000 + stored * 1000)


def test_deltas_do_not_count_for_they_are_decoded_one_at_a_time() -> None:
    base = bytes(16)
    entries = [PackEntry(bytes([n]) * 16, codec.ZSTD_WITH_BASE, codec.MAX_DECODED_BYTES, b"d", base) for n in range(5)]
    assert len(pack.parse(pack.build(entries)).slots) == 5
