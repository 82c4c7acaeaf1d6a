import tracemalloc

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from trie_model import MemoryLog, contents, identify

from hyperfs.errors import Corrupt
from hyperfs.trie import Leaf, Ref, canonical, canonical_size, decode, encode, update
from hyperfs.trie.node import Branch, make_branch, make_leaf, resolve


@st.composite
def leaves(draw: st.DrawFn) -> Leaf:
    contents = st.dictionaries(st.binary(max_size=20), st.binary(max_size=80), min_size=1)
    entries = sorted(draw(contents).items())
    hints = draw(st.lists(st.binary(max_size=20), min_size=len(entries), max_size=len(entries)))
    node = make_leaf([key for key, _ in entries], [value for _, value in entries], hints)
    assume(node.weight <= 4096)
    return node


@st.composite
def branches(draw: st.DrawFn) -> Branch:
    depth = draw(st.integers(0, 30))
    digits = draw(st.text("0123456789abcdef", min_size=depth, max_size=depth))
    prefix = bytes.fromhex(digits + "0" * (depth % 2))
    ends = None if depth % 2 else draw(st.none() | st.tuples(st.binary(max_size=99), st.binary(max_size=20)))
    children: list[Ref | None] = [None] * 16
    for nibble in draw(st.sets(st.integers(0, 15), min_size=2)):
        count = draw(st.integers(1, 1 << 40))
        children[nibble] = Ref(
            draw(st.binary(min_size=16, max_size=16)),
            draw(st.integers(0, (1 << 32) - 1)),
            draw(st.integers(0, (1 << 64) - 1)),
            draw(st.integers(8 * count, (1 << 44))) + 4096,
            count,
        )
    return make_branch(prefix, depth, ends, children)


nodes = st.one_of(leaves(), branches())


@given(nodes)
def test_a_node_comes_back_from_its_encoding(node: Leaf | Branch) -> None:
    data = encode(node)
    assert decode(data) == node
    assert data[: canonical_size(data)] == canonical(node)


@given(leaves())
def test_hints_are_no_part_of_a_leafs_identity(node: Leaf) -> None:
    elsewhere = make_leaf(node.keys, node.values, [b"elsewhere"] * node.count)
    assert canonical(elsewhere) == canonical(node)
    assert decode(encode(elsewhere)) == elsewhere


@given(branches())
def test_places_are_no_part_of_a_branchs_identity(node: Branch) -> None:
    children = [child and Ref(child.id, 7, 7, child.weight, child.count) for child in node.children]
    moved = make_branch(node.prefix, node.depth, node.ends and (node.ends[0], b"elsewhere"), children)
    assert canonical(moved) == canonical(node)


def accepts_only_what_encode_writes(data: bytes) -> None:
    try:
        node = decode(data)
    except Corrupt:
        with pytest.raises(Corrupt):
            canonical_size(data)
        return
    assert encode(node) == data
    assert canonical(node) == data[: canonical_size(data)]


@given(st.binary(max_size=300), st.sampled_from([b"", b"\x11", b"\x12", b"\x11\1\0", b"\x12\0\0\3\0\1\0"]))
def test_random_bytes_are_corrupt_or_a_node_with_just_that_encoding(data: bytes, head: bytes) -> None:
    accepts_only_what_encode_writes(head + data)


