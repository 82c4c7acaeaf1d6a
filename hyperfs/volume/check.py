"""Verify: everything in the store is read and compared with what it must be. Changes nothing, ever.

    files        format file, key file, control chain
    logs         heads, Merkle tree, every block's seal and chunk ids
    versions     every commit, every trie node and its id, every extent's chunk
    newest       names, links, totals and policies agree; what commits let go of is nothing that it reaches
    journal      what was fsynced since is there, and the blocks that it names
    index        says what the logs say

It never stops at the first damage. What no file names any more is checked too: an old version may need it.
"""

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from hyperfs.crypto import wrap
from hyperfs.errors import Corrupt, FormatTooNew, HyperfsError, KeyMissing
from hyperfs.log.control import Chain
from hyperfs.log.merkle import leaf_hash
from hyperfs.store import folder
from hyperfs.store.journal_records import FOLDER as JOURNAL
from hyperfs.store.journal_records import select_replay
from hyperfs.store.memory import MemoryIndex
from hyperfs.volume import journal_items
from hyperfs.volume.check_commits import CommitCheck
from hyperfs.volume.check_deaths import check_deaths
from hyperfs.volume.check_findings import Damage, Findings, Losses
from hyperfs.volume.check_index import check_index
from hyperfs.volume.check_logs import LogCheck, Progress, place_of
from hyperfs.volume.check_names import check_names
from hyperfs.volume.check_state import CheckState, Session, StateDamaged
from hyperfs.volume.check_trees import TreeCheck
from hyperfs.volume.journal_items import BlocksItem
from hyperfs.volume.parts import Parts
from hyperfs.volume.policy_facts import Wrong
from hyperfs.volume.repair_journal import LOST

__all__ = ["Damage", "Report", "verify"]

_ATTEMPTS: Final = 3
"""A live drive writes its journal while it is read; what then looks like damage is looked at again."""


@dataclass
class Report:
    """`checked`: how many blocks, nodes, files (of the newest version) and bytes (of blocks) were looked at;
    `elsewhere`: blocks that could not be, since they left this device.

    `sessions`: when; more than one where an interrupted run was gone on with. `losses`: for a repair.
    """

    checked: dict[str, int] = field(default_factory=dict)
    damage: list[Damage] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    losses: Losses = field(default_factory=Losses)


def no_progress(what: str, done: int, of: int) -> None:
    """Nobody watches."""


def verify(parts: Parts, progress: Progress = no_progress, state: CheckState | None = None) -> Report:
    """Checks a drive that is open, read-only or live. To be run in a worker thread; may take hours.

    Of a live drive it covers what is committed and fsynced when it begins, and what comes while it runs may be
    covered or not: commit before. `progress` is called in this thread, and what it raises ends the run; with the same
    `state` another one then goes on. Raises OSError when the disk can't be read at all.
    """
    own = state or CheckState(MemoryIndex())
    try:
        return _verify(parts, progress, own)
    except BaseException:
        # Whatever interrupts it: what has been done need not be done again.
        with suppress(OSError, StateDamaged):
            own.flush()
        raise


def _verify(parts: Parts, progress: Progress, own: CheckState) -> Report:
    newest = parts.committer.newest
    findings = Findings()
    _check_files(parts, findings)
    logs = LogCheck(parts, own, findings, progress)
    logs.run()
    trees = TreeCheck(parts, own, logs, findings, newest.root, progress)
    commits = CommitCheck(parts, own, logs, trees, findings, progress)
    commits.run()
    policies: Wrong = {}
    named = newest.version > 0 and not findings.touch(newest.version)
    if named:
        try:
            policies = check_names(trees.load, newest, findings, own, parts.chunkstore.read_chunk, progress)
            check_deaths(parts, newest, own.commits(), findings, progress)
        except StateDamaged:
            raise
        except HyperfsError as error:
            findings.add(f"the newest version's tree can't be read: {error}", f"version {newest.version}")
    _check_journal(parts, findings)
    _check_left_over(parts, findings)
    check_index(parts, newest, logs, trees, own, named, findings)
    for what, warning in parts.warnings.items():
        if what not in ("commit", "index", "damage", "newest", "journal", "totals"):  # their causes are listed by now
            findings.add(warning, f"noticed when the drive was opened: {what}")
    own.flush()
    return Report(
        {
            "blocks": logs.blocks,
            "nodes": trees.nodes,
            "files": newest.files,
            "bytes": logs.bytes,
            **({"elsewhere": len(logs.elsewhere)} if logs.elsewhere else {}),
        },
        findings.report(trees.load, commits.root_of),
        own.sessions(),
        replace(trees.losses, blocks=logs.bad, policies=policies),
    )


