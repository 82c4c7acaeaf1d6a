"""Several nodes in one block, and the points that name them."""

import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.errors import Corrupt, FormatTooNew
from hyperfs.trie import block_of, node_pack, point_of, slot_of
from hyperfs.trie.node_pack import MAX_NODES, build, packed_size, parse

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "trie.json").read_text())
some_nodes = st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=20)


def nodes_of(pack: node_pack.NodePack) -> list[bytes]:
    return [pack.node(slot) for slot in range(len(pack))]


@given(st.integers(0, 1 << 52), st.integers(0, MAX_NODES - 1))
def test_a_point_is_a_block_and_a_slot(block: int, slot: int) -> None:
    point = point_of(block, slot)
    assert (block_of(point), slot_of(point)) == (block, slot)
    assert point < 1 << 64
    assert point.to_bytes(8, "little") == block.to_bytes(7, "little") + bytes([slot])


@pytest.mark.parametrize("case", VECTORS["packs"], ids=lambda case: case["name"])
def test_golden_packs_are_written_and_read(case: dict) -> None:
    nodes = [bytes.fromhex(node) for node in case["nodes"]]
    assert build(nodes).hex() == case["hex"]
    assert nodes_of(parse(bytes.fromhex(case["hex"]))) == nodes


@given(some_nodes)
def test_a_pack_gives_back_its_nodes(nodes: list[bytes]) -> None:
    data = build(nodes)
    assert len(data) == packed_size(len(nodes), sum(map(len, nodes)))
    assert nodes_of(parse(data)) == nodes


def test_a_pack_may_be_as_full_as_slots_allow() -> None:
    nodes = [bytes([n]) for n in range(MAX_NODES)]
    assert nodes_of(parse(build(nodes))) == nodes
    for unfit in ([], [b""], [*nodes, b"more"]):
        with pytest.raises(ValueError, match="1 to 256 nodes"):
            build(unfit)


@given(some_nodes)
def test_a_slot_that_is_not_there_is_corrupt(nodes: list[bytes]) -> None:
    pack = parse(build(nodes))
    for slot in (len(nodes), MAX_NODES - 1 if len(nodes) < MAX_NODES else MAX_NODES):
        with pytest.raises(Corrupt, match="reference to node"):
            pack.node(slot)


def accepts_only_what_build_writes(data: bytes) -> None:
    try:
        found = parse(data)
    except (Corrupt, FormatTooNew):
        return
    assert build(nodes_of(found)) == data


@given(st.binary(max_size=100), st.sampled_from([b"", b"\1", b"\1\1\0", b"\1\2\0", b"\2\1\0"]))
def test_random_bytes_are_no_pack_or_one_with_just_that_encoding(data: bytes, head: bytes) -> None:
    accepts_only_what_build_writes(head + data)


@given(some_nodes, st.data())
def test_a_damaged_pack_is_corrupt_or_another_with_just_that_encoding(nodes: list[bytes], data: st.DataObject) -> None:
    encoded = bytearray(build(nodes))
    at = data.draw(st.integers(0, len(encoded) - 1))
    match data.draw(st.sampled_from(["byte", "cut", "more"])):
        case "byte":
            encoded[at] = data.draw(st.integers(0, 255))
        case "cut":
            del encoded[at:]
        case "more":
            encoded[at:at] = data.draw(st.binary(min_size=1, max_size=9))
    accepts_only_what_build_writes(bytes(encoded))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\1\1",
        b"\0\1\0\1\0\0\0n",
        b"\1\0\0",
        b"\1\xff\xff" + bytes(40),
        b"\1\1\1" + b"\1\0\0\0" * 257 + bytes(257),
        b"\1\1\0\xff\xff\xff\xff" + bytes(40),
        b"\1\2\0" + b"\0\0\0\0\1\0\0\0" + b"n",
        b"\1\1\0\1\0\0\0" + b"nn",
    ],
)
def test_huge_and_impossible_numbers_are_corrupt_and_allocate_nothing(data: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(Corrupt):
        parse(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000


def test_a_pack_of_a_later_format_says_so() -> None:
    with pytest.raises(FormatTooNew):
        parse(b"\2\1\0\1\0\0\0n")
