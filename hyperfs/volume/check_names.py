"""Verify, third part: whether the newest version makes sense as a tree of files, and its facts about policies agree
with it.

Older versions were the newest once, and their ids show that they are still what they were.
"""

import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from hyperfs.chunks import extents as extent_codec
from hyperfs.trie.node import Load
from hyperfs.trie.walk import walk
from hyperfs.values import NAME_MAX_BYTES, ROOT_INO
from hyperfs.volume import keys
from hyperfs.volume.catch_up import TELL_ENTRIES, Progress
from hyperfs.volume.check_findings import Findings
from hyperfs.volume.check_state import CheckState
from hyperfs.volume.commit_record import Commit
from hyperfs.volume.entries import decode_dentry, extent_in, is_name
from hyperfs.volume.inode import Inode
from hyperfs.volume.policy_facts import PolicyFacts, Wrong, words_of
from hyperfs.volume.tree import ReadExtent

COUNTED_CHUNKS: Final = 10_000
"""Chunks counted in memory at a time."""
_FOLDER: Final = stat.S_IFDIR >> 12
_WRAP: Final = (1 << 128) - 1


def check_names(
    load: Load, commit: Commit, findings: Findings, state: CheckState, read_extent: ReadExtent, progress: Progress
) -> Wrong:
    """Needs a tree that can be read whole. How many extents are cut from each chunk is in the state afterwards. Returns
    the facts about policies that must be otherwise.

    One walk, in which memory does not grow, tells whether all is well; only if not, a second one that remembers all
    inodes tells what isn't.
    """
    quick, policies = _Quick(commit, state), PolicyFacts(read_extent)
    of = commit.root.count if commit.root is not None else 0
    for done, (key, value, hint) in enumerate(walk(load, commit.root), 1):
        quick.entry(key, value, hint)
        policies.entry(key, value, hint)
        if done % TELL_ENTRIES == 0 or done == of:
            progress("checking names", done, of)
    if not quick.is_well():
        _tell_all(load, commit, findings)
    wrong = policies.wrong()
    for fact, right in wrong.items():
        ino, what = words_of(fact, right)
        _note(findings, commit, ino, what, f"fact {fact.hex()}")
    return wrong


def _note(findings: Findings, commit: Commit, ino: int, what: str, where: str) -> None:
    finding = findings.add(what, f"version {commit.version} {where}")
    finding.inos.add(ino)
    finding.versions.append(commit.version)


class _Quick:
    """Sees the entries in order of keys, so those of an inode together.

    Names and inodes are compared as sums of hashes: each name adds what its inode, by its links, takes away. Sums of
    keyed 128-bit hashes that agree by chance are not to be had by damage.
    """

    def __init__(self, commit: Commit, state: CheckState) -> None:
        self._commit = commit
        self._state = state
        self._key = os.urandom(16)
        self._names = self._links = 0
        self._files = self._folders = self._bytes = 0
        self._wrong = False
        self._seen = _Seen()  # of the inode under way
        self._ino = keys.NO_INO
        self._counts: Counter[bytes] = Counter()
        state.forget_counts()

    def entry(self, key: bytes, value: bytes, hint: bytes) -> None:
        ino = int.from_bytes(key[:8], "big")
        if ino != self._ino:
            self._end_of_inode()
            self._ino = ino
        held = self._seen.entry(ino, key, value, hint)
        while self._seen.children:
            self._names += self._hash(*self._seen.children.pop())
        if held is not None:
            self._counts[held] += 1
            if len(self._counts) >= COUNTED_CHUNKS:
                self._count()

    def is_well(self) -> bool:
        self._end_of_inode()
        self._count()
        commit = self._commit
        totals = (self._files, self._folders, self._bytes) == (commit.files, commit.directories, commit.file_bytes)
        return totals and not self._wrong and (self._names - self._links) & _WRAP == 0

    def _count(self) -> None:
        self._state.count_extents(dict(self._counts))
        self._counts.clear()

    def _end_of_inode(self) -> None:
        seen, ino = self._seen, self._ino
        self._seen = _Seen()
        if ino == keys.NO_INO:
            return
        inode = seen.inodes.get(ino)
        if inode is None:
            self._wrong = True
            return
        self._wrong |= bool(seen.overlaps or seen.impossible or _own_problems(seen, ino, inode))
        if inode.is_directory:
            self._folders += 1
            if ino != ROOT_INO:
                self._links += self._hash(ino, inode.parent)
        else:
            self._files += 1
            self._bytes += inode.size if inode.is_file else 0
            self._wrong |= inode.nlink == 0
            self._links += inode.nlink * self._hash(ino, 0)

    def _hash(self, ino: int, parent: int) -> int:
        data = ino.to_bytes(8, "big") + parent.to_bytes(8, "big")
        return int.from_bytes(blake2b(data, key=self._key, digest_size=16).digest(), "big")


