"""Decoders as functions of one string of bytes; `shapes` says how that becomes their arguments.

Each gives a value or raises what the decoder raises. Those that ask several questions of one input let none hide
another, and give nothing.
"""

import atexit
import shutil
import stat
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from hyperfs import errors
from hyperfs.chunks import blocks, codec, extents, pack
from hyperfs.chunks.blocks import ChunkBlock
from hyperfs.chunks.cache import BlockCache
from hyperfs.chunks.extents import Place
from hyperfs.chunks.pack import Pack, PackEntry
from hyperfs.chunks.resolver import ContentCache, Resolver
from hyperfs.crypto import keys as crypto_keys
from hyperfs.crypto import wrap
from hyperfs.crypto.keys import BoxKeyPair, DeviceKeys, EpochKeys, RootSeed
from hyperfs.crypto.seal import CIPHER_AES_256_GCM, BlockHeader, Sealer
from hyperfs.daemon.times import iso_time
from hyperfs.errors import Corrupt, FormatTooNew
from hyperfs.log import control_codec, flat_tree, heads, manifest
from hyperfs.log.compact import Reader
from hyperfs.log.control import Chain
from hyperfs.log.log import BLOCKS_FILE, HEADS_FILE, TREE_FILE, Log
from hyperfs.log.merkle import MerkleTree, Node, leaf_hash, tree_hash
from hyperfs.log.verify_proof import verify_proof
from hyperfs.policy import when
from hyperfs.store.files import Disk
from hyperfs.store.journal_records import read_records, select_replay
from hyperfs.store.memory import MemoryIndex
from hyperfs.trie import node, node_pack
from hyperfs.trie.node import Load, Ref
from hyperfs.trie.node_pack import point_of
from hyperfs.values import BlockRef
from hyperfs.volume import acl, commit_record, entries, journal_items, keys, repair_files, versions
from hyperfs.volume.catalog import commit_changes, content_change
from hyperfs.volume.check_findings import Findings
from hyperfs.volume.check_names import check_names
from hyperfs.volume.check_state import CheckState, StateDamaged
from hyperfs.volume.commit_record import RealmRoot
from hyperfs.volume.gone import marked_in
from hyperfs.volume.nodes import decode_node
from hyperfs.volume.offers import Offers
from hyperfs.volume.options import no_progress
from hyperfs.volume.tree import Tree

from . import seeds, shapes
from .shapes import Fields, join, split

DAMAGE: Final = (Corrupt, FormatTooNew)

# The trie and what is in it


def trie_node(data: bytes) -> node.Node:
    found = node.decode(data)
    assert node.canonical(found) == data[: node.canonical_size(data)]
    return found


def node_pack_of(data: bytes) -> list[bytes]:
    found = node_pack.parse(data)
    return [found.node(slot) for slot in range(len(found))]


def tree(data: bytes) -> None:
    """All that is asked of a tree, of one whose root is this node."""
    root = node.decode(data)
    ref = Ref(bytes(16), 1, point_of(0, 0), root.weight, root.count)

    def load(wanted: Ref) -> node.Node:
        if wanted == ref:
            return decode_node(data)
        raise Corrupt("no such node")

    tree = Tree(load, ref, lambda extent: bytes(extent.length))
    commit = commit_record.decode(seeds.commits()[0])
    realms = (RealmRoot(0, 1, ref),)
    questions: list[Callable[[], object]] = [
        lambda: check_names(
            load,
            replace(commit, realms=realms),
            Findings(),
            CheckState(MemoryIndex()),
            lambda extent: bytes(extent.length),
            no_progress,
        ),
        lambda: Offers(Tree(load, ref, lambda extent: b"")),
        lambda: tree.place(bytes(16)),
        partial(_marks, load, ref),
        lambda: [versions.decode_snapshot(*fact) for fact in tree.facts(keys.prefix(0, keys.SNAPSHOT)).items()],
    ]
    for ino in (1, 2):
        questions += [
            partial(tree.inode, ino),
            partial(_all_names, tree, ino),
            partial(tree.extents, ino, 0, 1 << 63),
            partial(tree.xattrs, ino),
        ]
    for question in questions:
        try:
            question()
        except DAMAGE:
            continue


def _marks(load: Load, root: Ref) -> None:
    found = marked_in(load, root)
    assert found.has_all_through(7) <= found.has(7)
    assert found.count() >= 0
    found.with_more([(1, 8)], 0, 0, 1)


def _all_names(tree: Tree, ino: int) -> list[tuple[bytes, entries.Dentry]]:
    return list(tree.dentries(ino))


