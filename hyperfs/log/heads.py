"""Signed heads of a log: two slots of 512 bytes, at 0 and 4096 of the file `heads`.

Writing generation g: the slot g % 2, then fdatasync, and only then the same head into the other slot, without
a sync of its own. So the other slot's copy may be torn by a power cut, and does not matter: it is exactly the
one that generation g + 1 writes first, while slot g % 2 stands durable. At rest both slots agree, and a
damaged one is harmless. Blocks and tree that a head covers must be durable before it is written: see log.py.
"""

import contextlib
import threading
from hashlib import blake2b
from struct import Struct
from typing import Final, NamedTuple, Protocol

from hyperfs.crypto.keys import verify_signature
from hyperfs.errors import Corrupt, FormatTooNew
from hyperfs.log.manifest import Manifest, signable
from hyperfs.log.merkle import MerkleTree
from hyperfs.log.proof import MAX_LENGTH
from hyperfs.store.files import DiskFile

SLOT_BYTES: Final = 512
SLOT_OFFSETS: Final = (0, 4096)
FILE_BYTES: Final = SLOT_OFFSETS[1] + SLOT_BYTES
HEAD_FORMAT: Final = 1
_MOST_BYTES: Final = 1 << 63

_MAGIC: Final = b"hfshead\n"
_SLOT: Final = Struct("<8sIIQQQQ32s64s")  # magic, format, zero, generation, fork, length, byte length, ...
_CHECKSUM_BYTES: Final = 32
_PADDING: Final = bytes(SLOT_BYTES - _SLOT.size - _CHECKSUM_BYTES)


class Head(NamedTuple):
    """What a signature makes true of a log: its fork, blocks, bytes and the hash over its tree's roots.

    The signature is the bare Ed25519 one; `byte_length` is covered through the tree hash.
    """

    fork: int
    length: int
    byte_length: int
    tree_hash: bytes
    signature: bytes


class Signer(Protocol):
    """Whatever can sign for a public key: a key pair in memory."""

    @property
    def public_key(self) -> bytes: ...

    def sign(self, message: bytes) -> bytes:
        """The detached Ed25519 signature, 64 bytes."""


def sign_head(manifest: Manifest, signer: Signer, tree: MerkleTree, fork: int) -> Head:
    """The head of a log of one signer that stands at this tree."""
    digest = tree.hash()
    signature = signer.sign(signable(_context(manifest), digest, tree.length, fork))
    return Head(fork, tree.length, tree.byte_length, digest, signature)


def check_signature(manifest: Manifest, tree_hash: bytes, length: int, fork: int, signature: bytes) -> bool:
    """Whether the one signer of the log signed this."""
    message = signable(_context(manifest), tree_hash, length, fork)
    return verify_signature(manifest.signers[0].public_key, message, signature)


def _context(manifest: Manifest) -> bytes:
    return manifest.key() if manifest.version else manifest.signers[0].namespace


def encode_slot(head: Head, generation: int) -> bytes:
    body = _SLOT.pack(
        _MAGIC,
        HEAD_FORMAT,
        0,
        generation,
        head.fork,
        head.length,
        head.byte_length,
        head.tree_hash,
        head.signature,
    )
    body += _PADDING
    return body + blake2b(body, digest_size=_CHECKSUM_BYTES).digest()


def decode_slot(slot: bytes) -> tuple[int, Head] | None:
    """(generation, head); None for what encode_slot did not make of a head. FormatTooNew for a later format.

    Nor is it a head of more blocks or bytes than a log can have: what follows reckons in 64 bits.
    """
    if len(slot) != SLOT_BYTES:
        return None
    body, checksum = slot[:-_CHECKSUM_BYTES], slot[-_CHECKSUM_BYTES:]
    if blake2b(body, digest_size=_CHECKSUM_BYTES).digest() != checksum:
        return None
    magic, format_version, _, generation, *fields = _SLOT.unpack_from(body)
    if magic != _MAGIC:
        return None
    if format_version > HEAD_FORMAT:
        raise FormatTooNew("a log's head", format_version, HEAD_FORMAT)
    head = Head(*fields)
    is_possible = head.length <= MAX_LENGTH and head.byte_length < _MOST_BYTES
    return (generation, head) if is_possible and encode_slot(head, generation) == slot else None


