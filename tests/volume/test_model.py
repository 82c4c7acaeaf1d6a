"""A volume against a plain model: random operations, versions, kills at any moment, and all of it compared."""

import os
import shutil
import stat
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
import trio
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hyperfs.chunks.extents import Extent
from hyperfs.errors import FileError, NoSuchVersion
from hyperfs.trie import Point
from hyperfs.trie.walk import walk, walk_nodes
from hyperfs.volume import entries, keys, overlay
from hyperfs.volume.check import verify
from hyperfs.volume.commit_record import Commit, Replaced, decode_overflow
from hyperfs.volume.inode import Inode
from hyperfs.volume.namespace import EXCHANGE, NOREPLACE
from hyperfs.volume.nodes import Nodes
from hyperfs.volume.prune import prune
from hyperfs.volume.restore import restore
from hyperfs.volume.volume import Volume
from tests import tally
from tests.alike import some_bytes

from .conftest import DRIVE, Store, create_store, inode_of, kill
from .faults import Faults, Killed
from .model import (
    Allowed,
    Node,
    View,
    allowed_now,
    attributes_of,
    model_of_volume,
    paths_below,
    view_of_model,
    view_of_tree,
    why_not,
)

NAMES = [b"a", b"b", b"\xff\n", b"n" * 255]
XATTRS = [b"user.a", b"user.b"]
SIZES = [0, 1, 100, 127, 128, 129, 512, 3000, 65_536, 65_537, 90_000]
XATTR_SIZES = [None, 0, 10, 1024, 1025, 65_536]
picks = st.integers(0, 1000)
names = st.sampled_from(NAMES)
offsets = st.sampled_from([0, 0, 1, 100, 128, 512, 4000, 65_000, 200_000])
sizes = st.sampled_from(SIZES)


