"""The newest version of a store: found, checked against the logs, and what comes before the first one."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from hyperfs.errors import Corrupt, NotResident
from hyperfs.log import flat_tree
from hyperfs.log.control import Chain
from hyperfs.log.control_codec import CLOSED
from hyperfs.log.log import Log
from hyperfs.values import BlockRef
from hyperfs.volume import rescue
from hyperfs.volume.commit_record import Commit, LogHead, RealmRoot
from hyperfs.volume.nodes import Nodes
from hyperfs.volume.options import Options
from hyperfs.volume.rescue import Found
from hyperfs.volume.versions import read_commit

COUNTER_BITS: Final = 48
"""Inode numbers: 15 bits of device above a counter of 48."""


def first_ino(device: int) -> int:
    """The first inode number that a device may give out; 1 is the root."""
    return (device << COUNTER_BITS) + 2


def genesis(content_number: int, device: int, epoch: int) -> Commit:
    """The state before the first version: nothing."""
    return Commit(
        version=0,
        device=device,
        time_ns=0,
        wall_ns=0,
        clock=0,
        display_second=0,
        listed_second=0,
        journal_sequence=0,
        next_ino=first_ino(device),
        files=0,
        directories=0,
        file_bytes=0,
        content=LogHead(content_number, 0, 0, 0, bytes(32)),
        parents=(),
        realms=(RealmRoot(0, epoch, None),),
    )


def newest_commit(nodes: Nodes, metadata: Mapping[int, int]) -> Found | None:
    """The newest version that any of the metadata logs ends with; None when all are empty. `metadata`: how long each
    of them is."""
    newest: Found | None = None
    for number, length in metadata.items():
        if length:
            last = length - 1
            commit = read_commit(nodes, number, last)
            if newest is None or commit.version > newest[0].version:
                newest = commit, number, last
    return newest


def end_of(chain: Chain, logs: dict[int, Log], own: int, newest: int | None) -> LogHead | None:
    """The head that the first commit of an empty log goes on from: that of the log `newest` with the newest version."""
    if newest is None or newest == own or logs[own].signed_length:
        return None
    head, entry = logs[newest].head(), chain.logs[newest]
    if entry.state == CLOSED and entry.length < head.length:  # what came after it was closed is passed over
        roots = [logs[newest].node(index) for index in flat_tree.full_roots(entry.length)]
        return LogHead(newest, entry.fork, entry.length, sum(root.size for root in roots), entry.tree_hash)
    return LogHead(newest, head.fork, head.length, head.byte_length, head.tree_hash)


def check_content(commit: Commit, logs: dict[int, Log]) -> None:
    """The content log must hold at least what the commit saw: heads are synced in that order."""
    head = commit.content
    log = logs.get(head.log)
    if log is None or log.signed_length < head.length:
        raise Corrupt(
            f"the content log has {log.signed_length if log else 0} signed blocks and version "
            f"{commit.version} rests on {head.length}",
            f"log {head.log}",
            "its heads file is damaged: restore it from a copy or a peer",
        )


def find_newest(
    nodes: Nodes,
    metadata: Mapping[int, int],
    options: Options,
    warnings: dict[str, str],
    is_elsewhere: Callable[[Iterable[BlockRef]], bool] = lambda blocks: False,
) -> Found | None:
    """The newest version; read-only and for a rescue, the newest that can be read. NotResident where it never came."""
    try:
        return newest_commit(nodes, metadata)
    except rescue.UNREADABLE as error:
        if isinstance(error, NotResident) and is_elsewhere(error.blocks):
            raise
        if not (options.read_only or options.rescue):
            raise Corrupt(f"the newest version can't be read: {error}", "", rescue.ADVICE) from error
    return rescue.newest_readable(nodes, metadata, warnings)