def xattr(data: bytes) -> bytes | extents.Extent:
    hint, value = split(data)
    found = entries.decode_xattr(value, hint)
    if isinstance(found, bytes) and hint:
        raise Corrupt("a hint of bytes that lie here")
    return found


def commit(data: bytes) -> commit_record.Commit:
    """With what is made of it: the index's entries and the version's names."""
    found = commit_record.decode(data)
    MemoryIndex().write([*commit_changes(found, 1, 0, 0), content_change(found)])
    when.display_name(found.display_second)
    iso_time(found.time_ns)
    return found


def access_list(data: bytes) -> acl.Acl:
    found = acl.decode(data)
    for made in (found, acl.after_chmod(found, 0o640), acl.inherited(found, 0o640)):
        assert acl.mode_of(made, stat.S_IFREG) & ~0o777 == stat.S_IFREG
    return found


def extent(data: bytes) -> extents.Extent:
    hint, value = split(data)
    return extents.decode(4096, value, hint)


def snapshot(data: bytes) -> versions.Snapshot:
    return versions.decode_snapshot(*split(data))


# Content


def _base(number: int) -> bytes | None:
    return seeds.base() if number == codec.ZSTD_WITH_BASE else None


def payload(data: bytes) -> bytes:
    fields = Fields(data)
    number, length = fields.number(), fields.number(4)
    return codec.decode(number, fields.rest(), length, _base(number))


def content_block(data: bytes) -> blocks.DecodedBlock:
    fields = Fields(data)
    kind, number, length = fields.number(), fields.number(), fields.number(4)
    base = _base(number)
    header = BlockHeader(kind, 1, number, 0, 1, b"1234", 2, 0, 0, length, 0, b"b" * 16 if base else None)
    found = _RESOLVER.decode(_REF, header, fields.rest())
    if isinstance(found, Pack):
        for slot in range(min(4, len(found.slots))):
            _RESOLVER.decode_delta(_REF, found, slot)
    return found


def _resolver() -> Resolver:
    """Of a drive without logs, whose cache has the base of all deltas."""
    cache: ContentCache = BlockCache(1 << 20)
    cache.put(BlockRef(2, 0), ChunkBlock(b"b" * 16, seeds.base(), 1), 100)
    key = shapes.KEYS.chunk_id_key()
    return Resolver({}, _SEALER, key, cache, {b"b" * 16: Place(2, 0, extents.WHOLE_BLOCK)}.get, 0, {}.get)


def build_pack(found: Pack) -> bytes:
    return pack.build(
        [
            PackEntry(slot.chunk, slot.codec, slot.decoded_length, found.payload(number), slot.base)
            for number, slot in enumerate(found.slots)
        ]
    )


_SEALER: Final = Sealer({1: shapes.KEYS}, {CIPHER_AES_256_GCM}, 1)
_RESOLVER: Final = _resolver()
_REF: Final = BlockRef(2, 1)


def opened(data: bytes) -> tuple[BlockHeader, bytes]:
    return _SEALER.open(2, shapes.LOG_KEY, None, 5, data)


def sealed(data: bytes) -> tuple[BlockHeader, bytes]:
    return opened(shapes.seal_made_right(data))


# The journal


def journal(data: bytes) -> list[list[journal_items.Item]]:
    records = list(read_records(data, shapes.CIPHER))
    return [list(journal_items.decode(payload)) for payload in select_replay(records, 0)]


def items(data: bytes) -> list[journal_items.Item]:
    return list(journal_items.decode(data))


# Logs


def head_slot(data: bytes) -> tuple[int, heads.Head]:
    found = heads.decode_slot(data)
    if found is None:
        raise Corrupt("no head")
    return found


def _folder() -> Path:
    """In memory where there is such a disk: some of what is tried here are files."""
    shared = Path("/dev/shm")
    made = Path(mkdtemp(prefix="hyperfs-fuzz-", dir=shared if shared.is_dir() else None))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


FOLDER: Final = _folder()
MOST_QUESTIONS: Final = 20


