"""The plain model that the volume is compared with: dictionaries and byte strings, and what a kill may leave."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from hyperfs.values import ROOT_INO
from hyperfs.volume.inode import Inode
from hyperfs.volume.overlay import MAX_FILE_BYTES
from hyperfs.volume.tree import Tree
from hyperfs.volume.volume import Volume

Attributes = tuple[int, int, int, int, int, int, int]


@dataclass(eq=False)
class Node:
    """A file, folder or symlink. `states` are a file's contents since the last one known to be durable, that first."""

    mode: int
    attributes: Attributes = (0,) * 7
    data: bytes = b""
    xattrs: dict[bytes, bytes] = field(default_factory=dict)
    children: "dict[bytes, Node] | None" = None
    states: list[bytes] = field(default_factory=lambda: [b""])
    ino: int = 0

    def change(self, data: bytes) -> None:
        self.data = data
        self.states.append(data)

    def made_durable(self) -> None:
        self.states = [self.data]


class Seen(NamedTuple):
    """What can be seen of one path. `twins` are all paths of the same inode."""

    attributes: Attributes
    data: bytes | None
    xattrs: tuple[tuple[bytes, bytes], ...]
    twins: tuple[bytes, ...]


View = dict[bytes, Seen]


def attributes_of(inode: Inode) -> Attributes:
    return inode.mode, inode.uid, inode.gid, inode.nlink, inode.atime_ns, inode.mtime_ns, inode.ctime_ns


def paths_below(node: Node, path: bytes = b"") -> Iterator[tuple[bytes, Node]]:
    """(path, node) of the folder itself and all below it."""
    yield path, node
    for name, child in (node.children or {}).items():
        yield from paths_below(child, path + b"/" + name if path else name)


def view_of_model(root: Node) -> View:
    listed = list(paths_below(root))
    twins: dict[int, list[bytes]] = {}
    for path, node in listed:
        twins.setdefault(id(node), []).append(path)
    return {
        path: Seen(
            (*node.attributes[:3], links(node, twins[id(node)]), *node.attributes[4:]),
            None if node.children is not None else node.data,
            tuple(sorted(node.xattrs.items())),
            tuple(sorted(twins[id(node)])),
        )
        for path, node in listed
    }


def links(node: Node, names: list[bytes]) -> int:
    if node.children is None:
        return len(names)
    return 2 + sum(child.children is not None for child in node.children.values())


def walk_tree(tree: Tree) -> Iterator[tuple[bytes, Inode]]:
    """(path, inode) of everything in a tree, folders first."""
    waiting = [(b"", ROOT_INO)]
    while waiting:
        path, ino = waiting.pop()
        inode = tree.inode(ino)
        assert inode is not None, f"{path!r} names inode {ino}, which is not there"
        yield path, inode
        if inode.is_directory:
            for name, (child, kind) in tree.dentries(ino):
                waiting.append((path + b"/" + name if path else name, child))
                below = tree.inode(child)
                assert below is not None
                assert kind == below.mode >> 12


def view_of_tree(volume: Volume, tree: Tree) -> View:
    """A version, or the live tree, with all bytes read."""
    live = tree is volume.overlay.live
    listed = list(walk_tree(tree))
    twins: dict[int, list[bytes]] = {}
    for path, inode in listed:
        twins.setdefault(inode.ino, []).append(path)
    return {
        path: Seen(
            attributes_of(inode),
            content(volume, tree, inode, live),
            tuple(sorted(tree.xattrs(inode.ino).items())),
            tuple(sorted(twins[inode.ino])),
        )
        for path, inode in listed
    }


def content(volume: Volume, tree: Tree, inode: Inode, live: bool) -> bytes | None:
    if inode.is_directory:
        return None
    if inode.is_symlink:
        return inode.inline
    if not inode.is_file:
        return b""
    if live:
        return volume.files.read(inode, 0, inode.size + 10)
    if inode.inline is not None:
        return inode.inline.ljust(inode.size, b"\0")
    return volume.content.read(tree.extents(inode.ino, 0, MAX_FILE_BYTES), 0, inode.size)


def model_of_volume(volume: Volume) -> Node:
    """A model in the state of the volume: after a kill, when more than one state was right."""
    live = volume.overlay.live
    nodes: dict[int, Node] = {}
    by_path: dict[bytes, Node] = {}
    for path, inode in walk_tree(live):
        node = nodes.get(inode.ino)
        if node is None:
            node = nodes[inode.ino] = Node(inode.mode, attributes_of(inode), ino=inode.ino)
            node.xattrs = live.xattrs(inode.ino)
            if inode.is_directory:
                node.children = {}
            node.data = content(volume, live, inode, True) or b""
            node.made_durable()
        by_path[path] = node
        if path:
            parent, _, name = path.rpartition(b"/")
            children = by_path[parent].children
            assert children is not None
            children[name] = node
    return by_path[b""]


class Allowed(NamedTuple):
    """What a kill may leave: this view, where the bytes of the files in `loose` were not synced.

    Of those each byte is one that the file had there in some state since the last durable one, or zero where a
    state had a hole; their size lies between the smallest and the largest.
    """

    view: View
    loose: dict[bytes, list[bytes]]


def allowed_now(root: Node) -> Allowed:
    """A record of all names and attributes as they are now."""
    loose = {path: list(node.states) for path, node in paths_below(root) if len(node.states) > 1}
    return Allowed(view_of_model(root), loose)


def why_not(allowed: Allowed, found: View) -> str:
    """An empty text when the found state is one that is allowed, else the first thing that is wrong."""
    if found.keys() != allowed.view.keys():
        return f"other names: missing {allowed.view.keys() - found.keys()}, new {found.keys() - allowed.view.keys()}"
    for path, seen in found.items():
        wanted = allowed.view[path]
        states = allowed.loose.get(path)
        if states is None:
            if seen != wanted:
                return f"{path!r}: {shown(seen)} in the place of {shown(wanted)}"
            continue
        if seen._replace(data=None) != wanted._replace(data=None):
            return f"{path!r}: {shown(seen)} in the place of {shown(wanted)}"
        assert seen.data is not None
        if not min(map(len, states)) <= len(seen.data) <= max(map(len, states)):
            return f"{path!r}: {len(seen.data)} bytes, it had {[len(s) for s in states]}"
        if seen.data in states:
            continue
        for at, byte in enumerate(seen.data):
            if byte and all(at >= len(state) or state[at] != byte for state in states):
                return f"{path!r}: byte {at} is {byte}, which it never was since the last sync"
    return ""


def shown(seen: Seen) -> str:
    data = seen.data if seen.data is None or len(seen.data) < 60 else f"{seen.data[:20]!r}... {len(seen.data)} bytes"
    return f"{seen.attributes} {data!r} {[(n, len(v)) for n, v in seen.xattrs]} {seen.twins}"
