"""Verify: everything in the store is read and compared with what it must be. Changes nothing, ever.

    files        format file, key file, control chain
    logs         heads, Merkle tree, every block's seal and chunk ids
    versions     every commit, every trie node and its id, every extent's chunk
    newest       names, links and totals agree
    journal      what was fsynced since is there, and the blocks that it names
    index        says what the logs say

It never stops at the first damage. What no file names any more is checked too: an old version may need it.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from hyperfs.chunks.extents import Place
from hyperfs.crypto import wrap
from hyperfs.errors import Corrupt, FormatTooNew, HyperfsError, KeyMissing
from hyperfs.log.control import Chain
from hyperfs.log.merkle import leaf_hash
from hyperfs.store import folder
from hyperfs.store.journal_records import FOLDER as JOURNAL
from hyperfs.store.journal_records import select_replay
from hyperfs.volume import journal_items
from hyperfs.volume.catalog import VersionFacts
from hyperfs.volume.check_findings import Damage, Findings
from hyperfs.volume.check_logs import LogCheck, Progress, place_of
from hyperfs.volume.check_names import check_names
from hyperfs.volume.check_trees import TreeCheck
from hyperfs.volume.commit_record import Commit
from hyperfs.volume.gone import GoneVersions, marked_in
from hyperfs.volume.journal_items import BlocksItem
from hyperfs.volume.parts import Parts

__all__ = ["Damage", "Report", "verify"]

_ATTEMPTS: Final = 3
"""A live drive writes its journal while it is read; what then looks like damage is looked at again."""


@dataclass
class Report:
    """`checked`: how many blocks, nodes, files (of the newest version) and bytes (of blocks) were looked at."""

    checked: dict[str, int] = field(default_factory=dict)
    damage: list[Damage] = field(default_factory=list)


def no_progress(what: str, done: int, of: int) -> None:
    """Nobody watches."""


def verify(parts: Parts, progress: Progress = no_progress) -> Report:
    """Checks a drive that is open, read-only or live. To be run in a worker thread; may take hours.

    Of a live drive it covers what is committed and fsynced when it begins, and what comes while it runs may be
    covered or not: commit before. `progress` is called in this thread, and what it raises ends the run.
    Raises OSError when the disk can't be read at all.
    """
    newest = parts.committer.newest
    findings = Findings()
    _check_files(parts, findings)
    logs = LogCheck(parts, findings, progress)
    logs.run()
    gone = _gone(parts, newest)
    logs.leave_out(gone)
    trees = TreeCheck(parts, logs, gone, findings, progress)
    trees.run()
    live: Counter[bytes] | None = None
    if newest.version and not any(newest.version in damage.versions for damage in findings.report(trees.load, {})):
        progress("checking names", 0, 1)
        try:
            live = check_names(trees.load, newest, findings)
        except HyperfsError as error:
            findings.add(f"the newest version's tree can't be read: {error}", f"version {newest.version}")
    _check_journal(parts, findings)
    _check_index(parts, newest, logs, live, findings)
    for what, warning in parts.warnings.items():
        if what not in ("commit", "index", "damage", "newest", "journal", "totals"):  # their causes are listed by now
            findings.add(warning, f"noticed when the drive was opened: {what}")
    return Report(
        {"blocks": logs.blocks, "nodes": trees.nodes, "files": newest.files, "bytes": logs.bytes},
        findings.report(trees.load, trees.roots),
    )


def _gone(parts: Parts, newest: Commit) -> GoneVersions:
    """What the newest version says was let go: nothing, where that can't be read, which is found with its tree."""
    try:
        return marked_in(parts.nodes.load, newest.root)
    except HyperfsError:
        return GoneVersions({})


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


def _check_index(parts: Parts, newest: Commit, logs: LogCheck, live: Counter[bytes] | None, findings: Findings) -> None:
    """Every version and chunk of the newest tree is in the index as the logs have it. Only while nothing commits."""
    advice = "it is derived: delete the folder while the drive is not mounted and it is rebuilt"
    try:
        wrong = _index_problem(parts, newest, logs, live)
    except HyperfsError as error:
        wrong = str(error)
    if wrong and parts.committer.newest.version == newest.version:
        findings.add(f"the index does not agree with the logs: {wrong}; {advice}", folder.INDEX)


def _index_problem(parts: Parts, newest: Commit, logs: LogCheck, live: Counter[bytes] | None) -> str | None:
    catalog = parts.catalog
    expected = {}
    for log, index, commit in logs.commits:
        if commit.version <= newest.version:
            expected[commit.version] = VersionFacts(
                commit.version, log, index, commit.time_ns, commit.display_second, commit.content.length
            )
    for facts in catalog.versions():
        if facts.version <= newest.version and expected.pop(facts.version, facts) != facts:
            return f"version {facts.version} is not as it says"
        if facts.second and catalog.at_second(facts.second) != facts.version:
            return f"version {facts.version} can't be found by its second"
        if catalog.at_time(facts.time_ns) != facts.version:
            return f"version {facts.version} can't be found by its time"
    if expected:
        return f"version {min(expected)} is missing"
    for chunk, count in (live or {}).items():
        found = catalog.chunk(chunk)
        if found is None or found.live != count:
            return f"chunk {chunk.hex()} has {count} extents, it says {found.live if found else 'nothing'}"
        if not _is_held(logs, chunk, found.place):
            return f"chunk {chunk.hex()} is not where it says"
    return None


def _is_held(logs: LogCheck, chunk: bytes, place: Place) -> bool:
    return (chunk, place.log, place.block) in logs.held or place_of(place.log, place.block) in logs.bad
