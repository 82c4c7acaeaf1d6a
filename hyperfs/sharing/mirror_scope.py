"""What of a version belongs to a shared folder: what lies below it and may be at every place to which it is shared.
What a policy keeps from one of these places is left out, names and all. Reads only."""

from collections.abc import Iterator, Mapping

from hyperfs.errors import InvalidArgument
from hyperfs.policy.attributes import PLACES, PREFIX
from hyperfs.policy.inheritance import nearest
from hyperfs.policy.storage import parse_places
from hyperfs.trie.diff import diff
from hyperfs.volume import keys
from hyperfs.volume.entries import Dentry
from hyperfs.volume.tree import Tree


def place_rules(tree: Tree) -> dict[int, bytes]:
    """What was said of the places where bytes may be, by what it was said of."""
    name = PLACES.removeprefix(PREFIX)
    facts = tree.facts(keys.prefix(keys.NO_INO, keys.POLICY))
    found = {keys.decode_policy_key(key): value for key, value in facts.items()}
    return {ino: value for (ino, about), value in found.items() if about == name}


class Shared:
    """Of one version. `places`: the names of those to which the folder is shared."""

    def __init__(self, tree: Tree, folder: int, places: frozenset[str], rules: Mapping[int, bytes]) -> None:
        self.tree = tree
        self.folder = folder
        self._places = places
        self._rules = rules
        self._known: dict[int, bool] = {0: False}
        top = tree.inode(folder)
        self.is_there = top is not None and top.is_directory
        held = nearest(rules.get, self._parent, folder, None)
        self.may_go = held.value is None or self._allow(held.value)
        """Whether the folder itself may be there."""
        self._known[folder] = self.is_there and self.may_go

    def has(self, directory: int) -> bool:
        """Whether what a directory holds is shared."""
        climbed = []
        at = directory
        while at not in self._known:
            self._known[at] = False  # a circle, which no tree has, ends here
            climbed.append(at)
            if not self._own(at):
                break
            at = self._parent(at)
        answer = self._known[at]
        for at in climbed:
            self._known[at] = answer
        return answer

    def entry(self, directory: int, name: bytes) -> Dentry | None:
        """What a name means, if it is shared."""
        found = self.tree.dentry(directory, name) if self.has(directory) else None
        return found if found is not None and self._own(found[0]) else None

    def entries(self, directory: int) -> Iterator[tuple[bytes, Dentry]]:
        if self.has(directory):
            yield from ((name, found) for name, found in self.tree.dentries(directory) if self._own(found[0]))

    def _own(self, ino: int) -> bool:
        """Whether what was said of it itself, if anything, lets it be shared."""
        rule = self._rules.get(ino)
        return rule is None or self._allow(rule)

    def _allow(self, rule: bytes) -> bool:
        try:
            return self._places <= set(parse_places(rule.decode("ascii")))
        except (InvalidArgument, UnicodeDecodeError):
            return False

    def _parent(self, ino: int) -> int:
        inode = self.tree.inode(ino)
        return 0 if inode is None else inode.parent


class Touched:
    """Which names and inodes may differ between two versions of the drive, all of it."""

    def __init__(self, old: Tree, new: Tree) -> None:
        self.names: set[tuple[int, bytes]] = set()
        self.inodes: set[int] = set()
        for key, _, _ in diff(new.load, old.root, new.root):
            ino, kind = int.from_bytes(key[: keys.PREFIX_BYTES - 1], "big"), key[keys.PREFIX_BYTES - 1]
            if ino == keys.NO_INO:
                continue
            if kind == keys.DENTRY:
                self.names.add((ino, key[keys.PREFIX_BYTES :]))
            elif kind in (keys.INODE, keys.EXTENT, keys.XATTR):
                self.inodes.add(ino)
