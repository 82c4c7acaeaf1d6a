"""What is derived from the three kinds of secret, and that none of them shows itself."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.public import PrivateKey, SealedBox

from hyperfs.crypto.ids import chunk_id, node_id
from hyperfs.crypto.keys import (
    LOG_CONTENT,
    LOG_METADATA,
    BoxKeyPair,
    DeviceKeys,
    EpochKeys,
    RootSeed,
    SigningKeyPair,
    derive,
    seal_to,
    verify_signature,
)
from hyperfs.errors import Corrupt

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "ids.json").read_text())

ROOT = RootSeed(bytes.fromhex(VECTORS["root_seed"]))
DEVICE = DeviceKeys.from_bytes(bytes.fromhex(VECTORS["device_keys"]))
EPOCH = EpochKeys(VECTORS["epoch"], bytes.fromhex(VECTORS["epoch_key"]), bytes.fromhex(VECTORS["drive_key"]))


def test_golden_derivations() -> None:
    log_key = bytes.fromhex(VECTORS["log_key"])
    found = {
        "root_signing_public": ROOT.signing().public_key,
        "root_recovery_box_public": ROOT.recovery_box().public_key,
        "device_signing_public": DEVICE.signing().public_key,
        "device_box_public": DEVICE.box().public_key,
        "device_transport_public": DEVICE.transport().public_key,
        "log_metadata_0_public": DEVICE.log_signer(LOG_METADATA, 0).public_key,
        "log_content_0_public": DEVICE.log_signer(LOG_CONTENT, 0).public_key,
        "log_content_1_public": DEVICE.log_signer(LOG_CONTENT, 1).public_key,
        "key_id": EPOCH.key_id,
        "block_key_realm_0_kind_1_run_0": EPOCH.block_key(log_key, 0, 1, 0),
        "block_key_realm_1_kind_3_run_2": EPOCH.block_key(log_key, 1, 3, 2),
        "journal_key_5": EPOCH.journal_key(5),
        "node_id_key": EPOCH.node_id_key(),
        "chunk_id_key": EPOCH.chunk_id_key(),
        "chunk_id_key_realm_1": EPOCH.chunk_id_key(1),
        "node_id": node_id(EPOCH.node_id_key(), bytes.fromhex(VECTORS["node_canonical"])),
        "chunk_id": chunk_id(EPOCH.chunk_id_key(), bytes.fromhex(VECTORS["chunk"])),
        "sealed_payload": seal_to(ROOT.recovery_box().public_key, EPOCH.payload(), bytes.fromhex(VECTORS["ephemeral"])),
    }
    assert {name: value.hex() for name, value in found.items()} == VECTORS["derived"]
    assert len(set(found.values())) == len(found)


def test_signatures_hold_for_their_message_and_key_only() -> None:
    pair = SigningKeyPair(b"s" * 32)
    signature = pair.sign(b"message")
    assert signature == pair.sign(b"message")
    assert verify_signature(pair.public_key, b"message", signature)
    assert not verify_signature(pair.public_key, b"massage", signature)
    assert not verify_signature(SigningKeyPair(b"t" * 32).public_key, b"message", signature)
    assert not verify_signature(pair.public_key, b"message", signature[:-1])
    assert not verify_signature(b"", b"message", signature)
    assert not verify_signature(bytes(32), b"message", bytes(64))  # low order


@given(st.binary(max_size=200), st.binary(min_size=32, max_size=32))
def test_sealed_boxes_are_libsodiums(plaintext: bytes, ephemeral: bytes) -> None:
    box = BoxKeyPair(b"b" * 32)
    sealed = seal_to(box.public_key, plaintext, ephemeral)
    assert SealedBox(PrivateKey(b"b" * 32)).decrypt(sealed) == plaintext
    assert box.open(SealedBox(PrivateKey(b"b" * 32).public_key).encrypt(plaintext)) == plaintext


def test_a_sealed_box_opens_for_its_recipient_only_and_whole() -> None:
    box = BoxKeyPair(b"b" * 32)
    sealed = seal_to(box.public_key, b"payload", b"e" * 32)
    with pytest.raises(Corrupt):
        BoxKeyPair(b"c" * 32).open(sealed)
    for at in range(len(sealed)):
        with pytest.raises(Corrupt):
            box.open(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :])
        with pytest.raises(Corrupt):
            box.open(sealed[:at])


def test_attack_n03_nothing_is_sealed_to_a_point_of_low_order() -> None:
    with pytest.raises(ValueError, match="low order"):
        seal_to(bytes(32), b"payload", b"e" * 32)


def test_epoch_keys_travel_through_an_epoch_record() -> None:
    recovery, device = ROOT.recovery_box(), DEVICE.box()
    copies = EPOCH.sealed_copies([(recovery.public_key, b"1" * 32), (device.public_key, b"2" * 32)])
    assert [public for public, _ in copies] == [recovery.public_key, device.public_key]
    for box, (_, sealed) in zip((recovery, device), copies, strict=True):
        assert EpochKeys.from_payload(EPOCH.epoch, box.open(sealed)) == EPOCH


def test_ids_and_their_keys_outlive_an_epoch() -> None:
    later = EpochKeys(EPOCH.epoch + 1, b"new" + bytes(29), EPOCH.drive_key)
    assert later.node_id_key() == EPOCH.node_id_key()
    assert later.chunk_id_key() == EPOCH.chunk_id_key()
    assert later.key_id != EPOCH.key_id
    assert later.journal_key(1) != EPOCH.journal_key(1)


def test_device_keys_and_root_seed_round_trip_and_refuse_other_lengths() -> None:
    assert DeviceKeys.from_bytes(DEVICE.to_bytes()) == DEVICE
    assert RootSeed.from_bytes(ROOT.to_bytes()) == ROOT
    for read in (DeviceKeys.from_bytes, RootSeed.from_bytes, lambda data: EpochKeys.from_payload(1, data)):
        with pytest.raises(Corrupt):
            read(bytes(31))
    with pytest.raises(ValueError, match="32 bytes"):
        derive(b"short", b"domain")
    with pytest.raises(ValueError, match="epochs"):
        EpochKeys(0, bytes(32), bytes(32))


def test_attack_l01_no_secret_is_in_a_repr() -> None:
    secret = b"SECRETSECRETSECRETSECRETSECRETSE"
    shown = [
        repr(RootSeed(secret)),
        repr(DeviceKeys(secret, secret, secret, secret)),
        repr(EpochKeys(1, secret, secret)),
        repr(SigningKeyPair(secret)),
        repr(BoxKeyPair(secret)),
    ]
    assert not [text for text in shown if "SECRET" in text or secret.hex() in text]


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_ids_depend_on_key_and_bytes_alone(one: bytes, other: bytes) -> None:
    key, another = b"k" * 32, b"l" * 32
    for identify in (node_id, chunk_id):
        assert (identify(key, one) == identify(key, other)) == (one == other)
        assert identify(key, one) != identify(another, one)
        assert len(identify(key, one)) == 16
    assert chunk_id(key, memoryview(one)) == chunk_id(key, bytearray(one)) == chunk_id(key, one)
