"""Verify: the derived index says what the logs say, every version and every chunk of the newest tree."""

from itertools import zip_longest

from hyperfs.errors import HyperfsError
from hyperfs.store import folder
from hyperfs.volume.catalog import NOWHERE, Catalog, VersionFacts
from hyperfs.volume.check_findings import Findings
from hyperfs.volume.check_logs import LogCheck
from hyperfs.volume.check_state import CheckState, StateDamaged
from hyperfs.volume.check_trees import TreeCheck
from hyperfs.volume.commit_record import Commit
from hyperfs.volume.parts import Parts
from hyperfs.volume.versions import read_commit

ADVICE = "it is derived: `hyperfs verify --repair` makes it anew, and so does a mount once the folder is deleted"


def check_index(
    parts: Parts,
    newest: Commit,
    logs: LogCheck,
    trees: TreeCheck,
    state: CheckState,
    counted: bool,
    findings: Findings,
) -> None:
    """Only while nothing commits. `counted`: the state knows the extents of the newest version."""
    try:
        wrong = _versions_problem(parts, newest, logs, trees, state)
        if wrong is None and counted:
            wrong = _chunks_problem(parts.catalog, logs, state)
    except StateDamaged:
        raise
    except HyperfsError as error:
        wrong = str(error)
    if wrong and parts.committer.newest.version == newest.version:
        findings.add(f"the index does not agree with the logs: {wrong}; {ADVICE}", folder.INDEX)
    elif parts.read_only and "index" in parts.warnings:
        findings.add(f"{parts.warnings['index']}; {ADVICE}", folder.INDEX)


def _versions_problem(
    parts: Parts, newest: Commit, logs: LogCheck, trees: TreeCheck, state: CheckState
) -> str | None:
    catalog = parts.catalog
    known = (
        facts
        for facts in catalog.versions()
        if facts.version <= newest.version
        and trees.is_kept(facts.version)
        and (facts.log, facts.index) not in logs.bad
    )
    there = (found for found in state.commits() if found[0] <= newest.version and trees.is_kept(found[0]))
    for facts, found in zip_longest(known, there):
        if found is None or (facts is not None and facts.version < found[0]):
            assert facts is not None
            return f"version {facts.version} is not in the logs"
        version, log, index = found
        if facts is None or facts.version > version:
            return f"version {version} is missing"
        commit = read_commit(parts.nodes, log, index)
        if facts != VersionFacts(
            version, log, index, commit.time_ns, commit.display_second, commit.content.length
        ):
            return f"version {version} is not as it says"
        if facts.second and catalog.at_second(facts.second) != version:
            return f"version {version} can't be found by its second"
        if catalog.at_time(facts.time_ns) != version:
            return f"version {version} can't be found by its time"
    return None


def _chunks_problem(catalog: Catalog, logs: LogCheck, state: CheckState) -> str | None:
    for chunk, count in state.extents_counted():
        found = catalog.chunk(chunk)
        if found is None or found.live != count:
            return f"chunk {chunk.hex()} has {count} extents, it says {found.live if found else 'nothing'}"
        log, block = found.place.log, found.place.block
        if any((at.log, at.block) in logs.elsewhere for at in (found.place, *found.place.bases)):
            continue
        if found.place != NOWHERE and state.held(chunk, log, block) is None and (log, block) not in logs.bad:
            return f"chunk {chunk.hex()} is not where it says"
    return None
