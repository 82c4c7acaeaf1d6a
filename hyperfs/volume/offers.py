"""What each version offers: all of it, or only the regions that keep it and what is pinned in it.

A region is a folder (or file) with a rule of its own and all below it, without the regions in there. Which region
something belongs to in a version is told by the folders that it lay in then. What a version does not offer is absent
from it: its metadata is still there, its bytes may be gone.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from hyperfs.chunks.extents import Extent
from hyperfs.trie.node import Ref
from hyperfs.values import ROOT_INO
from hyperfs.volume import gone, gone_files, keys, pins
from hyperfs.volume.entries import Dentry
from hyperfs.volume.gone import GoneVersions
from hyperfs.volume.gone_files import GoneFiles
from hyperfs.volume.inode import Inode
from hyperfs.volume.pins import Pin
from hyperfs.volume.tree import Load, ReadExtent, Tree

DEEPEST: Final = 10_000
REGIONS: Final = keys.prefix(keys.NO_INO, keys.REGION)


@dataclass
class Offer:
    """Of a version that is not offered whole. `borders` are the inodes that regions begin with, the root among them;
    `absent` those whose regions are not offered; `pinned`: offered all the same, with all below."""

    borders: frozenset[int]
    absent: frozenset[int]
    pinned: frozenset[int]
    _known: dict[int, bool] = field(default_factory=dict, compare=False)

    def hides(self, tree: Tree, ino: int) -> bool:
        """Whether an inode of the version, whose whole tree it is, is absent. One that it has not is not hidden.

        A file with names in several folders counts as offered: some of them may be in a region that keeps it.
        """
        inode = tree.inode(ino)
        if inode is None or (inode.nlink > 1 and not inode.is_directory):
            return False
        return self._hides(tree, inode)

    def _hides(self, tree: Tree, inode: Inode) -> bool:
        climbed: list[int] = []
        region: int | None = None
        hidden: bool | None = None
        while hidden is None:
            ino = inode.ino
            if region is None and ino in self._known:
                hidden = self._known[ino]
                break
            if ino in self.pinned:
                hidden = False
                break
            if region is None:
                climbed.append(ino)
                if ino in self.borders:
                    region = ino
            is_top = ino == ROOT_INO or len(climbed) > DEEPEST or (region is not None and not self.pinned)
            parent = None if is_top else tree.inode(inode.parent)
            if parent is None:
                hidden = (ROOT_INO if region is None else region) in self.absent
            else:
                inode = parent
        for ino in climbed:
            self._known[ino] = hidden
        return hidden


class Offers:
    """All that the newest root says of what versions offer."""

    def __init__(self, root: Tree) -> None:
        """Raises Corrupt, NotResident."""
        self.gone: Final = GoneVersions(root.facts(gone.PREFIX))
        self.absent: Final = GoneFiles(root.facts(gone_files.PREFIX))
        self.pins: Final = pins.pins_of(root.facts(pins.PREFIX))
        self.borders: Final = frozenset(
            {int.from_bytes(key[keys.PREFIX_BYTES :], "big") for key in root.facts(REGIONS)} | {ROOT_INO}
        )
        self._pinned: dict[int, list[Pin]] = {}
        self._by_directory: dict[int, list[Pin]] = {}
        for pin in self.pins:
            self._pinned.setdefault(pin.version, []).append(pin)
            self._by_directory.setdefault(pin.directory, []).append(pin)
        self._by_ino = {pin.ino: pin for pin in self.pins}

    def pin_of(self, ino: int) -> Pin | None:
        """The newest pin of something."""
        return self._by_ino.get(ino)

    def pinned_from(self, directory: int) -> list[Pin]:
        """What was deleted from a directory."""
        return self._by_directory.get(directory, [])

    def pinned(self, version: int) -> list[Pin]:
        return self._pinned.get(version, [])

    def of(self, version: int, device: int) -> Offer | None:
        """None for a version that is offered whole. For one that is gone, what is pinned in it."""
        pinned = frozenset(pin.ino for pin in self.pinned(version))
        if self.gone.has(version):
            return Offer(frozenset({ROOT_INO}), frozenset({ROOT_INO}), pinned)
        if not self.absent:
            return None
        absent = frozenset(ino for ino in self.borders if self.absent.has(ino, device, version))
        return Offer(self.borders, absent, pinned) if absent else None


class OfferedTree(Tree):
    """A version as it is offered: what is absent from it is not there."""

    def __init__(self, whole: Tree, offer: Offer, load: Load, root: Ref | None, read_extent: ReadExtent) -> None:
        super().__init__(load, root, read_extent)
        self._whole = whole
        self._offer = offer

    @property
    def whole(self) -> Tree:
        return self._whole

    def hides(self, ino: int) -> bool:
        return self._offer.hides(self._whole, ino)

    def absent_below(self, ino: int) -> Iterator[int]:
        for border in sorted(self._offer.absent):
            inode = self._whole.inode(border)
            for _ in range(DEEPEST):
                if inode is None or inode.ino == ROOT_INO:
                    break
                if inode.parent == ino:
                    yield border
                    break
                inode = self._whole.inode(inode.parent)

    def inode(self, ino: int) -> Inode | None:
        return None if self.hides(ino) else super().inode(ino)

    def dentry(self, parent: int, name: bytes) -> Dentry | None:
        found = super().dentry(parent, name)
        return None if found is None or self.hides(found[0]) else found

    def dentries(self, parent: int, after: bytes = b"") -> Iterator[tuple[bytes, Dentry]]:
        return (found for found in super().dentries(parent, after) if not self.hides(found[1][0]))

    def extents(self, ino: int, start: int, end: int) -> list[Extent]:
        return [] if self.hides(ino) else super().extents(ino, start, end)

    def extent(self, ino: int, offset: int) -> Extent | None:
        return None if self.hides(ino) else super().extent(ino, offset)

    def xattr(self, ino: int, name: bytes) -> bytes | None:
        return None if self.hides(ino) else super().xattr(ino, name)

    def xattrs(self, ino: int) -> dict[bytes, bytes]:
        return {} if self.hides(ino) else super().xattrs(ino)

    def xattr_names(self, ino: int) -> set[bytes]:
        return set() if self.hides(ino) else super().xattr_names(ino)


def offered(whole: Tree, offer: Offer | None, read_extent: Callable[[Extent], bytes]) -> Tree:
    """The tree as the version is offered."""
    return whole if offer is None else OfferedTree(whole, offer, whole.load, whole.root, read_extent)
