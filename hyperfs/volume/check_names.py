"""Verify, third part: whether the newest version makes sense as a tree of files.

Older versions were the newest once, and their ids show that they are still what they were.
"""

import stat
from collections import Counter
from dataclasses import dataclass, field

from hyperfs.chunks import extents as extent_codec
from hyperfs.trie.node import Load
from hyperfs.trie.walk import walk
from hyperfs.values import ROOT_INO
from hyperfs.volume import keys
from hyperfs.volume.check_findings import Findings
from hyperfs.volume.commit_record import Commit
from hyperfs.volume.entries import decode_dentry, extent_in
from hyperfs.volume.inode import Inode


@dataclass
class _Seen:
    """What one version's tree says, by inode. `live`: extents by chunk."""

    inodes: dict[int, Inode] = field(default_factory=dict)
    names: Counter[int] = field(default_factory=Counter)
    subfolders: Counter[int] = field(default_factory=Counter)
    stored: Counter[int] = field(default_factory=Counter)
    named_in: dict[int, int] = field(default_factory=dict)  # a folder's own parent directory
    live: Counter[bytes] = field(default_factory=Counter)
    overlaps: set[int] = field(default_factory=set)


def check_names(load: Load, commit: Commit, findings: Findings) -> Counter[bytes]:
    """Needs a tree that can be read whole. Returns how many extents are cut from each chunk."""
    seen = _read(load, commit)
    where = f"version {commit.version}"

    def note(ino: int, what: str) -> None:
        finding = findings.add(what, f"{where} inode {ino}")
        finding.inos.add(ino)
        finding.versions.append(commit.version)

    for ino in seen.names:
        if ino not in seen.inodes:
            note(ino, "a name of an inode that is not there")
    for ino in {*seen.stored, *seen.subfolders}:
        if ino not in seen.inodes:
            note(ino, "bytes or names that belong to no inode")
    for ino in seen.overlaps:
        note(ino, "two extents of a file overlap, or one lies past its end")
    for ino, inode in seen.inodes.items():
        for what in _inode_problems(seen, ino, inode):
            note(ino, what)
    _totals(seen, commit, findings, where)
    return seen.live


def _read(load: Load, commit: Commit) -> _Seen:
    seen = _Seen()
    end: tuple[int, int] = (0, 0)
    for key, value, hint in walk(load, commit.root):
        ino = int.from_bytes(key[:8], "big")
        match key[keys.PREFIX_BYTES - 1]:
            case keys.INODE if ino != keys.NO_INO:
                seen.inodes[ino] = Inode.decode(ino, value)
            case keys.DENTRY:
                child, kind = decode_dentry(value, f"inode {ino}")
                seen.names[child] += 1
                seen.subfolders[ino] += kind == stat.S_IFDIR >> 12
                if kind == stat.S_IFDIR >> 12:
                    seen.named_in[child] = ino
            case keys.EXTENT:
                extent = extent_codec.decode(keys.extent_offset(key), value, hint)
                size = seen.inodes[ino].size if ino in seen.inodes else 0
                if (end[0] == ino and extent.offset < end[1]) or extent.end > size:
                    seen.overlaps.add(ino)
                end = (ino, extent.end)
                seen.stored[ino] += extent.length
        held = extent_in(key, (value, hint))
        if held is not None:
            seen.live[held.chunk] += 1
    return seen


def _inode_problems(seen: _Seen, ino: int, inode: Inode) -> list[str]:
    problems = []
    if ino != ROOT_INO and not seen.names[ino]:
        problems.append("an inode without a name")
    if inode.is_directory:
        if inode.nlink != 2 + seen.subfolders[ino]:
            problems.append(f"a folder with {inode.nlink} links and {seen.subfolders[ino]} folders in it")
        if ino != ROOT_INO and seen.named_in.get(ino) != inode.parent:
            problems.append(f"a folder that says it is in {inode.parent} and is in {seen.named_in.get(ino)}")
    elif inode.nlink != seen.names[ino]:
        problems.append(f"a file with {inode.nlink} links and {seen.names[ino]} names")
    inline = len(inode.inline) if inode.inline is not None else 0
    if inode.is_file and inode.stored != seen.stored[ino] + inline:
        problems.append(f"a file that says it stores {inode.stored} bytes and stores {seen.stored[ino] + inline}")
    return problems


def _totals(seen: _Seen, commit: Commit, findings: Findings, where: str) -> None:
    folders = sum(inode.is_directory for inode in seen.inodes.values())
    size = sum(inode.size for inode in seen.inodes.values() if inode.is_file)
    counted = (len(seen.inodes) - folders, folders, size)
    said = (commit.files, commit.directories, commit.file_bytes)
    if counted != said:
        findings.add(
            f"the commit counts {said[0]} files, {said[1]} folders and {said[2]} bytes; "
            f"there are {counted[0]}, {counted[1]} and {counted[2]}",
            f"{where} totals",
        )