def new_file(head: Head) -> bytes:
    """The whole file of a log whose first head this is."""
    slot = encode_slot(head, 0)
    return slot + bytes(SLOT_OFFSETS[1] - SLOT_BYTES) + slot


class HeadFile:
    """The open file. Owned by the log's one writer."""

    def __init__(self, file: DiskFile, manifest: Manifest) -> None:
        """Reads the newest head whose checksum and signature hold; Corrupt if neither slot's do."""
        self._file = file
        slots = []
        for offset in SLOT_OFFSETS:
            found = decode_slot(file.pread(SLOT_BYTES, offset))
            if found:
                head = found[1]
                if not check_signature(manifest, head.tree_hash, head.length, head.fork, head.signature):
                    found = None
            slots.append(found)
        valid = [slot for slot in slots if slot]
        if not valid:
            raise Corrupt(
                "neither copy of the log's head can be read",
                file.path,
                "restore this file from a copy of the store, or the drive from a peer",
            )
        self.generation, self.head = max(valid, key=lambda slot: slot[0])
        self.damaged_slot: int | None = slots.index(None) if None in slots else None
        """A slot without a valid head (torn, or flipped bits) when the file was opened; else None."""
        # A crash between the two writes leaves them different, which is no damage.
        self._agree = slots[0] == slots[1]
        self.in_doubt = False
        """A head is being written, or its write failed. Set and cleared under the lock."""
        self._lock = threading.Lock()  # one write or settle at a time: an owner's and a flush's may meet

    def write(self, head: Head) -> None:
        """Durable when it returns. What the head covers must be durable already. Any thread.

        After an OSError the head may be on the disk or not, and `in_doubt` is set: until settle() has returned,
        nothing that it covers may be overwritten.
        """
        with self._lock:
            self._settle()
            generation = self.generation + 1
            slot = encode_slot(head, generation)
            self._agree = False
            self.in_doubt = True
            self._file.pwrite(slot, SLOT_OFFSETS[generation % 2])
            self._file.fdatasync()
            self.generation, self.head = generation, head
            self.in_doubt = False
            # The head is durable, whatever becomes of its copy: an error here would deny what has happened. The
            # next settle() writes the copy again, and raises if that fails.
            with contextlib.suppress(OSError):
                self._file.pwrite(slot, SLOT_OFFSETS[1 - generation % 2])
                self._agree = True

    def settle(self) -> None:
        """Make both slots agree on the newest head, where a crash, damage or a failed write left them different.

        After a failed write that takes the attempted head back. Any thread.
        """
        with self._lock:
            self._settle()

    def take_back(self) -> None:
        """Returns when no head can be on the disk that a failed write left there. Any thread; waits for a write."""
        if self.in_doubt:
            with self._lock:
                if self.in_doubt:
                    self._settle()

    def _settle(self) -> None:
        if self._agree:
            return
        # The slot that the next head overwrites first may be the only good one now, so the other comes first.
        slot = encode_slot(self.head, self.generation)
        for number in (self.generation % 2, 1 - self.generation % 2):
            self._file.pwrite(slot, SLOT_OFFSETS[number])
            self._file.fdatasync()
        self._agree = True
        self.in_doubt = False

    def sync(self) -> None:
        """Returns when the second copy is durable too."""
        self._file.fdatasync()

    def close(self) -> None:
        self._file.close()


class NoHead(HeadFile):
    """Of a log of which nothing is known but its key: it has no blocks, and nobody has signed that."""

    def __init__(self) -> None:
        self.generation, self.head = 0, Head(0, 0, 0, MerkleTree().hash(), b"")
        self.damaged_slot = None
        self.in_doubt = False

    def write(self, head: Head) -> None:
        raise ValueError("a log without a head can't be written")

    def settle(self) -> None:
        """There is nothing."""

    def sync(self) -> None:
        """There is nothing."""

    def close(self) -> None:
        """There is nothing."""
