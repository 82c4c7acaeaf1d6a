"""What can be said of a cloud peer at a moment: for its log, its metrics and its health. Pure values.

Nothing here tells more than the peer's owner can see in its folder: no key of a log, of which a discovery key is a
public name, and nothing of what is in a block.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

SHOWN: Final = 16
"""Hex digits of an id or key: enough to tell one from another."""

DAY_NS: Final = 86_400 * 10**9


class LogFacts(NamedTuple):
    """A place of which something was opened since the peer was started."""

    number: int
    fork: int
    length: int
    byte_length: int
    is_current: bool


class DriveFacts(NamedTuple):
    drive: bytes
    records: int
    """Of its control chain; 0: it has not come yet."""
    devices: int
    logs: tuple[LogFacts, ...]
    used_bytes: int
    quota_bytes: int | None
    clears_waiting: int
    clears_taken_back: int
    forks_held: int
    evidence: tuple[str, ...]
    """What there is against its keys, in words, oldest first."""
    damaged: int
    """Blocks found damaged since the peer was started."""

    @property
    def name(self) -> str:
        return self.drive.hex()[:SHOWN]


class PeerFacts(NamedTuple):
    drives: tuple[DriveFacts, ...]
    broken: Mapping[bytes, str]
    free_bytes: int
    floor_bytes: int


class Traffic(NamedTuple):
    """Of the process that serves: connections now, and bytes since it was started."""

    connections: int
    half_open: int
    received_bytes: int
    sent_bytes: int


class Event(NamedTuple):
    """`level` is info, warning or error; `what` a few fixed words; the rest is in `about`."""

    level: str
    what: str
    drive: str
    about: Mapping[str, int | str]

    def line(self, now_ns: int) -> str:
        """One JSON object, without a line end. Times are seconds since 1970."""
        fields = {"time": now_ns / 10**9, "level": self.level, "event": self.what, "drive": self.drive, **self.about}
        return json.dumps(fields, separators=(",", ":"))


class Health(NamedTuple):
    """`is_serving`: it takes and gives. `problems` are for its owner to look at, whether it serves or not."""

    is_serving: bool
    problems: tuple[str, ...]


def health(facts: PeerFacts) -> Health:
    problems = [f"drive {drive.hex()[:SHOWN]} can't be served: {why}" for drive, why in sorted(facts.broken.items())]
    is_full = facts.free_bytes <= facts.floor_bytes
    if is_full:
        problems.append(f"the disk is full: {facts.free_bytes} bytes left, {facts.floor_bytes} are kept free")
    for drive in facts.drives:
        problems += [f"drive {drive.name}: {found}" for found in drive.evidence]
        if drive.damaged:
            problems.append(f"drive {drive.name}: {drive.damaged} damaged blocks were found: the disk may be failing")
        if drive.quota_bytes is not None and drive.used_bytes >= drive.quota_bytes:
            problems.append(f"drive {drive.name}: its quota of {drive.quota_bytes} bytes is used up")
    return Health(not is_full and not facts.broken, tuple(problems))


def events(before: PeerFacts, after: PeerFacts) -> Iterator[Event]:
    """What has happened between two looks, for the log."""
    known = {drive.drive: drive for drive in before.drives}
    for drive in after.drives:
        old = known.get(drive.drive)
        if old is None:
            yield Event("info", "drive admitted", drive.name, {"quota": _quota(drive)})
            old = drive._replace(records=0, evidence=(), damaged=0, clears_taken_back=0)
        yield from _drive_events(old, drive)
    for broken, why in sorted(after.broken.items()):
        if broken not in before.broken:
            yield Event("error", "drive can't be served", broken.hex()[:SHOWN], {"why": why})
    was_full, is_full = (facts.free_bytes <= facts.floor_bytes for facts in (before, after))
    if is_full != was_full:
        what = "disk full" if is_full else "disk has room again"
        yield Event("error" if is_full else "info", what, "", {"free": after.free_bytes})


def _drive_events(old: DriveFacts, new: DriveFacts) -> Iterator[Event]:
    if new.records > old.records:
        yield Event("info", "control chain", new.name, {"records": new.records, "devices": new.devices})
    if new.quota_bytes != old.quota_bytes:
        yield Event("info", "quota", new.name, {"quota": _quota(new)})
    lengths = {(log.number, log.fork): log.length for log in old.logs}
    for log in new.logs:
        if log.length > lengths.get((log.number, log.fork), 0):
            yield Event("info", "log grew", new.name, {"log": log.number, "fork": log.fork, "length": log.length})
    if new.clears_waiting != old.clears_waiting:
        yield Event("info", "clears waiting", new.name, {"count": new.clears_waiting})
    if new.clears_taken_back > old.clears_taken_back:
        yield Event("warning", "clears taken back", new.name, {"count": new.clears_taken_back})
    if new.forks_held != old.forks_held:
        yield Event("warning", "forks held", new.name, {"count": new.forks_held})
    for found in new.evidence[len(old.evidence) :]:
        yield Event("error", "evidence", new.name, {"what": found})
    if new.damaged > old.damaged:
        yield Event("error", "damaged blocks", new.name, {"count": new.damaged})


def _quota(drive: DriveFacts) -> int | str:
    return "none" if drive.quota_bytes is None else drive.quota_bytes
