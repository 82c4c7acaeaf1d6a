"""Manifests: what a log's key stands for, and what its signatures cover. Hypercore 11's, byte for byte.

A log's key is the hash of its manifest, which names the public keys that may sign. Our logs use the default
manifest of version 1: one signer, Ed25519, Hypercore's default namespace.
"""

from hashlib import blake2b
from struct import Struct
from typing import Final, NamedTuple

from hyperfs.crypto.keys import SIGNATURE_BYTES
from hyperfs.errors import Corrupt, FormatTooNew
from hyperfs.log import compact
from hyperfs.log.merkle import Node, hash32

_TAIL: Final = Struct("<QQ")
_SIGNER_BYTES: Final = 1 + 32 + 32
_NEWEST: Final = 2
_PATCH, _PROLOGUE, _LINKED, _USER_DATA = 1, 2, 4, 8


def namespace(name: str | bytes, count: int) -> list[bytes]:
    """Hypercore's namespaces: H(H(name) | u8 i) for i from 0."""
    root = hash32(name.encode() if isinstance(name, str) else name)
    return [hash32(root + bytes((i,))) for i in range(count)]


TREE, REPLICATE_INITIATOR, REPLICATE_RESPONDER, MANIFEST, DEFAULT_NAMESPACE, DEFAULT_ENCRYPTION = namespace(
    "hypercore", 6
)


class ManifestSigner(NamedTuple):
    public_key: bytes
    namespace: bytes = DEFAULT_NAMESPACE


class Prologue(NamedTuple):
    """A tree that every log under the manifest begins with. Version 0 has no length in its encoding: 0."""

    hash: bytes
    length: int


class Manifest(NamedTuple):
    version: int
    signers: tuple[ManifestSigner, ...]
    quorum: int
    allow_patch: bool = False
    prologue: Prologue | None = None
    linked: tuple[bytes, ...] = ()
    user_data: bytes = b""

    def encode(self) -> bytes:
        return bytes((self.version,)) + (self._encode_v0() if self.version == 0 else self._encode_v1())

    def key(self) -> bytes:
        """The key of a log under this manifest."""
        return hash32(MANIFEST + self.encode())

    def _encode_v0(self) -> bytes:
        if self.prologue and not self.signers:
            return b"\x00\x00" + self.prologue.hash
        if self.quorum == 1 and len(self.signers) == 1 and not self.allow_patch:
            return b"\x00\x01" + _encode_signer(self.signers[0])
        flags = bytes((self.allow_patch,))
        return b"\x00\x02" + flags + compact.uint(self.quorum) + _encode_signers(self.signers)

    def _encode_v1(self) -> bytes:
        flags = (
            (_PATCH if self.allow_patch else 0)
            | (_PROLOGUE if self.prologue else 0)
            | (_LINKED if self.linked else 0)
            | (_USER_DATA if self.user_data else 0)
        )
        parts = [bytes((flags, 0)), compact.uint(self.quorum), _encode_signers(self.signers)]
        if self.prologue:
            parts += [self.prologue.hash, compact.uint(self.prologue.length)]
        if self.linked:
            parts += [compact.uint(len(self.linked)), *self.linked]
        if self.user_data:
            parts.append(compact.buffer(self.user_data))
        return b"".join(parts)


def default_v1(public_key: bytes) -> Manifest:
    """The manifest of all our logs: this key alone signs."""
    return Manifest(1, (ManifestSigner(public_key),), 1)


def decode_manifest(data: bytes) -> Manifest:
    """Corrupt for what encode could not have made, FormatTooNew for a later version."""
    reader = compact.Reader(data, "manifest")
    version = reader.uint()
    if version > _NEWEST:
        raise FormatTooNew("manifest", version, _NEWEST)
    found = _decode_v0(reader) if version == 0 else _decode_v1(reader, version)
    reader.end()
    if found.encode() != data:
        raise Corrupt("manifest is not in its one encoding")
    return found


def _encode_signer(signer: ManifestSigner) -> bytes:
    return b"\x00" + signer.namespace + signer.public_key  # 0: Ed25519


def _encode_signers(signers: tuple[ManifestSigner, ...]) -> bytes:
    return compact.uint(len(signers)) + b"".join(map(_encode_signer, signers))


