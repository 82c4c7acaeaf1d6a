from hypothesis import given
from hypothesis import strategies as st

from hyperfs.trie.nibbles import beyond, child_start, common_nibbles, cut, nibble_at

short = st.lists(st.sampled_from([0, 1, 0x10, 0x1F, 0xF0, 0xFF]), max_size=4).map(bytes)


@given(short, short)
def test_common_nibbles_is_what_the_hex_digits_share(a: bytes, b: bytes) -> None:
    shared = 0
    while a.hex()[shared : shared + 1] and a.hex()[shared : shared + 1] == b.hex()[shared : shared + 1]:
        shared += 1
    assert common_nibbles(a, b) == shared


@given(short, st.data())
def test_cut_and_nibble_at_follow_the_hex_digits(key: bytes, data: st.DataObject) -> None:
    depth = data.draw(st.integers(0, 2 * len(key)))
    assert cut(key, depth).hex() == key.hex()[:depth] + "0" * (depth % 2)
    if depth < 2 * len(key):
        assert nibble_at(key, depth) == int(key.hex()[depth], 16)


def test_the_end_of_a_prefix_that_carries_is_the_shorter_key() -> None:
    assert beyond(b"\x0f\xff", 4) == b"\x10"
    assert beyond(b"\x00\xf0", 3) == b"\x01"
    assert beyond(b"\x00\xff\xff", 6) == b"\x01"
    assert beyond(b"\xff\xf0", 3) is None
    assert beyond(b"", 0) is None


@given(short, short, st.data())
def test_a_prefix_bounds_exactly_the_keys_below_it(key: bytes, other: bytes, data: st.DataObject) -> None:
    depth = data.draw(st.integers(0, 2 * len(key)))
    prefix, end = cut(key, depth), beyond(cut(key, depth), depth)
    assert (prefix <= other and (end is None or other < end)) == other.hex().startswith(key.hex()[:depth])
    for nibble in range(16):
        start = child_start(prefix, depth, nibble)
        assert start.hex().startswith(f"{key.hex()[:depth]}{nibble:x}")
        assert start.hex()[depth + 1 :] in ("", "0")
