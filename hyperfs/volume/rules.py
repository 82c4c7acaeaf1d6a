"""Which rule of retention holds where: the drive's, and those of folders and files (`user.hyperfs.keep`).

A rule that is set is an attribute and, so that all of them are found without a search, a fact; the fact stays when the
folder goes, since what old versions have of it is still kept by it. What is locked keeps all its versions.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from hyperfs.errors import InvalidArgument
from hyperfs.policy.attributes import KEEP, PREFIX, PROTECT
from hyperfs.policy.inheritance import Held, nearest
from hyperfs.policy.protection import LOCK, NONE
from hyperfs.policy.retention import All, Rule, Thin, parse_keep
from hyperfs.values import ROOT_INO
from hyperfs.volume import keys
from hyperfs.volume.tree import Tree

_KEEPS: Final = keys.prefix(keys.NO_INO, keys.KEEP)
_POLICIES: Final = keys.prefix(keys.NO_INO, keys.POLICY)
_PROTECT: Final = PROTECT.removeprefix(PREFIX)


class Effective(NamedTuple):
    """The rule that holds for something, as it was written; `source` is what it was set on, 0 for the default."""

    text: str | None
    rule: Rule
    source: int


def rules_of(tree: Tree) -> dict[int, Rule]:
    """All rules, by what they were set on, the drive's under the root."""
    rules = {int.from_bytes(key[-8:], "big"): read_rule(value) for key, value in tree.facts(_KEEPS).items()}
    protects = _protects(tree)
    if LOCK in protects.values():
        # Here a rule in a locked folder is none, and a folder that is let out of one by a nearer policy keeps its own.
        for ino in rules.keys() | protects.keys():
            rules[ino] = All() if _is_locked(tree, protects, ino) else rules.get(ino) or effective(tree, ino).rule
    rules.setdefault(ROOT_INO, Thin())
    return rules


def read_rule(value: bytes) -> Rule:
    """What can't be read, for a later hyperfs wrote it, keeps everything."""
    try:
        return parse_keep(value.decode(errors="replace"))
    except InvalidArgument:
        return All()


def effective(tree: Tree, ino: int) -> Effective:
    """The nearest rule at or above something, or that of a lock."""
    lock = _held(tree, ino, PROTECT)
    if lock.value == LOCK:
        return Effective(None, All(), lock.source)
    found = _held(tree, ino, KEEP)
    if found.value is None:
        return Effective(None, Thin(), 0)
    return Effective(found.value.decode(errors="replace"), read_rule(found.value), found.source)


def without_trash(tree: Tree) -> Callable[[int], bool]:
    """Whether something of the tree is not to be kept for having been deleted."""
    protects = _protects(tree)
    if NONE not in protects.values():
        return lambda ino: False
    return lambda ino: nearest(protects.get, lambda at: _parent(tree, at), ino, None).value == NONE


def _protects(tree: Tree) -> dict[int, bytes]:
    """What each file or folder was protected by itself."""
    facts = ((keys.decode_policy_key(key), value) for key, value in tree.facts(_POLICIES).items())
    return {ino: value for (ino, name), value in facts if name == _PROTECT}


def _is_locked(tree: Tree, protects: dict[int, bytes], ino: int) -> bool:
    return nearest(protects.get, lambda at: _parent(tree, at), ino, None).value == LOCK


def _held(tree: Tree, ino: int, name: bytes) -> Held:
    return nearest(lambda at: tree.xattr(at, name), lambda at: _parent(tree, at), ino, None)


def _parent(tree: Tree, ino: int) -> int:
    inode = tree.inode(ino)
    return 0 if inode is None else inode.parent
