"""Whether the facts about policies say what the attributes say that they repeat. Pure.

A policy is an attribute of what it is set on, and a fact of kind 12, or 9 for `keep`, by which all of them are found
(docs/formats/inode.md). The attribute is what somebody set, so where the two differ the fact is wrong.
"""

from collections.abc import Callable

from hyperfs.chunks.extents import Extent
from hyperfs.errors import HyperfsError
from hyperfs.policy.attributes import FILED, KEEP, PREFIX
from hyperfs.volume import keys
from hyperfs.volume.entries import decode_xattr

Wrong = dict[bytes, bytes | None]
"""By key, what facts must be; None for one that there must not be."""


class PolicyFacts:
    """To be shown all entries of a tree in order of keys: facts come first. Memory grows with the policies."""

    def __init__(self, read: Callable[[Extent], bytes]) -> None:
        """`read`: the bytes of a long attribute. Where it can't, the attribute counts as what the fact says."""
        self._read = read
        self._facts: dict[bytes, bytes] = {}
        self._there: set[bytes] = set()  # the keys that a `keep` of an inode of the tree would have
        self._wrong: Wrong = {}
        self._has_keeps = False

    def entry(self, key: bytes, value: bytes, hint: bytes) -> None:
        kind = key[keys.PREFIX_BYTES - 1]
        if kind == keys.XATTR:
            self._attribute(int.from_bytes(key[:8], "big"), key[keys.PREFIX_BYTES :], value, hint)
        elif kind in (keys.POLICY, keys.KEEP):
            self._facts[key] = value
            self._has_keeps = self._has_keeps or kind == keys.KEEP
        elif kind == keys.INODE and self._has_keeps:
            own = keys.keep_key(int.from_bytes(key[:8], "big"))
            if own in self._facts:
                self._there.add(own)

    def wrong(self) -> Wrong:
        """A `keep` outlives its inode; a policy does not."""
        alone = {key: None for key in self._facts if key[keys.PREFIX_BYTES - 1] == keys.POLICY or key in self._there}
        return {**self._wrong, **alone}

    def _attribute(self, ino: int, name: bytes, value: bytes, hint: bytes) -> None:
        if name == KEEP:
            key = keys.keep_key(ino)
        elif name in FILED:
            key = keys.policy_key(ino, name.removeprefix(PREFIX))
        else:
            return
        fact = self._facts.pop(key, None)
        self._there.discard(key)
        held = decode_xattr(value, hint)
        try:
            text = self._read(held) if isinstance(held, Extent) else held
        except HyperfsError:
            return
        if fact != text:
            self._wrong[key] = text


def words_of(key: bytes, value: bytes | None) -> tuple[int, str]:
    """(inode, what is wrong) of a fact that must be `value`."""
    rest = key[keys.PREFIX_BYTES :]
    name = "keep" if key[keys.PREFIX_BYTES - 1] == keys.KEEP else rest[8:].decode(errors="replace")
    if value is None:
        return int.from_bytes(rest[:8], "big"), f"the drive knows of a policy {name!r} that is not set"
    return int.from_bytes(rest[:8], "big"), f"the policy {name!r} is set, and the drive knows of another one or none"