@dataclass
class _Seen:
    """What a tree says, by inode. `children`: (inode, folder that it is in, 0 for what is no folder) of each name."""

    inodes: dict[int, Inode] = field(default_factory=dict)
    children: list[tuple[int, int]] = field(default_factory=list)
    subfolders: Counter[int] = field(default_factory=Counter)
    stored: Counter[int] = field(default_factory=Counter)
    overlaps: set[int] = field(default_factory=set)
    impossible: list[int] = field(default_factory=list)
    """Inodes under what is no name."""
    _end: tuple[int, int] = (0, 0)

    def entry(self, ino: int, key: bytes, value: bytes, hint: bytes) -> bytes | None:
        """The chunk that the entry is cut from, if it is."""
        match key[keys.PREFIX_BYTES - 1]:
            case keys.INODE if ino != keys.NO_INO:
                self.inodes[ino] = Inode.decode(ino, value)
            case keys.DENTRY:
                child, kind = decode_dentry(value, f"inode {ino}")
                self.children.append((child, ino if kind == _FOLDER else 0))
                if not is_name(key[keys.PREFIX_BYTES :]) or len(key) - keys.PREFIX_BYTES > NAME_MAX_BYTES:
                    self.impossible.append(child)
                self.subfolders[ino] += kind == _FOLDER
            case keys.EXTENT:
                extent = extent_codec.decode(keys.extent_offset(key), value, hint)
                size = self.inodes[ino].size if ino in self.inodes else 0
                if (self._end[0] == ino and extent.offset < self._end[1]) or extent.end > size:
                    self.overlaps.add(ino)
                self._end = (ino, extent.end)
                self.stored[ino] += extent.length
        held = extent_in(key, (value, hint))
        return None if held is None else held.chunk


def _tell_all(load: Load, commit: Commit, findings: Findings) -> None:
    seen = _Seen()
    for key, value, hint in walk(load, commit.root):
        seen.entry(int.from_bytes(key[:8], "big"), key, value, hint)
    names = Counter(child for child, _ in seen.children)
    named_in = {child: parent for child, parent in seen.children if parent}

    def note(ino: int, what: str) -> None:
        _note(findings, commit, ino, what, f"inode {ino}")

    for ino in names:
        if ino not in seen.inodes:
            note(ino, "a name of an inode that is not there")
    for ino in {*seen.stored, *seen.subfolders}:
        if ino not in seen.inodes:
            note(ino, "bytes or names that belong to no inode")
    for ino in seen.impossible:
        note(ino, "an entry under what can't be a name: it is not shown")
    for ino in seen.overlaps:
        note(ino, "two extents of a file overlap, or one lies past its end")
    for ino, inode in seen.inodes.items():
        for what in [*_own_problems(seen, ino, inode), *_name_problems(ino, inode, names[ino], named_in)]:
            note(ino, what)
    _totals(seen, commit, findings)


def _own_problems(seen: _Seen, ino: int, inode: Inode) -> list[str]:
    """What is wrong with an inode beside its own extents and names."""
    problems = []
    if inode.is_directory and inode.nlink != 2 + seen.subfolders[ino]:
        problems.append(f"a folder with {inode.nlink} links and {seen.subfolders[ino]} folders in it")
    inline = len(inode.inline) if inode.inline is not None else 0
    if inode.is_file and inode.stored != seen.stored[ino] + inline:
        problems.append(f"a file that says it stores {inode.stored} bytes and stores {seen.stored[ino] + inline}")
    return problems


def _name_problems(ino: int, inode: Inode, names: int, named_in: dict[int, int]) -> list[str]:
    """What is wrong with it beside the names of it."""
    problems = []
    if ino != ROOT_INO and not names:
        problems.append("an inode without a name")
    if inode.is_directory:
        if ino != ROOT_INO and named_in.get(ino) != inode.parent:
            problems.append(f"a folder that says it is in {inode.parent} and is in {named_in.get(ino)}")
    elif inode.nlink != names:
        problems.append(f"a file with {inode.nlink} links and {names} names")
    return problems


def _totals(seen: _Seen, commit: Commit, findings: Findings) -> None:
    folders = sum(inode.is_directory for inode in seen.inodes.values())
    size = sum(inode.size for inode in seen.inodes.values() if inode.is_file)
    counted = (len(seen.inodes) - folders, folders, size)
    said = (commit.files, commit.directories, commit.file_bytes)
    if counted != said:
        findings.add(
            f"the commit counts {said[0]} files, {said[1]} folders and {said[2]} bytes; "
            f"there are {counted[0]}, {counted[1]} and {counted[2]}",
            f"version {commit.version} totals",
        )
