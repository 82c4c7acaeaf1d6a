"""Which rule of retention holds where: the drive's, and those of folders and files (`user.hyperfs.keep`).

A rule that is set is an attribute and, so that all of them are found without a search, a fact; the fact stays when the
folder goes, since what old versions have of it is still kept by it.
"""

from typing import Final, NamedTuple

from hyperfs.errors import InvalidArgument
from hyperfs.policy.attributes import KEEP
from hyperfs.policy.retention import All, Rule, Thin, parse_keep
from hyperfs.values import ROOT_INO
from hyperfs.volume import keys
from hyperfs.volume.tree import Tree

_PREFIX: Final = keys.prefix(keys.NO_INO, keys.KEEP)


class Effective(NamedTuple):
    """The rule that holds for something, as it was written; `source` is what it was set on, 0 for the default."""

    text: str | None
    rule: Rule
    source: int


def rules_of(tree: Tree) -> dict[int, Rule]:
    """All rules, by what they were set on, the drive's under the root."""
    rules = {int.from_bytes(key[-8:], "big"): read_rule(value) for key, value in tree.facts(_PREFIX).items()}
    rules.setdefault(ROOT_INO, Thin())
    return rules


def read_rule(value: bytes) -> Rule:
    """What can't be read, for a later hyperfs wrote it, keeps everything."""
    try:
        return parse_keep(value.decode(errors="replace"))
    except InvalidArgument:
        return All()


def effective(tree: Tree, ino: int) -> Effective:
    """The nearest rule at or above something."""
    seen = set()
    while ino and ino not in seen:
        seen.add(ino)
        value = tree.xattr(ino, KEEP)
        if value is not None:
            return Effective(value.decode(errors="replace"), read_rule(value), ino)
        inode = tree.inode(ino)
        ino = inode.parent if inode is not None else 0
    return Effective(None, Thin(), 0)
