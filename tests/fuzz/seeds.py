"""Valid examples of every format, made by the encoders or taken from the golden vectors."""

import json
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from hyperfs.chunks import codec
from hyperfs.chunks.pack import PackEntry, build
from hyperfs.crypto import shares
from hyperfs.crypto.ids import chunk_id
from hyperfs.crypto.seal import BlockHeader
from hyperfs.log import heads
from hyperfs.log.evicted import Evicted
from hyperfs.log.manifest import default_v1
from hyperfs.log.merkle import MerkleTree, Node, leaf_hash
from hyperfs.log.proof import BlockRequest, HashRequest, Request, SeekRequest, TreeProof, UpgradeRequest, prove
from hyperfs.trie import node, node_pack
from hyperfs.volume import acl, keys
from hyperfs.volume.cloning import Marker
from hyperfs.volume.inode import Inode

from .shapes import KEYS, SIGNER, chain_seed, encode_proof, join, journal_seed

VECTORS: Final = Path(__file__).parents[1] / "vectors"
TEXT: Final = b"now is the time for all good folders to come to the aid of their versions; " * 4
PROOF_BLOCKS: Final = [b"%d." % number + bytes(number) for number in range(11)]


@cache
def vectors(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text())


def unhex(text: str | None) -> bytes:
    return bytes.fromhex(text or "")


def trie_nodes() -> list[bytes]:
    nodes = [found for case in vectors("trie")["cases"] for found in case["nodes"]]
    return [b"".join(unhex(p) if isinstance(p, str) else unhex(p[0]) * p[1] for p in found) for found in nodes]


def node_packs() -> list[bytes]:
    return [unhex(pack["hex"]) for pack in vectors("trie")["packs"]] + [node_pack.build(trie_nodes())]


def _entries() -> list[tuple[bytes, bytes, bytes]]:
    """One of each kind that a drive's trie holds."""
    values = vectors("inode")["values"]
    folder, file = Inode(1, 0o40755), Inode(2, 0o100644)
    folder.nlink, file.nlink, file.size, file.stored, file.parent = 2, 1, 4096, 4096, 1
    extent = vectors("chunks")["extents"][0]
    return [
        (keys.place_key(bytes(16)), unhex(values["place"]["hex"]), b""),
        (keys.gone_versions_key(1, 7), unhex(values["gone"]["hex"]), b""),
        (keys.gone_file_key(2, 1, 7), unhex(values["gone"]["hex"]), b""),
        (keys.snapshot_key(1, b"release"), unhex(values["snapshot"]["hex"]), b""),
        (keys.setting_key(b"name"), b"Photos", b""),
        (keys.inode_key(1), folder.encode(), b""),
        (keys.dentry_key(1, b"file"), (2).to_bytes(8, "little") + b"\x08", b""),
        (keys.xattr_key(1, b"user.long"), unhex(values["long xattr"]["hex"]), unhex(values["long xattr"]["hint"])),
        (keys.inode_key(2), file.encode(), b""),
        (keys.extent_key(2, 0), unhex(extent["value"]), unhex(extent["hint"])),
        (keys.xattr_key(2, b"user.note"), unhex(values["xattr"]["hex"]), b""),
    ]


def trees() -> list[bytes]:
    """Leaves that hold a small drive's metadata."""
    entries = sorted(_entries())
    halves = [entries, entries[4:], entries[:4], entries[-3:]]
    return [node.encode(node.make_leaf(*zip(*half, strict=True))) for half in halves] + trie_nodes()


def inodes() -> list[bytes]:
    return [unhex(inode["hex"]) for inode in vectors("inode")["inodes"]]


def value(*names: str) -> list[bytes]:
    return [unhex(vectors("inode")["values"][name]["hex"]) for name in names]


def xattrs() -> list[bytes]:
    values = vectors("inode")["values"]
    return [join(unhex(values[name].get("hint")), unhex(values[name]["hex"])) for name in ("xattr", "long xattr")]


def access_lists() -> list[bytes]:
    owner, user, group, mask, other = (1, 6, 0), (2, 4, 1000), (4, 5, 0), (16, 5, 0), (32, 0, 0)
    lists = ((owner, group, other), (owner, user, group, mask, other), (owner, owner))
    return [acl.encode(tuple(acl.Entry(*entry) for entry in entries)) for entries in lists]


def extents() -> list[bytes]:
    return [join(unhex(e["hint"]), unhex(e["value"])) for e in vectors("chunks")["extents"]]


def snapshots() -> list[bytes]:
    return [join(keys.snapshot_key(1, b"release"), unhex(vectors("inode")["values"]["snapshot"]["hex"]))]


def commits() -> list[bytes]:
    return [unhex(commit["hex"]) for commit in vectors("commit")["commits"]]