@given(nodes, st.data())
def test_a_damaged_node_is_corrupt_or_another_node_with_just_that_encoding(
    node: Leaf | Branch, data: st.DataObject
) -> None:
    encoded = bytearray(encode(node))
    at = data.draw(st.integers(0, len(encoded) - 1))
    match data.draw(st.sampled_from(["bit", "byte", "cut", "more", "less"])):
        case "bit":
            encoded[at] ^= 1 << data.draw(st.integers(0, 7))
        case "byte":
            encoded[at] = data.draw(st.integers(0, 255))
        case "cut":
            del encoded[at:]
        case "more":
            encoded[at:at] = data.draw(st.binary(min_size=1, max_size=9))
        case "less":
            del encoded[at : at + data.draw(st.integers(1, 9))]
    accepts_only_what_encode_writes(bytes(encoded))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x21\1\0\0\0",
        b"\x11" + b"\xff" * 4 + bytes(64),
        b"\x11\0\2\0\0" + b"\xff" * 2048,
        b"\x11\1\0\0\0\0\0" + b"\xff" * 4,
        b"\x12\xff\xff\3\0\0\0" + bytes(64),
        b"\x12\0\0\3\0\1\0\xff\xff\xff\xff" + bytes(64),
        b"\x12\0\0\xff\xff\1\0" + bytes(64),
    ],
)
def test_huge_numbers_in_a_node_allocate_nothing_of_the_kind(data: bytes) -> None:
    with pytest.raises(Corrupt):
        decode(data)  # the first time also builds the tables that are kept
    tracemalloc.start()
    with pytest.raises(Corrupt):
        decode(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200_000


@pytest.mark.parametrize("size", [0, 1, 65535, 65536])
def test_the_longest_key_and_value_fit_in_a_leaf_of_their_own(size: int) -> None:
    node = make_leaf([b"k" * 512], [b"v" * size], [b"h" * 255])
    assert decode(encode(node)) == node


def test_a_leaf_that_is_too_heavy_or_out_of_order_is_corrupt() -> None:
    heavy = make_leaf([b"a", b"b"], [bytes(2040), bytes(2040)], [b"", b""])
    for node in (
        heavy,
        make_leaf([b"b", b"a"], [b"", b""], [b"", b""]),
        make_leaf([b"a", b"a"], [b"", b""], [b"", b""]),
        make_leaf([b"k" * 513], [b""], [b""]),
        make_leaf([b"k"], [bytes(65537)], [b""]),
    ):
        with pytest.raises(Corrupt):
            decode(encode(node))


def test_a_branch_with_children_in_memory_is_not_encoded() -> None:
    child = make_leaf([b"a"], [b"v"], [b""])
    with pytest.raises(ValueError, match="after its children"):
        encode(make_branch(b"", 0, (b"v", b""), [None] * 6 + [child] + [None] * 9))


@given(contents.filter(bool))
def test_a_node_that_its_parent_did_not_promise_is_corrupt(entries: dict) -> None:
    log = MemoryLog()
    ref = log.of(entries)
    assert ref is not None
    for lie in (ref._replace(weight=ref.weight + 1), ref._replace(count=ref.count + 1)):
        with pytest.raises(Corrupt):
            resolve(log.load, lie)
        with pytest.raises(Corrupt):
            update(log.load, lie, [(b"key", (b"", b""))], lambda ref: None)


def test_the_id_is_the_hash_of_the_canonical_part() -> None:
    log = MemoryLog()
    ref = log.of({b"key": (b"value", b"hint")})
    assert ref is not None
    block = log.blocks[0]
    assert ref.id == identify(block[: canonical_size(block)])


REF = bytes(16) + (5000).to_bytes(8, "little") + (1).to_bytes(8, "little")
PLACE = bytes(12)


@pytest.mark.parametrize(
    ("why", "data"),
    [
        ("a prefix that isn't the longest", b"\x11\2\0\1\0" + b"\2\0\2\0" + bytes(4) + b"p" + b"qaqb"),
        ("a single key that isn't all prefix", b"\x11\1\0\0\0" + b"\1\0" + bytes(4) + b"k"),
        ("a table of hints that are all empty", b"\x11\1\0\1\0" + b"\0\0" + bytes(4) + b"k" + b"\0"),
        ("hints that stop short", b"\x11\1\0\1\0" + b"\0\0" + bytes(4) + b"k" + b"\2h"),
        ("padding that isn't zero", b"\x12\1\0\3\0\0\0" + b"\x61" + 2 * REF + 2 * PLACE),
        ("a child of no entries", b"\x12\0\0\3\0\0\0" + REF + REF[:24] + bytes(8) + 2 * PLACE),
        ("a child of less than its entries", b"\x12\0\0\3\0\0\0" + REF + REF[:24] + b"\xff" * 8 + 2 * PLACE),
        ("an unknown part", b"\x12\0\0\3\0\2\0" + 3 * REF + 3 * PLACE),
        ("one part", b"\x12\0\0\1\0\0\0" + REF[:16] + b"\xff\xff" + REF[18:] + PLACE),
        ("an end in the middle of a byte", b"\x12\1\0\1\0\1\0\x60" + bytes(4) + REF + b"\0" + PLACE),
        ("too light", b"\x12\0\0\3\0\0\0" + 2 * (REF[:16] + b"\0\1" + REF[18:]) + 2 * PLACE),
        ("too heavy", b"\x12\0\0\3\0\0\0" + 2 * (REF[:16] + b"\xff" * 8 + REF[24:]) + 2 * PLACE),
        ("more than it says", b"\x12\0\0\3\0\0\0" + 2 * REF + 2 * PLACE + b"\0"),
    ],
)
def test_what_encode_would_not_write_is_corrupt(why: str, data: bytes) -> None:
    with pytest.raises(Corrupt):
        decode(data)
    with pytest.raises(Corrupt):
        canonical_size(data)


def test_the_bytes_that_those_are_made_from_are_a_node() -> None:
    decode(b"\x12\1\0\3\0\0\0" + b"\x60" + 2 * REF + 2 * PLACE)
    decode(b"\x11\2\0\2\0" + b"\1\0\1\0" + bytes(4) + b"pq" + b"ab")