def log_folder(data: bytes) -> None:
    """A log's three files, with a head that its owner has signed."""
    fields = Fields(data)
    fork, length, byte_length, right = (fields.number(size) for size in (1, 8, 8, 1))
    nodes, stored = split(fields.rest())
    if right & 1:
        roots = [
            Node(index, int.from_bytes(nodes[40 * index + 32 : 40 * index + 40], "little"), nodes[40 * index :][:32])
            for index in flat_tree.full_roots(length)
        ]
        digest = tree_hash(roots) if all(len(root.hash) == 32 for root in roots) else bytes(32)
    else:
        digest = bytes(32)
    plain = manifest.default_v1(shapes.SIGNER.public_key)
    signed = shapes.SIGNER.sign(manifest.signable(plain.key(), digest, length, fork))
    head = heads.new_file(heads.Head(fork, length, byte_length, digest, signed))
    for name, contents in ((HEADS_FILE, head), (TREE_FILE, nodes), (BLOCKS_FILE, stored)):
        (FOLDER / name).write_bytes(contents)
    log = Log.open(Disk(FOLDER), ".", plain, number=2, writable=False)
    try:
        for index in {0, 1, log.length // 2, log.length - 1} & set(range(min(log.length, 1 << 62))):
            _ask(log, index)
        for _, _ in zip(range(MOST_QUESTIONS), log.verify(), strict=False):
            pass
    finally:
        log.close()


def _ask(log: Log, index: int) -> None:
    for question in (log.block_range, log.get, log.get_verified):
        try:
            question(index)
        except (Corrupt, errors.NotResident):
            continue


def _nodes(count: int) -> tuple[MerkleTree, dict[int, Node]]:
    tree, some = MerkleTree(), seeds.PROOF_BLOCKS[:count]
    return tree, {made.index: made for made in tree.extend(list(map(len, some)), list(map(leaf_hash, some)))}


_TREE: Final = _nodes(4)[0]
_NODES: Final = _nodes(len(seeds.PROOF_BLOCKS))[1]


def _known(index: int) -> Node:
    if index not in _NODES:
        raise Corrupt("not known")
    return _NODES[index]


def proof(data: bytes) -> None:
    proof = shapes.decode_proof(data)
    verify_proof(proof, _TREE.roots, 0, _known, lambda *_: True)


# The control chain and keys


def control_record(data: bytes) -> control_codec.Record:
    reader = Reader(data, "record")
    found = control_codec.decode_record(reader)
    reader.end()
    return found


def control_chain(data: bytes) -> Chain:
    return Chain.parse(shapes.signed_again(shapes.records_in(data)))


def key_file(data: bytes) -> None:
    wrap.is_wrapped(data)
    for kind, made in ((wrap.KIND_DEVICE, DeviceKeys), (wrap.KIND_ROOT, RootSeed)):
        try:
            made.from_bytes(wrap.unwrap(data, kind))
        except (*DAMAGE, errors.WrongPassphrase):
            continue


_BOX: Final = BoxKeyPair(bytes(range(32)))


def box(data: bytes) -> EpochKeys:
    public, rest = split(data)
    crypto_keys.verify_signature(public, b"message", rest)
    return EpochKeys.from_payload(1, _BOX.open(rest))


def boxes() -> list[bytes]:
    copy = crypto_keys.seal_to(_BOX.public_key, shapes.KEYS.payload(), bytes(31) + b"\1")
    return [join(bytes(32), copy), join(shapes.SIGNER.public_key, shapes.SIGNER.sign(b"message"))]


def verify_notes(data: bytes) -> None:
    """One value, and one end of a key, for each kind of key."""
    index = MemoryIndex()
    size = len(data) // 2
    kinds = (b"d" + bytes(12), b"h" + bytes(28), b"l" + bytes(16), b"h" + bytes(16) + data[:size], b"c" + data[:size])
    index.write([(b"r", data), *((kind, data[size:]) for kind in kinds)])
    questions: list[Callable[[CheckState], object]] = [
        lambda state: state.stretch(0, 0, 0),
        lambda state: state.held(bytes(16), 0, 0),
        lambda state: state.copies(bytes(16)),
        lambda state: list(state.commits()),
        lambda state: state.commit_place(0),
        lambda state: list(state.extents_counted()),
        lambda state: state.count_extents({bytes(16): 1}),
    ]
    for question in questions:
        try:
            question(CheckState(index))
        except StateDamaged:
            continue


def tree_to_rebuild(data: bytes) -> None:
    """A log's tree in the first half, its blocks in the second."""
    size = len(data) // 2
    (FOLDER / TREE_FILE).write_bytes(data[:size])
    (FOLDER / BLOCKS_FILE).write_bytes(data[size:])
    disk, head = Disk(FOLDER), heads.Head(0, 3, len(data) - size, bytes(32), bytes(64))
    file = disk.open(BLOCKS_FILE, writable=False)
    repair_files.rebuild_tree(1, head, file, repair_files.stored_nodes(disk, TREE_FILE, head.length))
    file.close()