def overflows() -> list[bytes]:
    return [unhex(vectors("commit")["overflow"]["hex"])]


def packs() -> list[bytes]:
    small = codec.encode(TEXT)[1]
    compressed = build([PackEntry(bytes(16), codec.ZSTD, len(TEXT), small), PackEntry(b"1" * 16, codec.RAW, 1, b"x")])
    return [unhex(found["plaintext"]) for found in vectors("chunks")["packs"]] + [compressed]


def payloads() -> list[bytes]:
    """Codec, decoded length, then the payload; deltas are against the base of the golden ones."""
    delta = vectors("chunks")["deltas"][0]
    plain = unhex(delta["data"])
    found = [(codec.RAW, TEXT, TEXT), (codec.ZSTD, codec.encode(TEXT)[1], TEXT), (2, unhex(delta["payload"]), plain)]
    zeros = bytes(1 << 18)
    found.append((codec.ZSTD, codec.encode(zeros)[1], zeros))
    return [bytes((number,)) + len(data).to_bytes(4, "little") + bytes(payload) for number, payload, data in found]


def content_blocks() -> list[bytes]:
    """Kind, then as `payloads`."""
    id_of = partial(chunk_id, KEYS.chunk_id_key())
    entries = [
        PackEntry(id_of(TEXT), codec.RAW, len(TEXT), TEXT),
        PackEntry(id_of(TEXT), codec.ZSTD, len(TEXT), codec.encode(TEXT)[1]),
        PackEntry(id_of(TEXT), codec.ZSTD_WITH_BASE, len(TEXT), codec.encode_delta(TEXT, base()), b"b" * 16),
    ]
    packed = [build(entries[:number]) for number in (1, 2, 3)]
    whole = [b"\2\0" + len(found).to_bytes(4, "little") + found for found in packed]
    shrunk = [b"\2\1" + len(found).to_bytes(4, "little") + codec.encode(found)[1] for found in packed[1:]]
    return [b"\1" + payload for payload in payloads()] + whole + shrunk


def base() -> bytes:
    return unhex(vectors("chunks")["deltas"][0]["base"])


def sealed_blocks() -> list[bytes]:
    """A header without its seal, then the payload: `targets` seals it."""
    found = []
    for number, padding in ((0, 0), (0, 5), (2, 0)):
        header = BlockHeader(1, 1, number, 0, 1, KEYS.key_id, 2, 0, 5, 5, padding, b"b" * 16 if number else None)
        found.append(header.encode().ljust(56, b"\0") + b"hello" + bytes(padding))
    return found


def journal_items() -> list[bytes]:
    items = [unhex(item["hex"]) for item in vectors("journal")["items"]]
    return [*items, b"".join(items)]


def journals() -> list[bytes]:
    small = [item for item in journal_items() if len(item) < 256]
    return [journal_seed(*small), journal_seed(small[0]), b"\2\1\1\0\0\1x\1\1\2\1\0\1y"]


def journal_segments() -> list[bytes]:
    return [unhex(vectors("journal")["segment"]["hex"])]


def head_slots() -> list[bytes]:
    return [unhex(slot["slot"]) for slot in vectors("head_slot")["slots"]]


def logs() -> list[bytes]:
    """Fork, length, byte length, whether both are to be made right; then the tree's nodes, then the blocks."""
    tree = MerkleTree()
    nodes = tree.extend([len(block) for block in PROOF_BLOCKS], [leaf_hash(block) for block in PROOF_BLOCKS])
    placed = {found.index: found.hash + found.size.to_bytes(8, "little") for found in nodes}
    stored = b"".join(placed.get(index, bytes(40)) for index in range(max(placed) + 1))
    head = b"\0" + tree.length.to_bytes(8, "little") + tree.byte_length.to_bytes(8, "little") + b"\1"
    return [head + join(stored, b"".join(PROOF_BLOCKS)), bytes(17) + b"\1" + join(b"", b"")]


def manifests() -> list[bytes]:
    known = vectors("hypercore_vectors")["manifest"].values()
    return [unhex(found["encoded"]) for found in known if "encoded" in found]


def signatures() -> list[bytes]:
    from hyperfs.log.manifest import Proof, encode_signatures, wrap_signature

    patched = encode_signatures((Proof(0, bytes(64)), Proof(2, bytes(64), 300)), (Node(7, 1 << 20, bytes(32)),))
    return [wrap_signature(bytes(64)), patched]


