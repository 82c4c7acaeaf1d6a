"""What a cloud peer says of itself: health, the lines of its log, metrics; all from values."""

import json
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from hyperfs.peer.drive import HeldDrive
from hyperfs.peer.facts import DriveFacts, Health, LogFacts, PeerFacts, events, health
from hyperfs.peer.looking import look
from hyperfs.peer.metrics import render
from hyperfs.peer.peer import Peer

from .conftest import CONTENT, METADATA, NOW, Owner, upload

DRIVE = DriveFacts(b"\xab" * 32, 3, 1, (LogFacts(1, 0, 20, 4000, True),), 5000, None, 0, 0, 0, (), 0)
FINE = PeerFacts((DRIVE,), {}, 1 << 40, 1 << 26)


def samples(facts: PeerFacts) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(render(facts).decode())
    return {(s.name, *dict(sorted(s.labels.items())).values()): s.value for family in families for s in family.samples}


def changed(**fields: object) -> PeerFacts:
    return FINE._replace(drives=(DRIVE._replace(**fields),))  # type: ignore[arg-type]


def told(before: PeerFacts, after: PeerFacts) -> Iterator[dict[str, object]]:
    return (json.loads(event.line(NOW)) for event in events(before, after))


def test_all_is_well() -> None:
    assert health(FINE) == Health(True, ())
    assert list(events(FINE, FINE)) == []


@pytest.mark.parametrize(
    ("facts", "is_serving", "says"),
    [
        (FINE._replace(free_bytes=1 << 26), False, "the disk is full"),
        (FINE._replace(broken={b"\xcd" * 32: "its chain is damaged"}), False, "its chain is damaged"),
        (changed(evidence=("two control chains part at record 3",)), True, "part at record 3"),
        (changed(damaged=2), True, "2 damaged blocks"),
        (changed(quota_bytes=5000), True, "quota of 5000 bytes is used up"),
    ],
)
def test_what_is_wrong_is_named(facts: PeerFacts, is_serving: bool, says: str) -> None:
    found = health(facts)
    assert found.is_serving == is_serving
    assert len(found.problems) == 1
    assert says in found.problems[0]
    levels = {line["level"] for line in told(FINE, facts)}
    assert levels == {"error"} or says.startswith("quota")


def test_the_lines_say_what_has_happened_between_two_looks() -> None:
    grown = changed(records=4, logs=(LogFacts(1, 0, 25, 5000, True),), clears_waiting=1)
    assert [line["event"] for line in told(FINE, grown)] == ["control chain", "log grew", "clears waiting"]
    (line,) = told(FINE, changed(clears_taken_back=1))
    assert line == {
        "time": NOW / 10**9,
        "level": "warning",
        "event": "clears taken back",
        "drive": "abababababababab",
        "count": 1,
    }
    assert next(told(PeerFacts((), {}, 1 << 40, 0), FINE))["event"] == "drive admitted"
    assert "\n" not in next(events(FINE, changed(damaged=1))).line(NOW)


def test_metrics_are_the_facts() -> None:
    found = samples(changed(quota_bytes=9000, evidence=("a",), damaged=7))
    name = "abababababababab"
    assert found["hyperfs_peer_serving",] == 1
    assert found["hyperfs_peer_problems",] == 2
    assert found["hyperfs_peer_drive_used_bytes", name] == 5000
    assert found["hyperfs_peer_drive_quota_bytes", name] == 9000
    assert found["hyperfs_peer_drive_damaged_blocks", name] == 7
    assert found["hyperfs_peer_log_length_blocks", name, "0", "1"] == 20
    assert ("hyperfs_peer_drive_quota_bytes", name) not in samples(FINE)
    assert render(FINE) == render(FINE)


def test_a_peer_is_looked_at(peer: Peer, drive: HeldDrive, owner: Owner) -> None:
    before = look(peer)
    upload(owner, drive, METADATA)
    upload(owner, drive, CONTENT, 1, 2)
    owner.clear(CONTENT, (1, 2))
    drive.offer_chain(owner.chain.encode())
    after = look(peer)
    (found,) = after.drives
    assert [(log.number, log.length) for log in sorted(found.logs)] == [(METADATA, 20), (CONTENT, 50)]
    assert (found.records, found.devices, found.clears_waiting) == (3, 1, 1)
    assert found.used_bytes == drive.used_bytes > before.drives[0].used_bytes
    assert health(after).is_serving
    assert {event.what for event in events(before, after)} == {"control chain", "log grew", "clears waiting"}


def test_nothing_said_tells_a_logs_key(peer: Peer, drive: HeldDrive, owner: Owner) -> None:
    upload(owner, drive, CONTENT)
    facts = look(peer)
    said = render(facts).decode() + "".join(event.line(NOW) for event in events(PeerFacts((), {}, 0, 0), facts))
    said += " ".join(health(facts).problems)
    for number in (METADATA, CONTENT):
        assert owner.logs[number].key.hex()[:16] not in said


def test_resting_closes_files_and_loses_nothing(peer: Peer, drive: HeldDrive, owner: Owner) -> None:
    upload(owner, drive, METADATA)
    lent = drive.lend(owner.discovery_key(CONTENT))
    upload(owner, drive, CONTENT, 5)
    proof = owner.logs[METADATA].head()
    peer.rest()
    assert list(lent.ranges()) == [(5, 6)]
    assert drive.lend(owner.discovery_key(METADATA)).head() == proof
