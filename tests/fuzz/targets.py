"""Every decoder of ours with what it may raise, how its values go back to bytes, and examples to begin from."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hyperfs import errors
from hyperfs.chunks import codec, pack
from hyperfs.cold import object_format
from hyperfs.crypto import recovery
from hyperfs.daemon import last_verify, wire
from hyperfs.lan import nearby
from hyperfs.log import control_codec, evicted, heads, manifest, receipt
from hyperfs.log.control import Chain
from hyperfs.peer import account, evidence, holds, identity, invites, settings
from hyperfs.peer_server import own_folder
from hyperfs.policy import noise, when
from hyperfs.replication import dialogue_codec, mux_codec
from hyperfs.replication import messages as wire_messages
from hyperfs.sharing import folder_store, mirrored
from hyperfs.store import folder
from hyperfs.syncing import attested
from hyperfs.syncing import settings as syncing_settings
from hyperfs.trie import node, node_pack
from hyperfs.volume import acl, brake_record, cloning, commit_record, entries, journal_items, undo_record
from hyperfs.volume.inode import Inode

from . import cold, histories, outside, peers, readers, seeds, shapes, wires
from .shapes import join, summed

Errors = tuple[type[errors.HyperfsError], ...]
DAMAGE: Final = readers.DAMAGE
KIB: Final = 1 << 10


def in_proportion(size: int) -> int:
    """The usual bound of what a decoder may allocate for an input of that size, in bytes."""
    return 64 * KIB + 64 * size


def one_block(size: int) -> int:
    """For what decompresses: the result may have 16 MiB, and there may be a base, or a copy, of as much."""
    return in_proportion(size) + 3 * codec.MAX_DECODED_BYTES


@dataclass(frozen=True)
class Target:
    """`encode` gives back the very bytes that were decoded, or where `is_canonical` is false, equal ones."""

    name: str
    decode: Callable[[bytes], Any]
    seeds: Callable[[], list[bytes]]
    encode: Callable[[Any], bytes] | None = None
    is_canonical: bool = True
    errors: Errors = DAMAGE
    most_bytes: Callable[[int], int] = in_proportion


TARGETS: Final = (
    Target("trie node", readers.trie_node, seeds.trie_nodes, node.encode),
    Target("node pack", readers.node_pack_of, seeds.node_packs, node_pack.build),
    Target("tree", readers.tree, seeds.trees),
    Target("inode", lambda data: Inode.decode(7, data), seeds.inodes, Inode.encode),
    Target("dentry", entries.decode_dentry, lambda: seeds.value("dentry"), lambda v: entries.encode_dentry(v)[0]),
    Target("xattr", readers.xattr, seeds.xattrs, lambda v: join(*entries.encode_xattr(v)[::-1])),
    Target("ACL", readers.access_list, seeds.access_lists, acl.encode, errors=(errors.InvalidArgument,)),
    Target("extent", readers.extent, seeds.extents, lambda v: join(*entries.encode_extent(v)[::-1])),
    Target("place", entries.decode_place, lambda: seeds.value("place"), entries.encode_place),
    Target("gone", entries.decode_gone, lambda: seeds.value("gone", "gone by a folder"), entries.encode_gone),
    Target("snapshot", readers.snapshot, seeds.snapshots),
    Target("commit", readers.commit, seeds.commits, commit_record.encode),
    Target("overflow", commit_record.decode_overflow, seeds.overflows, commit_record.encode_overflow),
    Target("pack", pack.parse, seeds.packs, readers.build_pack),
    Target("payload", readers.payload, seeds.payloads, most_bytes=one_block),
    Target("content block", readers.content_block, seeds.content_blocks, most_bytes=one_block),
    Target("sealed block", readers.opened, lambda: [shapes.seal_made_right(data) for data in seeds.sealed_blocks()]),
    Target("sealed block, its seal made right", readers.sealed, seeds.sealed_blocks),
    Target("journal segment", readers.journal, seeds.journal_segments),
    Target("journal segment, sealed right", lambda data: readers.journal(shapes.journal_segment(data)), seeds.journals),
    Target("journal items", readers.items, seeds.journal_items, lambda v: b"".join(map(journal_items.encode, v))),
    Target("head slot", readers.head_slot, seeds.head_slots, lambda v: heads.encode_slot(v[1], v[0])),
    Target("head slot, its checksum made right", lambda data: readers.head_slot(summed(data)), seeds.head_slots),
    Target("sector of have", peers.sector, peers.sectors, peers.encode_sector, is_canonical=False),
    Target(
        "record of what is elsewhere",
        lambda data: evicted.decode(data + bytes(16), lambda body: bytes(16), 4000),
        lambda: [evicted.encode(found, lambda body: b"") for found in seeds.evictions()],
        lambda v: evicted.encode(v, lambda body: b""),
    ),
    Target("marker of a clone", cloning.decode_marker, seeds.clone_markers, cloning.Marker.encode),
    # Its owner has signed how long a block is: so much is asked for, however little there is.
    Target("log", readers.log_folder, seeds.logs, most_bytes=lambda size: (64 << 20) + 64 * KIB),
    Target("manifest", manifest.decode_manifest, seeds.manifests, manifest.Manifest.encode),
    Target("signatures", manifest.decode_signatures, seeds.signatures, lambda v: manifest.encode_signatures(*v)),
    Target("one signature", manifest.unwrap_signature, seeds.signatures, manifest.wrap_signature),
    Target("proof", readers.proof, seeds.proofs),
    Target("control record", readers.control_record, seeds.control_records, control_codec.Record.encode),
    Target(
        "control records",
        control_codec.decode_records,
        wires.chain_records,
        lambda v: b"".join(map(control_codec.Record.encode, v)),
    ),
    Target("control file", Chain.parse, seeds.control_files, Chain.encode),
    Target("control file, its checksum made right", lambda data: Chain.parse(summed(data)), seeds.control_files),
    Target("control chain, signed right", readers.control_chain, seeds.chains),
    Target("receipt", receipt.decode, peers.receipts, receipt.SignedReceipt.encode),
    Target(
        "row of a receipt",
        attested.decode_row,
        peers.rows_of_receipts,
        peers.row_of_receipt,
        errors=(*DAMAGE, errors.IndexDamaged),
    ),
    Target(
        "setting of a peer",
        peers.known_peer,
        peers.known_peers,
        syncing_settings.Known.encode,
        is_canonical=False,
        errors=(errors.BadRequest,),
    ),
    Target(
        "limits of peers",
        syncing_settings.Limits.decode,
        peers.all_limits,
        syncing_settings.Limits.encode,
        is_canonical=False,
    ),
    Target("evidence", peers.evidence_judged, peers.pieces_of_evidence, evidence.encode),
    Target("what is held", holds.decode, peers.records_of_holds, holds.Holds.encode),
    Target("what is held, its checksum made right", peers.holds_made_right, peers.records_of_holds),
    Target("settings of a held drive", settings.decode, peers.all_settings, settings.Settings.encode),
    Target("what a held drive is part of", account.decode_part, peers.parts, account.PartOf.encode),
    Target("invite that a peer keeps", invites.decode, peers.invites_kept, invites.Invite.encode),
    Target("a peer's identity", identity.decode, peers.identities, identity.encode),
    Target("key file", readers.key_file, seeds.key_files),
    Target("key file, its checksum made right", lambda data: readers.key_file(summed(data)), seeds.key_files),
    Target("sealed keys", readers.box, readers.boxes),
    Target(
        "recovery key",
        outside.recovery_key,
        seeds.recovery_texts,
        lambda v: recovery.to_text(v).encode(),
        is_canonical=False,
        errors=(errors.BadRecoveryKey,),
    ),
    Target(
        "recovery share",
        outside.recovery_share,
        seeds.recovery_shares,
        lambda v: v.mnemonic().encode(),
        is_canonical=False,
        errors=(errors.BadRecoveryKey,),
    ),
    Target("what was heard on the local network", nearby.parse, seeds.heard_nearby),
    Target(
        "format file",
        lambda data: folder.decode_format(data, Path("store")),
        lambda: [folder.encode_format(bytes(32))],
        lambda v: folder.encode_format(v.drive_id),
    ),
    Target("index", outside.index, seeds.indexes),
    Target("what verify notes", readers.verify_notes, seeds.verify_notes),
    Target("tree to rebuild", readers.tree_to_rebuild, seeds.trees_to_rebuild, most_bytes=lambda size: 40 << 20),
    Target("RocksDB's records", outside.rocksdb, seeds.rocksdb_logs, most_bytes=lambda size: 192 * KIB + size),
    Target("WHEN", outside.when_words, seeds.whens, errors=(errors.BadWhen,)),
    Target("snapshot's name", outside.snapshot_name, seeds.whens, errors=(errors.InvalidArgument, errors.NameTooLong)),
    Target(
        "listed name",
        outside.listed_name,
        lambda: [b"2026-11-21T10-00-00Z", b"0001-01-01T00-00-00Z"],
        lambda v: when.display_name(v).encode(),
        errors=(errors.BadWhen,),
    ),
    Target("table of mounts", outside.mount_table, seeds.mount_tables, errors=()),
    Target("message", outside.message, seeds.messages, wire.encode, is_canonical=False, errors=(errors.BadRequest,)),
    Target("last verify", last_verify.decode, seeds.verdicts, errors=()),
    Target("rows of changes", histories.change_row, histories.change_rows_of_ours, errors=(errors.IndexDamaged,)),
    Target("pin", histories.pin, histories.pin_seeds, histories.encode_pin),
    Target("undo", histories.undo, histories.undo_seeds, lambda v: b"".join(undo_record.encode(v)), is_canonical=False),
    Target("brake", brake_record.decode, histories.brake_seeds, brake_record.encode),
    Target("policy's key", histories.policy_key, histories.policy_key_seeds),
    Target("policy", histories.rule, histories.rule_seeds, errors=(errors.InvalidArgument,)),
    Target(
        "text of noise",
        noise.looks_encrypted,
        histories.texts_of_noise,
        errors=(),
        most_bytes=lambda size: 512 * KIB + in_proportion(size),  # zlib's own, whatever it is given
    ),
    Target("place in the stream", histories.cursor, lambda: [b"12", b"11:12:5"], errors=(errors.BadRequest,)),
    Target(
        "message of a log's channel",
        wires.log_message,
        wires.log_messages,
        wires.encode_log_message,
        is_canonical=False,
    ),
    Target(
        "handshake of a log's channel",
        wire_messages.decode_handshake,
        wires.channel_handshakes,
        wire_messages.encode_handshake,
        is_canonical=False,
    ),
    Target(
        "frame of channels",
        lambda data: list(mux_codec.decode_messages(data)),
        wires.mux_frames,
        wires.encode_frame,
        is_canonical=False,
    ),
    Target("channels", wires.mux, wires.mux_histories, errors=wires.BROKEN),
    # A few bytes may have a page of 4 KiB noted.
    Target("log's channel", wires.exchange, wires.exchanges, errors=wires.BROKEN, most_bytes=wires.pages),
    Target("secret stream", wires.secret_stream, wires.connections, errors=wires.BROKEN),
    Target(
        "body of hyperfs/1",
        wires.dialogue_body,
        wires.dialogue_bodies_seeds,
        wires.encode_dialogue_body,
        is_canonical=False,
    ),
    Target("handshake of hyperfs/1", dialogue_codec.decode_handshake, wires.dialogue_handshakes),
    Target("dialogue", wires.dialogue, wires.dialogues, errors=wires.BROKEN),
    Target(
        "code of an invite",
        wires.invite_code,
        wires.invite_codes,
        lambda v: v.code().encode(),
        is_canonical=False,
        errors=(errors.BadRequest,),
    ),
    Target(
        "address of a peer",
        wires.peer_address,
        wires.peer_addresses,
        lambda v: str(v).encode(),
        is_canonical=False,
        errors=(errors.BadRequest,),
    ),
    Target(
        "link to a drive",
        wires.link,
        wires.links,
        lambda v: str(v).encode(),
        is_canonical=False,
        errors=(errors.BadRequest, errors.FormatTooNew),
    ),
    Target(
        "link to a drive, its checksum made right",
        wires.summed_link,
        wires.link_bodies,
        lambda v: v.opening.encode(),
        is_canonical=False,
        errors=(errors.BadRequest, errors.FormatTooNew),
    ),
    Target("what stands for what in a shared folder", mirrored.decode_twin, wires.twins, lambda v: v.encode()),
    Target("record of a shared folder", folder_store.decode_record, wires.shares, lambda v: v.encode()),
    Target(
        "how far a shared folder has come",
        mirrored.decode_reached,
        wires.reached,
        lambda v: v.encode(),
        is_canonical=False,
    ),
    Target(
        "where a peer is",
        own_folder.decode_address,
        peers.addresses,
        lambda v: f"{v}\n".encode(),
        is_canonical=False,
    ),
    Target("follow's mark and folder", histories.follow, histories.follow_seeds),
    Target("cold object", object_format.decode, cold.object_seeds, cold.encode_object),
    Target(
        "cold object, its checksum made right",
        lambda data: object_format.decode(cold.summed(data)),
        cold.object_seeds,
    ),
    Target("cold object's name", cold.object_name, cold.name_seeds, lambda v: v.encode().encode()),
    Target("row of a cold object", cold.row, cold.row_seeds, cold.encode_row, errors=(*DAMAGE, errors.IndexDamaged)),
    Target("an access key's file", cold.access_key, cold.access_key_seeds, errors=(errors.InvalidArgument,)),
    Target("kept access keys", cold.KEYS.decode, cold.access_keys_seeds, cold.KEYS.encode),
    Target("a store's URL", cold.url, cold.url_seeds, errors=(errors.InvalidArgument,)),
)

BY_NAME: Final = {target.name: target for target in TARGETS}