def _check_files(parts: Parts, findings: Findings) -> None:
    """The small files beside the logs."""
    try:
        info = folder.inspect(parts.disk.root)
        if info.drive_id != parts.drive_id:
            findings.add("the format file names another drive", f"file {folder.FORMAT_FILE}")
    except (HyperfsError, FileNotFoundError) as error:
        findings.add(str(error), f"file {folder.FORMAT_FILE}")
    try:
        chain = Chain.parse(parts.disk.read_all(folder.CONTROL), parts.drive_id)
        if not chain.continues(parts.chain):
            findings.add("the control chain on disk is not the one that was opened", f"file {folder.CONTROL}")
    except (HyperfsError, FileNotFoundError) as error:
        findings.add(str(error), f"file {folder.CONTROL}")
    try:
        wrap.is_wrapped(parts.disk.read_all(folder.KEYS))
    except (Corrupt, FormatTooNew, KeyMissing, FileNotFoundError) as error:
        findings.add(str(error), f"file {folder.KEYS}")
    try:
        tag = parts.disk.read_all(folder.CACHEDIR_TAG)
    except FileNotFoundError:
        tag = b""
    if not tag.startswith(folder.CACHEDIR_TEXT.splitlines(keepends=True)[0]):
        findings.add("backup programs will not pass this folder by: the tag is damaged", f"file {folder.CACHEDIR_TAG}")


def _check_left_over(parts: Parts, findings: Findings) -> None:
    """What a repair kept: told until somebody takes it away."""
    for name in parts.disk.listdir(LOST) if parts.disk.exists(LOST) else []:
        findings.add(
            "changes that were fsynced are lost; what a repair found of them is kept here: delete it when you are done",
            f"{LOST}/{name}",
        )


def _check_journal(parts: Parts, findings: Findings) -> None:
    if "newest" in parts.warnings:
        return  # which records are folded in is written in the commit that can't be read
    problem: str | None = parts.journal.missing(parts.journal.records())
    if problem:
        findings.add(f"{problem}, and what was fsynced may have gone with it", JOURNAL)
        return
    for _ in range(_ATTEMPTS):
        newest = parts.committer.newest
        folded = newest.journal_sequence if newest.device == parts.device else 0
        try:
            payloads = select_replay(parts.journal.records(), folded)
            items = [item for payload in payloads for item in journal_items.decode(payload)]
        except (HyperfsError, OSError) as error:
            problem = str(error)
            continue
        for item in items:
            if isinstance(item, BlocksItem):
                _check_named_blocks(parts, item, findings)
        return
    findings.add(problem or "", JOURNAL)


def _check_named_blocks(parts: Parts, item: BlocksItem, findings: Findings) -> None:
    """Blocks that only the journal vouches for."""
    log = parts.logs.get(item.log)
    for index, expected in enumerate(item.leaf_hashes, item.first):
        if log is not None and index < log.signed_length:
            continue  # checked with its log
        try:
            whole = log is not None and leaf_hash(log.get(index)) == expected
        except (HyperfsError, IndexError):
            whole = False
        if not whole:
            findings.add("the journal names this block, and its bytes are not on the disk", place_of(item.log, index))
