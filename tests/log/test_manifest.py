"""Manifests, keys, signatures: Hypercore's known answers, and a strict decoder."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.crypto.keys import SigningKeyPair, verify_signature
from hyperfs.errors import Corrupt, FormatTooNew
from hyperfs.log import compact, manifest
from hyperfs.log.manifest import Manifest, ManifestSigner, Prologue, Proof
from hyperfs.log.merkle import MerkleTree, Node, leaf_hash


def test_namespaces(hypercore: dict[str, Any]) -> None:
    known = hypercore["namespaces"]
    for name, value in known["hypercore"].items():
        assert getattr(manifest, name).hex() == value
    assert [n.hex() for n in manifest.namespace("corestore", 2)] == known["corestore"]
    assert [n.hex() for n in manifest.namespace("hyperdrive", 1)] == known["hyperdrive"]


def test_manifests_of_every_version(hypercore: dict[str, Any]) -> None:
    known = hypercore["manifest"]
    keys = [SigningKeyPair(bytes([n]) * 32).public_key for n in (1, 2, 7)]
    one = (ManifestSigner(keys[0]),)
    cases = {
        "default_v1": manifest.default_v1(keys[0]),
        "multisig_2of3_v1": Manifest(1, tuple(map(ManifestSigner, keys)), 2),
        "prologue_static_v1": Manifest(1, (), 0, prologue=Prologue(b"\x09" * 32, 3)),
        "userData_v2": Manifest(2, one, 1, user_data=b"user"),
        "v0": Manifest(0, one, 1),
    }
    for name, value in cases.items():
        encoded = bytes.fromhex(known[name]["encoded"])
        assert value.encode() == encoded, name
        assert manifest.decode_manifest(encoded) == value
        assert value.key().hex() == known[name].get("hash", known[name].get("hash_is_core_key"))
    assert manifest.discovery_key(cases["default_v1"].key()).hex() == known["default_v1"]["discoveryKey"]


def test_discovery_keys(hypercore: dict[str, Any]) -> None:
    for case in hypercore["discoveryKeys"]:
        assert manifest.discovery_key(bytes.fromhex(case["key"])).hex() == case["discoveryKey"]


def test_key_pairs(hypercore: dict[str, Any]) -> None:
    for case in hypercore["keypairs"]:
        pair = SigningKeyPair(bytes.fromhex(case["seed"]))
        assert pair.public_key.hex() == case["publicKey"]
        assert pair.sign(b"hello").hex() == case["sig_over_hello"]
        assert manifest.discovery_key(pair.public_key).hex() == case["discoveryKey"]


def test_corestore_keys(hypercore: dict[str, Any]) -> None:
    for case in hypercore["corestore"]["names"]:
        key = manifest.default_v1(bytes.fromhex(case["publicKey"])).key()
        assert key.hex() == case["coreKey"]
        assert manifest.discovery_key(key).hex() == case["discoveryKey"]


def test_signatures_of_every_core(hypercore: dict[str, Any], signer: SigningKeyPair) -> None:
    for core in hypercore["cores"]:
        tree_hash = bytes.fromhex(core["treeHash"])
        if core["compat"]:
            key = signer.public_key
            message = manifest.signable_compat(tree_hash, core["blocks"], core["fork"])
        else:
            key = manifest.default_v1(signer.public_key).key()
            message = manifest.signable(key, tree_hash, core["blocks"], core["fork"])
        assert key.hex() == core["key"]
        assert manifest.discovery_key(key).hex() == core["discoveryKey"]
        assert message.hex() == core["signable"]
        signature = signer.sign(message)
        assert signature.hex() == core["signature"]
        assert verify_signature(signer.public_key, message, signature)
        if "storedSignature" in core and not core["compat"]:  # an old log stores it bare
            assert manifest.wrap_signature(signature).hex() == core["storedSignature"]
            assert manifest.unwrap_signature(bytes.fromhex(core["storedSignature"])) == signature


def test_the_fork_of_the_vectors(hypercore: dict[str, Any], signer: SigningKeyPair) -> None:
    key = manifest.default_v1(signer.public_key).key()
    tree = MerkleTree()
    tree.extend([1] * 5, [leaf_hash(bytes([97 + i])) for i in range(5)])
    truncated = hypercore["fork"]["after_truncate"]
    assert tree.hash().hex() == truncated["treeHash"]
    message = manifest.signable(key, tree.hash(), 5, 1)
    assert message.hex() == truncated["signable"]
    assert signer.sign(message).hex() == truncated["signature"]


def test_a_later_manifest_is_told_as_such() -> None:
    with pytest.raises(FormatTooNew):
        manifest.decode_manifest(b"\x03" + bytes(10))


@given(st.binary(max_size=120))
def test_only_what_encode_makes_is_decoded(data: bytes) -> None:
    try:
        found = manifest.decode_manifest(data)
    except (Corrupt, FormatTooNew):
        return
    assert found.encode() == data


@given(st.integers(0, 200), st.integers(0, 255))
def test_a_changed_manifest_is_refused_or_has_another_key(at: int, value: int) -> None:
    good = manifest.default_v1(bytes(range(32)))
    data = bytearray(good.encode())
    data[at % len(data)] = value
    try:
        found = manifest.decode_manifest(bytes(data))
    except (Corrupt, FormatTooNew):
        return
    assert (found.key() == good.key()) == (found == good)


@given(st.integers(0, (1 << 64) - 1))
def test_integers_have_one_encoding(value: int) -> None:
    encoded = compact.uint(value)
    reader = compact.Reader(encoded, "number")
    assert reader.uint() == value
    reader.end()


@pytest.mark.parametrize("data", ["fd0100", "fdfc00", "feffff0000", "ffffffffff00000000", "fd01", ""])
def test_longer_or_cut_integers_are_refused(data: str) -> None:
    with pytest.raises(Corrupt):
        compact.Reader(bytes.fromhex(data), "number").uint()


@given(
    st.lists(st.tuples(st.integers(0, 9), st.binary(min_size=64, max_size=64), st.integers(0, 300)), max_size=3),
    st.lists(
        st.tuples(st.integers(0, 1 << 60), st.integers(0, 1 << 60), st.binary(min_size=32, max_size=32)),
        max_size=3,
    ),
)
def test_stored_signatures_come_back(proofs: list[tuple[int, bytes, int]], nodes: list[tuple[int, int, bytes]]) -> None:
    expected = tuple(Proof(*p) for p in proofs), tuple(Node(*n) for n in nodes)
    assert manifest.decode_signatures(manifest.encode_signatures(*expected)) == expected


def test_a_signature_of_several_is_not_that_of_one() -> None:
    two = manifest.encode_signatures((Proof(0, bytes(64)), Proof(1, bytes(64))))
    with pytest.raises(Corrupt, match="one signer"):
        manifest.unwrap_signature(two)
    with pytest.raises(Corrupt, match="announces"):
        manifest.decode_signatures(b"\xfd\xff\xff" + bytes(64))


@pytest.mark.parametrize(
    "value",
    [
        Manifest(0, (), 0, prologue=Prologue(b"\x09" * 32, 0)),
        Manifest(0, (ManifestSigner(b"a" * 32), ManifestSigner(b"b" * 32)), 2, allow_patch=True),
        Manifest(0, (ManifestSigner(b"a" * 32, namespace=b"n" * 32),), 1),
        Manifest(1, tuple(ManifestSigner(bytes([i]) * 32) for i in range(255)), 300, allow_patch=True),
        Manifest(2, (), 0, linked=(b"l" * 32, b"m" * 32), user_data=b"u" * 70_000),
        Manifest(2, (), 0, prologue=Prologue(b"\x09" * 32, 1 << 40)),
    ],
)
def test_manifests_of_every_kind_come_back(value: Manifest) -> None:
    assert manifest.decode_manifest(value.encode()) == value


@pytest.mark.parametrize("data", ["0001", "000003", "000100", "01000100", "0100000101" + "01" + "00" * 64])
def test_unknown_kinds_and_cut_manifests_are_corrupt(data: str) -> None:
    with pytest.raises(Corrupt):
        manifest.decode_manifest(bytes.fromhex(data))
