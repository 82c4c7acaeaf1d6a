"""Golden bytes: every later version must read these, and write those that no compressor has touched."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from hyperfs.chunks import codec, extents, pack
from hyperfs.chunks.blocks import BlockPlan, PlannedChunk
from hyperfs.chunks.cache import BlockCache
from hyperfs.chunks.chunker import chunker_seed
from hyperfs.chunks.chunkstore import ChunkStore
from hyperfs.chunks.extents import WHOLE_BLOCK, Extent, Place
from hyperfs.chunks.pack import PackEntry
from hyperfs.crypto.keys import EpochKeys, SigningKeyPair
from hyperfs.crypto.seal import CIPHER_AES_256_GCM, Sealer
from hyperfs.log.log import Log
from hyperfs.store.files import Disk

ROOT = Path(__file__).parents[2]
VECTORS: dict[str, Any] = json.loads((ROOT / "tests/vectors/chunks.json").read_text())
KEYS = EpochKeys(VECTORS["epoch"], bytes.fromhex(VECTORS["epoch_key"]), bytes.fromhex(VECTORS["drive_key"]))
NUMBER = VECTORS["log_number"]
Blocks = tuple[ChunkStore, Log]


def unhex(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)


def examples(page: str) -> dict[str, bytes]:
    """The ```hex blocks of a format page, by name; `;` begins a comment."""
    text = (ROOT / "docs/formats" / page).read_text()
    found = re.findall(r"^```hex ([\w ]+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return {name: bytes.fromhex(re.sub(r";.*", "", body)) for name, body in found}


@pytest.fixture
def golden(tmp_path: Path) -> Blocks:
    """The blocks in a real log, and a store that knows where each chunk lies."""
    log = Log.create(Disk(tmp_path), "log", SigningKeyPair(bytes.fromhex(VECTORS["log_seed"])), NUMBER)
    log.append([bytes.fromhex(block["block"]) for block in VECTORS["blocks"]])
    places = {
        bytes.fromhex(chunk["id"]): Place(NUMBER, block["index"], chunk["slot"])
        for block in VECTORS["blocks"]
        for chunk in block["chunks"]
    }
    sealer = Sealer({KEYS.epoch: KEYS}, {CIPHER_AES_256_GCM}, KEYS.epoch)
    return ChunkStore({NUMBER: log}, sealer, KEYS.chunk_id_key(), BlockCache(1 << 20), places.get), log


def test_the_keys_are_derived_as_ever(golden: Blocks) -> None:
    assert golden[1].key.hex() == VECTORS["log_key"]
    assert KEYS.chunk_id_key().hex() == VECTORS["chunk_id_key"]
    assert chunker_seed(KEYS.chunk_id_key()) == VECTORS["chunker_seed"]


@pytest.mark.parametrize("block", VECTORS["blocks"], ids=lambda block: block["what"])
def test_a_golden_block_is_read(golden: Blocks, block: dict[str, Any]) -> None:
    store, _ = golden
    facts = store.check_block(NUMBER, block["index"])
    assert (facts.kind, facts.codec, facts.decoded_bytes, facts.stored_bytes) == (
        block["kind"],
        block["codec"],
        block["decoded_length"],
        len(block["block"]) // 2,
    )
    assert [(fact.slot, fact.chunk, fact.base) for fact in facts.chunks] == [
        (chunk["slot"], unhex(chunk["id"]), unhex(chunk["base"])) for chunk in block["chunks"]
    ]
    for chunk in block["chunks"]:
        data = bytes.fromhex(chunk["data"])
        assert store.identify([data]) == [unhex(chunk["id"])]
        place = Place(NUMBER, block["index"], chunk["slot"])
        extent = Extent(0, len(data), bytes.fromhex(chunk["id"]), 0, len(data), *place)
        assert store.read([extent], 0, len(data)) == data


def test_both_deltas_are_there() -> None:
    """One as a block of its own, one in a pack."""
    bases = [(b["kind"], chunk["slot"]) for b in VECTORS["blocks"] for chunk in b["chunks"] if chunk["base"]]
    assert bases == [(1, WHOLE_BLOCK), (2, 1)]


@pytest.mark.parametrize("block", [block for block in VECTORS["blocks"] if block["plan"]])
def test_a_golden_block_is_written(golden: Blocks, block: dict[str, Any]) -> None:
    store, log = golden
    chunks = tuple(PlannedChunk(bytes.fromhex(c["id"]), bytes.fromhex(c["data"])) for c in block["chunks"])
    sealed = store.seal_block(
        BlockPlan(chunks),
        log_number=NUMBER,
        log_key=log.key,
        fork=0,
        index=block["index"],
        nonce=bytes.fromhex(block["nonce"]),
    )
    assert sealed.block.hex() == block["block"]


@pytest.mark.parametrize("vector", VECTORS["packs"])
def test_packs(vector: dict[str, Any]) -> None:
    entries = [
        PackEntry(
            bytes.fromhex(entry["id"]),
            entry["codec"],
            entry["decoded_length"],
            bytes.fromhex(entry["payload"]),
            unhex(entry["base"]),
        )
        for entry in vector["entries"]
    ]
    assert pack.build(entries).hex() == vector["plaintext"]
    parsed = pack.parse(bytes.fromhex(vector["plaintext"]))
    assert [slot.chunk for slot in parsed.slots] == [entry.chunk for entry in entries]
    assert [parsed.payload(number) for number in range(len(entries))] == [e.payload for e in entries]


@pytest.mark.parametrize("vector", VECTORS["deltas"])
def test_deltas(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["data"])
    payload, base = bytes.fromhex(vector["payload"]), bytes.fromhex(vector["base"])
    assert codec.decode(codec.ZSTD_WITH_BASE, payload, len(data), base) == data


@pytest.mark.parametrize("vector", VECTORS["extents"])
def test_extents(vector: dict[str, Any]) -> None:
    fields = {
        name: vector[name] for name in ("offset", "length", "skip", "chunk_length", "log", "block", "slot")
    }
    bases = tuple(Place(*numbers) for numbers in vector.get("bases", ()))
    extent = Extent(chunk=bytes.fromhex(vector["chunk"]), bases=bases, **fields)
    assert extents.encode_value(extent).hex() == vector["value"]
    assert extents.encode_hint(extent).hex() == vector["hint"]
    value, hint = bytes.fromhex(vector["value"]), bytes.fromhex(vector["hint"])
    assert extents.decode(vector["offset"], value, hint) == extent


def test_the_page_on_chunks_shows_the_golden_bytes() -> None:
    shown = examples("chunk-and-pack.md")
    assert shown["pack"].hex() == VECTORS["packs"][0]["plaintext"]
    assert shown["delta"].hex() == VECTORS["blocks"][2]["block"]
    assert shown["frame"].hex() == VECTORS["deltas"][0]["payload"]


def test_the_page_on_extents_shows_the_golden_bytes() -> None:
    shown = examples("extent.md")
    assert shown["value"].hex() == VECTORS["extents"][1]["value"]
    assert shown["hint"].hex() == VECTORS["extents"][1]["hint"]
    assert shown["hint of a delta"].hex() == VECTORS["extents"][3]["hint"]