class Machine(RuleBasedStateMachine):
    """`root` is the model; `durable` what a kill leaves; `versions` every version as the model had it."""

    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="hyperfs-model-"))
        self.faults = Faults()
        shutil.copytree(self.template, self.folder / "store")
        self.store = Store(self.folder / "store", disk=self.faults.disk)
        self.volume = self.store.open()
        self.root = model_of_volume(self.volume)
        self.versions: dict[int, View] = {1: view_of_model(self.root)}
        self.durable: Allowed = allowed_now(self.root)
        self.handles: list[tuple[Inode, Node]] = []
        self.named: dict[tuple[int, bytes], int] = {}  # the snapshots: by folder and name the version

    @initialize()
    def begin_with_files(self) -> None:
        for name in NAMES[:2]:
            self.make(0, name, stat.S_IFREG)
        self.write(0, 0, 3000, 1)

    def run(self, work: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        return trio.run(work, *args)

    def teardown(self) -> None:
        self.check_versions()
        kill(self.volume)
        shutil.rmtree(self.folder)

    # Picking

    def pick(self, wanted: Callable[[Node], bool], number: int) -> tuple[bytes, Node] | None:
        found = [(path, node) for path, node in paths_below(self.root) if wanted(node)]
        return found[number % len(found)] if found else None

    def folder_of(self, number: int) -> tuple[bytes, Node]:
        found = self.pick(lambda n: n.children is not None, number)
        assert found is not None
        return found

    def file_of(self, number: int) -> Node | None:
        found = self.pick(lambda n: stat.S_ISREG(n.mode), number)
        return found[1] if found else None

    def entry_of(self, number: int) -> tuple[bytes, Node, bytes, Node] | None:
        """(folder's path, folder, name, node) of some entry."""
        found = [
            (path, node, name, child)
            for path, node in paths_below(self.root)
            for name, child in (node.children or {}).items()
        ]
        return found[number % len(found)] if found else None

    def live(self, node: Node) -> Inode:
        return self.volume.overlay.inode(node.ino)

    def note(self, *nodes: Node) -> None:
        """Takes over the attributes that an operation gave the nodes; all others must stay as they are."""
        for node in nodes:
            inode = self.volume.overlay.table.get(node.ino) or self.volume.overlay.live.inode(node.ino)
            if inode is not None:
                node.attributes = attributes_of(inode)

    def attempt(self, error: bool, operation: Callable[[], Any]) -> bool:
        """Does it; whether it was done. It must fail exactly when the model says so."""
        if error:
            with pytest.raises(FileError):
                operation()
            return False
        operation()
        return True

    # Names

    @rule(folder=picks, name=names, kind=st.sampled_from([stat.S_IFREG, stat.S_IFREG, stat.S_IFDIR, stat.S_IFIFO]))
    def make(self, folder: int, name: bytes, kind: int) -> None:
        _, parent = self.folder_of(folder)
        assert parent.children is not None
        made: list[Inode] = []
        if self.attempt(
            name in parent.children,
            lambda: made.append(self.volume.names.make(parent.ino, name, kind | 0o640, 7, 8)),
        ):
            node = Node(made[0].mode, ino=made[0].ino)
            if kind == stat.S_IFDIR:
                node.children = {}
            parent.children[name] = node
            self.note(parent, node)

    @rule(folder=picks, name=names, size=st.integers(1, 4095))
    def symlink(self, folder: int, name: bytes, size: int) -> None:
        _, parent = self.folder_of(folder)
        assert parent.children is not None
        made: list[Inode] = []
        target = b"t" * size
        if self.attempt(
            name in parent.children, lambda: made.append(self.volume.names.symlink(parent.ino, name, target, 1, 2))
        ):
            node = parent.children[name] = Node(made[0].mode, data=target, ino=made[0].ino)
            node.made_durable()
            self.note(parent, node)

    @rule(entry=picks, folder=picks, name=names)
    def link(self, entry: int, folder: int, name: bytes) -> None:
        found = self.entry_of(entry)
        if found is None:
            return
        node, (_, parent) = found[3], self.folder_of(folder)
        assert parent.children is not None
        if self.attempt(
            name in parent.children or node.children is not None,
            lambda: self.volume.names.link(self.live(node), parent.ino, name),
        ):
            parent.children[name] = node
            self.note(parent, node)

    @rule(entry=picks, directory=st.booleans())
    def remove(self, entry: int, directory: bool) -> None:
        found = self.entry_of(entry)
        if found is None:
            return
        _, parent, name, node = found
        assert parent.children is not None
        operation = self.volume.names.rmdir if directory else self.volume.names.unlink
        wrong = bool(node.children) or directory is not (node.children is not None)

        async def work() -> None:
            self.volume.unlinked(operation(parent.ino, name))

        if self.attempt(wrong, lambda: self.run(work)):
            del parent.children[name]
            self.note(parent, node)

    @rule(entry=picks, folder=picks, name=names, flags=st.sampled_from([0, 0, 0, NOREPLACE, EXCHANGE]))
    def rename(self, entry: int, folder: int, name: bytes, flags: int) -> None:
        found = self.entry_of(entry)
        if found is None:
            return
        path, source, old_name, node = found
        target_path, target = self.folder_of(folder)
        assert source.children is not None
        assert target.children is not None
        moved = path + b"/" + old_name if path else old_name
        other = target.children.get(name)
        there = target_path + b"/" + name if target_path else name
        if self._into_itself(moved, target_path) or (other is not None and self._into_itself(there, path)):
            return  # the kernel refuses that itself
        wrong = (flags == EXCHANGE and other is None) or (flags == NOREPLACE and other is not None)
        if flags == 0 and other is not None and other is not node:
            wrong = (other.children is not None) != (node.children is not None) or bool(other.children)

        async def work() -> None:
            replaced = self.volume.names.rename(source.ino, old_name, target.ino, name, flags)
            if replaced is not None:
                self.volume.unlinked(replaced)

        if not self.attempt(wrong, lambda: self.run(work)) or other is node:
            return
        del source.children[old_name]
        target.children[name] = node
        if flags == EXCHANGE:
            assert other is not None
            source.children[old_name] = other
        self.note(source, target, node, *([other] if other else []))

    def _into_itself(self, moved: bytes, folder: bytes) -> bool:
        return folder == moved or folder.startswith(moved + b"/")

    # Bytes

    @rule(file=picks, offset=offsets, size=sizes, seed=picks)
    def write(self, file: int, offset: int, size: int, seed: int) -> None:
        node = self.file_of(file)
        if node is not None:
            self._write(self.live(node), node, offset, some_bytes(seed, size))

    def _write(self, inode: Inode, node: Node, offset: int, data: bytes) -> None:
        self.run(self.volume.files.write, inode, offset, data)
        if data or offset > len(node.data):
            old = node.data.ljust(offset, b"\0")
            node.change(old[:offset] + data + old[offset + len(data) :])
        if inode.nlink:
            self.note(node)

    @rule(file=picks, size=st.sampled_from([*SIZES, 40, 5000, 250_000]))
    def resize(self, file: int, size: int) -> None:
        node = self.file_of(file)
        if node is not None:
            self.run(self.volume.files.resize, self.live(node), size)
            node.change(node.data[:size].ljust(size, b"\0"))
            self.note(node)

    # Handles

    @rule(file=picks)
    def open_file(self, file: int) -> None:
        node = self.file_of(file)
        if node is not None and len(self.handles) < 4:
            self.volume.opened(self.live(node), True)
            self.handles.append((self.live(node), node))

    @precondition(lambda self: self.handles)
    @rule(handle=picks, offset=offsets, size=sizes, seed=picks)
    def write_handle(self, handle: int, offset: int, size: int, seed: int) -> None:
        inode, node = self.handles[handle % len(self.handles)]
        self._write(inode, node, offset, some_bytes(seed, size))

    @precondition(lambda self: self.handles)
    @rule(handle=picks, size=sizes)
    def resize_handle(self, handle: int, size: int) -> None:
        inode, node = self.handles[handle % len(self.handles)]
        self.run(self.volume.files.resize, inode, size)
        node.change(node.data[:size].ljust(size, b"\0"))
        if inode.nlink:
            self.note(node)

    @precondition(lambda self: self.handles)
    @rule(handle=picks, forget=st.sampled_from(["no", "after", "before"]))
    def release(self, handle: int, forget: str) -> None:
        inode, _ = self.handles.pop(handle % len(self.handles))
        if forget == "before":  # the kernel may say the one first or the other
            self.volume.forgotten(inode.ino)

        async def work() -> None:
            self.volume.released(inode, True)

        self.run(work)
        if forget == "after":
            self.volume.forgotten(inode.ino)

    # Attributes

    @rule(entry=picks, mode=st.integers(0, 0o7777), uid=picks)
    def set_attributes(self, entry: int, mode: int, uid: int) -> None:
        found = self.entry_of(entry)
        if found is None:
            return
        node = found[3]
        inode = self.live(node)
        inode.mode = stat.S_IFMT(inode.mode) | mode
        inode.uid, inode.mtime_ns = uid, uid * 1000
        self.volume.overlay.touch(inode)
        self.note(node)
        node.mode = inode.mode

    @rule(entry=picks, name=st.sampled_from(XATTRS), size=st.sampled_from(XATTR_SIZES), seed=picks)
    def set_xattr(self, entry: int, name: bytes, size: int | None, seed: int) -> None:
        found = self.entry_of(entry)
        if found is None:
            return
        self._set_xattr(self.live(found[3]), found[3], name, None if size is None else some_bytes(seed, size))

    def _set_xattr(self, inode: Inode, node: Node, name: bytes, value: bytes | None) -> None:
        self.volume.xattrs.set(inode, name, value)
        if value is None:
            node.xattrs.pop(name, None)
        else:
            node.xattrs[name] = value
        if inode.nlink:
            self.note(node)

    @precondition(lambda self: self.handles)
    @rule(handle=picks, name=st.sampled_from(XATTRS), size=st.sampled_from(XATTR_SIZES), seed=picks)
    def set_xattr_handle(self, handle: int, name: bytes, size: int | None, seed: int) -> None:
        """Of a file that may have no name any more."""
        inode, node = self.handles[handle % len(self.handles)]
        self._set_xattr(inode, node, name, None if size is None else some_bytes(seed, size))

    # Durability

    def synced(self, node: Node | None) -> None:
        if node is not None:
            node.made_durable()
        self.durable = allowed_now(self.root)

    def committed(self) -> None:
        for _, node in paths_below(self.root):
            node.made_durable()
        self.durable = allowed_now(self.root)
        self.versions[self.volume.versions.newest.version] = self.durable.view

    @rule(file=picks, offset=offsets, size=sizes, seed=picks)
    def write_and_fsync(self, file: int, offset: int, size: int, seed: int) -> None:
        self.write(file, offset, size, seed)
        self.fsync(file)

    @rule(file=picks, sizes=st.lists(st.sampled_from([0, 40, 600, 5000, 250_000]), min_size=1, max_size=3))
    def resize_and_fsync(self, file: int, sizes: list[int]) -> None:
        for size in sizes:
            self.resize(file, size)
        self.fsync(file)

    @rule(file=picks)
    def flush(self, file: int) -> None:
        """What a commit begins with, and all that may be left of one."""
        node = self.file_of(file)
        if node is not None:
            self.run(self.volume.files.flushing.flush, [self.live(node)])

    @rule(file=picks)
    def fsync(self, file: int) -> None:
        node = self.file_of(file)
        self.run(self.volume.fsync, None if node is None else self.live(node))
        self.synced(node)

    @rule()
    def fsync_names(self) -> None:
        self.run(self.volume.fsync, None)
        self.synced(None)

    @rule()
    def commit(self) -> None:
        self.run(self.volume.commit)
        self.committed()

    @rule(folder=picks, name=st.sampled_from([b"one", b"two"]))
    def snapshot(self, folder: int, name: bytes) -> None:
        _, node = self.folder_of(folder)
        if (node.ino, name) in self.named:
            self.run(self.volume.delete_snapshot, node.ino, name)
            del self.named[node.ino, name]
            self.synced(None)
            return
        made = self.run(self.volume.make_snapshot, node.ino, name)
        self.named[node.ino, name] = made.version
        self.committed()
        assert view_of_tree(self.volume, self.volume.versions.tree(made.version)) == self.durable.view

    # Versions

    @rule(version=picks)
    def look_back(self, version: int) -> None:
        """Whatever has happened since, a version is what it was."""
        number = sorted(self.versions)[version % len(self.versions)]
        assert view_of_tree(self.volume, self.volume.versions.tree(number)) == self.versions[number]

    @rule()
    def verify(self) -> None:
        self.commit()
        report = verify(self.volume.parts)
        damage = [found for found in report.damage if found.where != "file keys"]  # which these stores have not
        assert not damage, damage

    @rule(seconds=st.integers(1, 3))
    def time_passes(self, seconds: int) -> None:
        """So that there is more than one version that `.versions` lists."""
        self.store.clock.forward(seconds)

    @rule(keep_last=st.integers(1, 4), dry_run=st.booleans())
    def prune(self, keep_last: int, dry_run: bool) -> None:
        """What stays is as it was, what goes is gone; the live tree and open files notice nothing."""
        if dry_run:
            self.commit()  # as it does itself: what was done a moment ago counts
        versions = self.volume.versions
        before = {facts.version for facts in versions.all()}
        listed = sum(bool(facts.second) for facts in versions.all())
        last = versions.newest.version
        done = self.run(prune, self.volume, keep_last, dry_run, lambda what, done, of: None)
        now = {facts.version for facts in versions.all()}
        if dry_run:
            assert now == before
            return
        self.committed()
        self.versions.update(dict.fromkeys(range(last + 1, versions.newest.version), self.durable.view))
        assert len(before - now) == done.versions
        assert versions.newest.version in now
        assert set(self.named.values()) & before <= now
        assert sum(bool(facts.second) for facts in versions.all()) >= min(keep_last, listed)
        self.volume.parts.nodes._young.clear()  # or what is in memory would hide what is not on the disk any more
        self.volume.parts.nodes._old.clear()
        for number in before - now:
            self.versions.pop(number, None)
            with pytest.raises(NoSuchVersion):
                versions.tree(number)

    # Ends

    def opened_again(self) -> None:
        self.faults.dead, self.faults.kill_after = False, None
        self.handles = []
        self.volume = self.store.open()

    @rule()
    def close_and_open(self) -> None:
        self.run(self.volume.commit)
        self.committed()
        kill(self.volume)
        self.opened_again()
        assert not why_not(self.durable, view_of_tree(self.volume, self.volume.overlay.live))
        assert not self.volume.parts.replayed or not self.volume.overlay.live.active
        self.recovered()

    def recovered(self) -> None:
        """After a kill one of several states may be the right one: the model goes on with the one found."""
        before = view_of_tree(self.volume, self.volume.overlay.live)
        self.run(self.volume.recover)
        assert view_of_tree(self.volume, self.volume.overlay.live) == before
        self.root = model_of_volume(self.volume)
        self.committed()

    @rule()
    def die(self) -> None:
        kill(self.volume)
        self.opened_again()
        wrong = why_not(self.durable, view_of_tree(self.volume, self.volume.overlay.live))
        assert not wrong, wrong
        self.recovered()

    @rule(operations=st.integers(0, 12), file=picks, commit=st.booleans())
    def die_while_it_writes(self, operations: int, file: int, commit: bool) -> None:
        """The process ends at some disk operation of an fsync or commit: either nothing of it was done or all."""
        node = self.file_of(file)
        self.faults.kill_after = operations
        try:
            if commit:
                self.run(self.volume.commit)
            else:
                self.run(self.volume.fsync, None if node is None else self.live(node))
            survived = True
        except BaseException as error:
            if not _is_kill(error):
                raise
            survived = False
        before = self.durable
        if commit:
            for _, below in paths_below(self.root):
                below.made_durable()
        elif node is not None:
            node.made_durable()
        after = allowed_now(self.root)
        kill(self.volume)
        self.opened_again()
        found = view_of_tree(self.volume, self.volume.overlay.live)
        wrong = why_not(after, found)
        assert not wrong or (not survived and not why_not(before, found)), (wrong, why_not(before, found))
        self.check_new_version(after)
        self.recovered()

    def check_new_version(self, after: Allowed) -> None:
        newest = self.volume.versions.newest.version
        if newest not in self.versions:
            self.versions[newest] = after.view

    # Restore

    @rule(version=picks, entry=picks, to=st.one_of(st.none(), names))
    def restore(self, version: int, entry: int, to: bytes | None) -> None:
        number = sorted(self.versions)[version % len(self.versions)]
        past = self.versions[number]
        path = sorted(past)[entry % len(past)]
        if to is not None and (to in (self.root.children or {}) or not path):
            return
        before = view_of_model(self.root)
        try:
            self.run(restore, self.volume, path, number, to)
        except FileError:
            return  # a folder on the way is a file now
        self.check_restored(before, number, path, path if to is None else to)

    def check_restored(self, before: View, number: int, path: bytes, target: bytes) -> None:
        found = view_of_tree(self.volume, self.volume.overlay.live)
        for other in before.keys() - {b""}:
            if not (target == b"" or other == target or other.startswith(target + b"/")):
                assert other in found, other
                assert found[other].data == before[other].data
                assert found[other].xattrs == before[other].xattrs
        # The model follows; versions are compared with it from now on.
        by_ino = {}
        self.root = model_of_volume(self.volume)
        for _, node in paths_below(self.root):
            by_ino[node.ino] = node
        self.handles = [(inode, by_ino.get(inode.ino, node)) for inode, node in self.handles]
        newest = self.volume.versions.newest.version
        for version in range(max(self.versions) + 1, newest):
            self.versions[version] = before
        self.committed()
        past, now = self.versions[number], self.durable.view
        if path not in past or (path and self.moved_since(number, path)):
            return
        for old, seen in past.items():
            if path and old != path and not old.startswith(path + b"/"):
                continue
            rest = old[len(path) :].lstrip(b"/")
            new = (target + b"/" + rest if target else rest) if rest else target
            again = now[new]
            assert again.data == seen.data
            assert again.xattrs == seen.xattrs
            mode, uid, gid, _, atime, mtime, _ = seen.attributes
            assert again.attributes[:3] == (mode, uid, gid)
            assert again.attributes[4:6] == (atime, mtime)

    def moved_since(self, number: int, path: bytes) -> bool:
        """Whether today's folder of that name was another one then: it decides what is restored."""
        parent = path.rpartition(b"/")[0]
        tree = self.volume.versions.tree(number)
        live_parent = inode_of_or_none(self.volume, parent)
        if live_parent is None:
            return True
        then = tree.dentry(live_parent, path.rpartition(b"/")[2])
        from hyperfs.volume.paths import find

        return then is not None and then[0] != find(tree, path)

    # What always holds

    @invariant()
    def live_is_the_model(self) -> None:
        found = view_of_tree(self.volume, self.volume.overlay.live)
        wanted = view_of_model(self.root)
        if found != wanted:
            raise AssertionError(why_not(Allowed(wanted, {}), found))

    @invariant()
    def open_files_read_as_the_model(self) -> None:
        for inode, node in self.handles:
            assert self.volume.files.read(inode, 0, inode.size + 1) == node.data
            names = self.volume.xattrs.names(inode)
            assert {name: self.volume.xattrs.get(inode, name) for name in names} == node.xattrs

    @invariant()
    def snapshots_are_the_model(self) -> None:
        found = {(s.directory, s.name): s.version for s in self.volume.versions.snapshots()}
        assert found == self.named
        for (directory, name), version in found.items():
            assert self.volume.versions.snapshot(directory, name) == (directory, name, version, ANY)

    @invariant()
    def totals_are_right(self) -> None:
        nodes = {id(node): node for _, node in paths_below(self.root)}.values()
        totals = self.volume.overlay
        assert totals.directories == sum(n.children is not None for n in nodes)
        assert totals.files == sum(n.children is None for n in nodes)
        assert totals.file_bytes == sum(len(n.data) for n in nodes if stat.S_ISREG(n.mode))
        open_nodes = {id(node): inode for inode, node in self.handles}
        if not open_nodes:
            assert self.volume.files.dirty_bytes == sum(
                i.dirty.nbytes for i in totals.table.values() if i.dirty is not None
            )

    def check_versions(self) -> None:
        """Every version is what it was, and says of the one before it what went and what came back."""
        volume = self.volume
        versions = volume.versions
        reached: set[tuple[int, Point]] = set()
        chunks: dict[bytes, int] = {}
        length = previous = 0
        for facts in versions.all():
            commit = versions.commit(facts.version)
            tree = versions.tree(facts.version)
            if facts.version in self.versions:
                found = view_of_tree(volume, tree)
                assert found == self.versions[facts.version], facts.version
            now = {(ref.log, ref.point) for ref in walk_nodes(volume.parts.nodes.load, commit.root)}
            chunks_now = check_garbage(volume, facts.version)
            if facts.version == previous + 1:  # else those between have been let go
                replaced = all_replaced(volume.parts.nodes, commit, facts.log, facts.index)
                assert sorted((d.log, d.point) for d in replaced.nodes) == sorted(reached - now)
                unused = {d for d in replaced.chunks if d.born == facts.version}
                named = chunks.keys() | chunks_now.keys()
                assert not {d.chunk for d in unused} & named, "chunks that something names"
                assert {d.chunk for d in replaced.chunks if d not in unused} == chunks.keys() - chunks_now.keys()
                again = {c for c in chunks_now.keys() - chunks.keys() if chunks_now[c] < length}
                assert again <= set(replaced.resurrected), "chunks that came back and are not said to have"
            reached, chunks, length, previous = now, chunks_now, commit.content.length, facts.version
        known = {c: volume.parts.catalog.chunk(c) for c in chunks}
        assert all(facts is not None and facts.live > 0 for facts in known.values())


def inode_of_or_none(volume: Volume, path: bytes) -> int | None:
    try:
        return inode_of(volume, path).ino
    except AssertionError:
        return None


def check_garbage(volume: Volume, version: int) -> dict[bytes, int]:
    """Nothing lies in a version that no name leads to. Returns its chunks and the blocks that they lie in."""
    tree = volume.versions.tree(version)
    named = {seen_ino for _, (seen_ino) in ino_walk(tree)}
    chunks: dict[bytes, int] = {}
    for key, value, hint in walk(tree.load, tree.root):
        ino = int.from_bytes(key[:8], "big")
        assert ino == keys.NO_INO or ino in named, f"inode {ino} hangs on no name, kind {key[8]}"
        extent = entries.extent_in(key, (value, hint))
        if isinstance(extent, Extent):
            chunks[extent.chunk] = extent.block
            if extent.bases:
                tally.add("extents of deltas in the versions of models", 1)
    return chunks


def ino_walk(tree: Any) -> list[tuple[bytes, int]]:
    from .model import walk_tree

    return [(path, inode.ino) for path, inode in walk_tree(tree)]


def all_replaced(nodes: Nodes, commit: Commit, log: int, index: int) -> Replaced:
    from hyperfs.crypto.seal import KIND_DEAD

    whole = Replaced(list(commit.replaced.nodes), list(commit.replaced.chunks), list(commit.replaced.resurrected))
    for block in range(index - commit.dead_blocks, index):
        part = decode_overflow(nodes.plaintext(log, block, KIND_DEAD))
        whole.nodes += part.nodes
        whole.chunks += part.chunks
        whole.resurrected += part.resurrected
    return whole


def _is_kill(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(_is_kill(below) for below in error.exceptions)
    return isinstance(error, Killed)


class CrowdedMachine(Machine):
    """With room for hardly any inode in memory: those that an operation has in its hands must stay themselves."""

    def __init__(self) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(overlay, "TABLE_LIMIT", 2)
        super().__init__()

    def teardown(self) -> None:
        super().teardown()
        self.patch.undo()


@pytest.fixture(scope="module", autouse=True)
def template(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("model") / "store"
    create_store(path, DRIVE, b"", Store(path).options())
    Machine.template = path


Machine.TestCase.settings = settings(
    max_examples=int(os.environ.get("HYPERFS_MODEL_EXAMPLES", "40")),
    stateful_step_count=40,
    deadline=None,
    phases=[phase for phase in Phase if phase is not Phase.shrink or "HYPERFS_MODEL_NO_SHRINK" not in os.environ],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
CrowdedMachine.TestCase.settings = Machine.TestCase.settings
TestModel = Machine.TestCase
TestCrowdedModel = CrowdedMachine.TestCase
