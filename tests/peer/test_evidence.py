"""Evidence holds for everybody, and only where somebody signed two things that can't both be true."""

import json
from pathlib import Path

import pytest

from hyperfs.errors import Corrupt, FormatTooNew
from hyperfs.log.control_codec import LogEntry, LogOpened
from hyperfs.log.log import Log
from hyperfs.log.proof import Request, UpgradeRequest
from hyperfs.peer.evidence import Evidence, ForkedChain, ForkedLog, Statement, UnpermittedFork, decode, encode, proves
from hyperfs.store.files import Disk

from .conftest import CONTENT, Owner, key

VECTORS = Path(__file__).parents[1] / "vectors"


def said(log: Log, length: int) -> Statement:
    upgrade = log.proof(Request(upgrade=UpgradeRequest(0, length))).upgrade
    assert upgrade is not None
    return Statement(log.fork, upgrade)


def pieces(owner: Owner, folder: Path) -> list[Evidence]:
    """One of each kind that proves something."""
    other = Log.create(Disk(folder), "other", owner.signer(CONTENT), CONTENT)
    other.append([b"%d" % number for number in range(60)])
    other.flush()
    log = owner.logs[CONTENT]
    forked = ForkedLog(owner.id, owner.signer(CONTENT).public_key, said(log, 50), said(other, 50))
    other.truncate(3)
    fork = UnpermittedFork(owner.id, owner.signer(CONTENT).public_key, said(other, 3))
    other.close()
    laptop = key("drive laptop")
    records = [
        owner.chain.make(LogOpened(LogEntry(9, 1, 2, key(name).public_key)), laptop, 1) for name in ("one", "other")
    ]
    return [forked, fork, ForkedChain(owner.id, 1, laptop.public_key, records[0], laptop.public_key, records[1])]


def test_each_kind_proves_and_comes_back(owner: Owner, tmp_path: Path) -> None:
    golden = json.loads((VECTORS / "peer.json").read_text())["evidence"]
    found = pieces(owner, tmp_path)
    for evidence in found:
        assert proves(evidence)
        assert decode(encode(evidence)) == evidence
    assert [encode(evidence).hex() for evidence in found] == golden


def test_what_does_not_contradict_proves_nothing(owner: Owner, tmp_path: Path) -> None:
    forked, fork, chain = pieces(owner, tmp_path)
    assert isinstance(forked, ForkedLog)
    assert isinstance(fork, UnpermittedFork)
    assert isinstance(chain, ForkedChain)
    thief = key("thief").public_key
    for nothing in (
        forked._replace(offered=forked.held),
        forked._replace(offered=said(owner.logs[CONTENT], 40)),
        forked._replace(public_key=thief),
        fork._replace(public_key=thief),
        fork._replace(offered=forked.held),
        chain._replace(offered=chain.held),
        chain._replace(offered_signer=thief),
        chain._replace(at=2),
    ):
        assert not proves(nothing)


def test_damage(owner: Owner, tmp_path: Path) -> None:
    data = encode(pieces(owner, tmp_path)[0])
    with pytest.raises(FormatTooNew):
        decode(data[:8] + b"\x02" + data[9:])
    for bad in (b"x" * 80, data[:-1], data + b"x", data[:12] + b"\x09" + data[13:]):
        with pytest.raises(Corrupt):
            decode(bad)