def _decode_signer(reader: compact.Reader) -> ManifestSigner:
    if kind := reader.uint():
        raise Corrupt(f"manifest has unknown signature kind {kind}")
    space = reader.take(32)
    return ManifestSigner(reader.take(32), space)


def _decode_signers(reader: compact.Reader) -> tuple[ManifestSigner, ...]:
    return tuple(_decode_signer(reader) for _ in range(reader.count(_SIGNER_BYTES)))


def _check_hash_kind(reader: compact.Reader) -> None:
    if kind := reader.uint():
        raise Corrupt(f"manifest has unknown hash kind {kind}")


def _decode_v0(reader: compact.Reader) -> Manifest:
    _check_hash_kind(reader)
    kind = reader.uint()
    if kind == 0:
        return Manifest(0, (), 0, prologue=Prologue(reader.take(32), 0))
    if kind == 1:
        return Manifest(0, (_decode_signer(reader),), 1)
    if kind != 2:
        raise Corrupt(f"manifest has unknown type {kind}")
    patch = bool(reader.uint() & _PATCH)
    quorum = reader.uint()
    return Manifest(0, _decode_signers(reader), quorum, patch)


def _decode_v1(reader: compact.Reader, version: int) -> Manifest:
    flags = reader.uint()
    _check_hash_kind(reader)
    quorum = reader.uint()
    return Manifest(
        version,
        _decode_signers(reader),
        quorum,
        bool(flags & _PATCH),
        Prologue(reader.take(32), reader.uint()) if flags & _PROLOGUE else None,
        tuple(reader.take(32) for _ in range(reader.count(32))) if flags & _LINKED else (),
        reader.buffer() if flags & _USER_DATA else b"",
    )


def discovery_key(key: bytes) -> bytes:
    """A name for a log that does not tell its key."""
    return blake2b(b"hypercore", key=key, digest_size=32).digest()


def signable(manifest_hash: bytes, tree: bytes, length: int, fork: int) -> bytes:
    """What a head's signature covers (112 bytes). The context is the key, or for version 0 the namespace."""
    return TREE + manifest_hash + tree + _TAIL.pack(length, fork)


def signable_compat(tree: bytes, length: int, fork: int) -> bytes:
    """What signatures of logs from before manifests cover (80 bytes): there the key is the public key."""
    return TREE + tree + _TAIL.pack(length, fork)


class Proof(NamedTuple):
    """One signer's part in a stored signature; `patch` blocks were appended since what it signed."""

    signer: int
    signature: bytes
    patch: int = 0


def wrap_signature(signature: bytes) -> bytes:
    """Hypercore's stored form of a one-signer log's signature: what its wire and its disk carry."""
    return encode_signatures((Proof(0, signature),))


def encode_signatures(proofs: tuple[Proof, ...], nodes: tuple[Node, ...] = ()) -> bytes:
    parts = [compact.uint(len(proofs))]
    for proof in proofs:
        parts += [compact.uint(proof.signer), proof.signature, compact.uint(proof.patch)]
    parts.append(compact.uint(len(nodes)))
    for node in nodes:
        parts += [compact.uint(node.index), compact.uint(node.size), node.hash]
    return b"".join(parts)


def decode_signatures(data: bytes) -> tuple[tuple[Proof, ...], tuple[Node, ...]]:
    """Inverse of encode_signatures; Corrupt for anything else."""
    reader = compact.Reader(data, "stored signature")
    proofs = tuple(
        Proof(reader.uint(), reader.take(SIGNATURE_BYTES), reader.uint())
        for _ in range(reader.count(SIGNATURE_BYTES + 2))
    )
    nodes = tuple(Node(reader.uint(), reader.uint(), reader.take(32)) for _ in range(reader.count(34)))
    reader.end()
    return proofs, nodes


def unwrap_signature(data: bytes) -> bytes:
    """The one signature of a one-signer log out of its stored form; Corrupt if it is not of that kind."""
    proofs, nodes = decode_signatures(data)
    if len(proofs) != 1 or nodes or proofs[0].signer or proofs[0].patch:
        raise Corrupt("stored signature is not that of one signer")
    return proofs[0].signature