def proofs() -> list[bytes]:
    """Of every kind, out of a real tree."""
    tree = MerkleTree()
    hashes = [leaf_hash(block) for block in PROOF_BLOCKS]
    nodes = {made.index: made for made in tree.extend([len(block) for block in PROOF_BLOCKS], hashes)}
    signature = heads.sign_head(default_v1(SIGNER.public_key), SIGNER, tree, 0).signature
    requests = [
        Request(BlockRequest(3)),
        Request(hash=HashRequest(5)),
        Request(seek=SeekRequest(9)),
        Request(upgrade=UpgradeRequest(4, 7)),
        Request(BlockRequest(3), seek=SeekRequest(9)),
        Request(BlockRequest(2), upgrade=UpgradeRequest(4, 3)),
    ]

    def answer(request: Request) -> TreeProof:
        return prove(nodes.__getitem__, PROOF_BLOCKS.__getitem__, tree.length, 0, signature, request)

    return [encode_proof(answer(request)) for request in requests]


def control_files() -> list[bytes]:
    return [unhex(vectors("control_chain")["file"])]


def control_records() -> list[bytes]:
    return [unhex(record["bytes"]) for record in vectors("control_chain")["records"]]


def chains() -> list[bytes]:
    return [chain_seed(control_files()[0]), b"".join(control_records())]


def key_files() -> list[bytes]:
    return [unhex(file["file"]) for file in vectors("keyfile")["files"]]


def recovery_texts() -> list[bytes]:
    texts = [key["text"].encode() for key in vectors("recovery")["keys"]]
    return [*texts, texts[2].lower().replace(b"-", b" "), texts[2].replace(b"-", b""), texts[1].replace(b"0", b"o")]


def recovery_shares() -> list[bytes]:
    words = [share for found in vectors("shares")["sets"] for share in found["shares"][:2]]
    card = shares.card_text(words[0], 1, 5, "Photos", bytes(32), "today")
    return [text.encode() for text in (*words, card)]


def heard_nearby() -> list[bytes]:
    return [b'{"name": "n", "hosts": ["10.0.0.1", "fe80::1%eth0"], "port": 4780}', b'{"gone": "n"}']


def indexes() -> list[bytes]:
    """A value for each kind of key: the mark, a chunk, a version, a time, a second, and two births."""
    sizes = (24, 24, 36, 8, 8, 8, 8)
    return [b"".join(bytes((size,)) + bytes(size) for size in sizes)]


def verify_notes() -> list[bytes]:
    return [bytes(size) for size in (4, 8, 16, 24, 32, 40, 48, 80)]


def trees_to_rebuild() -> list[bytes]:
    header = bytes([1, 1, 1, 0]) + bytes(12) + (1).to_bytes(4, "little") + bytes(4)
    blocks = b"".join(header + index.to_bytes(8, "little") + bytes(100) for index in range(3))
    return [bytes(len(blocks)) + blocks, bytes(200) + bytes(200)]


def rocksdb_logs() -> list[bytes]:
    record = bytes(4) + (5).to_bytes(2, "little") + b"\1hello"
    return [record * 3, record + bytes(7), bytes(4) + b"\xff\x7f\2" + bytes(40_000)]


def whens() -> list[bytes]:
    """A byte that chooses clock and zone, then the words."""
    words = (
        "@1234",
        "1234",
        "2026-11-21",
        "2026-11-21T10:00:00.123Z",
        "2026-11-21 10:00+02:00",
        "2026-11-21T10-00-00Z",
        "yesterday",
        "monday",
        "2h ago",
        "3 months ago",
        " release ",
        "21.11.2026",
    )
    return [b"%c%s" % (number, word.encode()) for number, word in enumerate(words)]


def mount_tables() -> list[bytes]:
    return [
        b"22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        b"90 22 0:50 /sub /home/a\\040b rw shared:2 master:1 - fuse.hyperfs /srv/store rw,user_id=1000,group_id=0\n",
        b"91 22 0:51 / /mnt/carriage\rreturn rw - tmpfs none rw\n92 22 0:52 / /x rw - tmpfs  rw\n",
    ]


def messages() -> list[bytes]:
    return [
        b'{"hyperfs": "0.1.0", "pid": 12}\n',
        b'{"request": "cat", "params": {"path": "a\\udcff", "limit": 10, "list": [1, 2.5, null, true]}}\n',
        b'{"error": {"kind": "Corrupt", "message": "rotten", "exit_code": 3}}\n',
        b"[" * 100 + b"]" * 100,
    ]


def verdicts() -> list[bytes]:
    return [b'{"time": "2026-11-21T10:00:00Z", "version": 7, "damage": 0}']


def evictions() -> list[Evicted]:
    """Of a log of some thousand blocks: nothing is elsewhere, much is, in one run and in many."""
    found = [Evicted() for _ in range(3)]
    found[1].add(3, 3900)
    for block in range(0, 400, 7):
        found[2].add(block, block + 3)
    return found


def clone_markers() -> list[bytes]:
    address = "hyperfs://" + "0a" * 32 + "@peer.example:4711"
    return [Marker(bytes(range(32)), address, lost).encode() for lost in (False, True)]
