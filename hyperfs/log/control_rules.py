"""What a record of the control chain may say after those before it, and what it changes.

Pure functions from one state of the chain to the next; Refused, with the rule, for a record that may not
follow. Only the root changes who is in (roster, succession, epochs); a device speaks for its own logs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from hyperfs.crypto.keys import LOG_CONTENT, LOG_METADATA, verify_signature
from hyperfs.errors import Refused
from hyperfs.log import control_codec as codec
from hyperfs.log.control_codec import (
    Clear,
    ClearDeed,
    ClearIntent,
    Device,
    Epoch,
    LogClosed,
    LogEntry,
    LogOpened,
    Record,
    Roster,
    Succession,
)


@dataclass(frozen=True)
class State:
    """What a chain says after its last record."""

    drive_id: bytes
    root_key: bytes
    recovery_key: bytes
    devices: Mapping[int, Device]
    logs: Mapping[int, LogEntry]
    epochs: Mapping[int, Epoch] = field(default_factory=lambda: MappingProxyType({}))
    """By number, each with all copies that any record gave for it."""
    intents: Mapping[int, Clear] = field(default_factory=lambda: MappingProxyType({}))
    """Announced clears by the sequence of their record, with the ranges that are not yet done."""


def first(roster: Roster, drive_id: bytes) -> State:
    check_roster(roster)
    return State(
        drive_id,
        roster.root_key,
        roster.recovery_key,
        MappingProxyType({device.number: device for device in roster.devices}),
        MappingProxyType({log.number: log for log in roster.logs}),
    )


def follow(state: State, record: Record) -> State:
    """The state after `record`, whose signature and place in the chain were checked."""
    match record.body:
        case Roster() as body:
            return _roster(state, record, body)
        case Succession() as body:
            return _succession(state, record, body)
        case Epoch() as body:
            return _epoch(state, record, body)
        case LogOpened() as body:
            return _log_opened(state, record, body)
        case LogClosed() as body:
            return _log_closed(state, record, body)
        case ClearIntent() as body:
            return _intent(state, record, body)
        case ClearDeed() as body:
            return _deed(state, record, body)


def is_signed(state: State, record: Record) -> bool:
    """Whether the record is signed by whom it names, and that is one who may sign at all."""
    if record.signer == codec.ROOT:
        return record.signed_by(state.root_key)
    device = state.devices.get(record.signer)
    return device is not None and device.state == codec.ACTIVE and record.signed_by(device.signing_key)


def need(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Refused(f"control chain: {otherwise}")


def _need_root(record: Record) -> None:
    need(record.signer == codec.ROOT, "only the root may sign this record")


def _need_owner(record: Record, log: LogEntry) -> None:
    """A device speaks for its own logs only."""
    need(record.signer in (codec.ROOT, log.device), f"device {record.signer} speaks for log {log.number}")


def _check_device(device: Device) -> None:
    need(device.number > 0, "device number 0 is the root's")
    need(device.state in (codec.ACTIVE, codec.REVOKED), f"device {device.number} in state {device.state}")


def _check_log(log: LogEntry, devices: Mapping[int, Device]) -> None:
    need(log.number > 0, "log number 0")
    need(log.device in devices, f"log {log.number} of unknown device {log.device}")
    need(log.kind in (LOG_METADATA, LOG_CONTENT), f"log {log.number} of kind {log.kind}")
    need(log.state in (codec.OPEN, codec.CLOSED), f"log {log.number} in state {log.state}")
    at_head = (log.fork, log.length, log.tree_hash) != (0, 0, bytes(32))
    need(log.state == codec.CLOSED or not at_head, f"open log {log.number} has a last head")


def check_roster(roster: Roster) -> None:
    for numbers, what in (
        ([device.number for device in roster.devices], "devices"),
        ([log.number for log in roster.logs], "logs"),
    ):
        need(numbers == sorted(set(numbers)), f"{what} of a roster are not in order of their numbers")
    devices = {device.number: device for device in roster.devices}
    for device in roster.devices:
        _check_device(device)
    for log in roster.logs:
        _check_log(log, devices)
    _check_keys(roster.devices, roster.logs)


def _check_keys(devices: Iterable[Device], logs: Iterable[LogEntry]) -> None:
    signing = [device.signing_key for device in devices]
    keys = [log.public_key for log in logs]
    need(len(set(signing)) == len(signing), "two devices of one key")
    need(len(set(keys)) == len(keys), "two logs of one key")


def _roster(state: State, record: Record, roster: Roster) -> State:
    """A roster adds, revokes and closes; it drops nothing and changes nothing else."""
    _need_root(record)
    need(roster.root_key == state.root_key, "a roster names another root key: that takes a succession")
    need(roster.recovery_key == state.recovery_key, "a roster names another recovery key")
    check_roster(roster)
    devices = {device.number: device for device in roster.devices}
    logs = {log.number: log for log in roster.logs}
    for number, old in state.devices.items():
        need(number in devices, f"a roster drops device {number}")
        new = devices[number]
        need(new._replace(name=old.name, state=old.state) == old, f"a roster changes device {number}")
        need(new.state >= old.state, f"a roster brings device {number} back")
    for number, log in state.logs.items():
        need(number in logs, f"a roster drops log {number}")
        _check_log_step(log, logs[number])
    return replace(state, devices=MappingProxyType(devices), logs=MappingProxyType(logs))


def _check_log_step(old: LogEntry, new: LogEntry) -> None:
    reopened = new._replace(state=codec.OPEN, fork=0, length=0, tree_hash=bytes(32))
    need(new == old or (old.state == codec.OPEN and reopened == old), f"log {old.number} is changed")


def _succession(state: State, record: Record, body: Succession) -> State:
    """The old root names the new one, which has signed too. Copies for the new recovery key must follow."""
    _need_root(record)
    message = codec.succession_message(state.drive_id, body.root_key, body.recovery_key)
    need(verify_signature(body.root_key, message, body.consent), "a new root key that did not consent")
    return replace(state, root_key=body.root_key, recovery_key=body.recovery_key)


def _epoch(state: State, record: Record, epoch: Epoch) -> State:
    """The next epoch, sealed to all who are in; or further copies of one that is known."""
    _need_root(record)
    ciphers = epoch.ciphers
    need(bool(ciphers) and list(ciphers) == sorted(set(ciphers)), "an epoch's ciphers are not in order")
    active = {device.box_key for device in state.devices.values() if device.state == codec.ACTIVE}
    entitled = active | {state.recovery_key}
    recipients = [copy.recipient for copy in epoch.copies]
    need(len(set(recipients)) == len(recipients), "an epoch has two copies for one key")
    need(
        bool(recipients) and set(recipients) <= entitled,
        "an epoch is sealed to a key that is not in the roster",
    )
    known = state.epochs.get(epoch.number)
    if known is None:
        need(epoch.number == max(state.epochs, default=0) + 1, f"epoch {epoch.number} is not the next")
        need(set(recipients) == entitled, "an epoch must be sealed to every device and the recovery key")
    else:
        need(epoch[1:3] == known[1:3], f"epoch {epoch.number} is changed")
        older = tuple(copy for copy in known.copies if copy.recipient not in recipients)
        epoch = epoch._replace(copies=older + epoch.copies)
    return replace(state, epochs=MappingProxyType({**state.epochs, epoch.number: epoch}))


def _log_opened(state: State, record: Record, body: LogOpened) -> State:
    log = body.log
    _need_owner(record, log)
    need(log.number not in state.logs, f"log number {log.number} was used before")
    _check_log(log, state.devices)
    need(log.state == codec.OPEN, "a log is opened closed")
    need(state.devices[log.device].state == codec.ACTIVE, f"a log of revoked device {log.device}")
    logs = {**state.logs, log.number: log}
    _check_keys((), logs.values())
    return replace(state, logs=MappingProxyType(logs))


def _log_closed(state: State, record: Record, body: LogClosed) -> State:
    log = state.logs.get(body.number)
    if log is None or log.state != codec.OPEN:
        raise Refused(f"control chain: log {body.number} is not open")
    _need_owner(record, log)
    closed = log._replace(state=codec.CLOSED, fork=body.fork, length=body.length, tree_hash=body.tree_hash)
    return replace(state, logs=MappingProxyType({**state.logs, log.number: closed}))


def _check_clear(state: State, record: Record, clear: Clear) -> None:
    log = state.logs.get(clear.log)
    if log is None:
        raise Refused(f"control chain: a clear of unknown log {clear.log}")
    _need_owner(record, log)
    reach = -1
    for start, end in clear.ranges:
        need(reach < start < end <= clear.length, f"a clear of [{start}, {end}) of {clear.length} blocks")
        reach = end


def _intent(state: State, record: Record, body: ClearIntent) -> State:
    _check_clear(state, record, body.clear)
    need(bool(body.clear.ranges), "a clear of nothing")
    return replace(state, intents=MappingProxyType({**state.intents, record.sequence: body.clear}))


def _deed(state: State, record: Record, body: ClearDeed) -> State:
    """A deed does the named part of its intent or all that is left: never more, never twice, never at an older head."""
    _check_clear(state, record, body.clear)
    intent = state.intents.get(body.intent)
    if intent is None:
        raise Refused(f"control chain: a clear without an open intent {body.intent}")
    same = (intent.log, intent.fork) == (body.clear.log, body.clear.fork)
    need(same and intent.length <= body.clear.length, "a clear at another head than on top of its intent's")
    left = subtract(intent.ranges, body.clear.ranges) if body.clear.ranges else ()
    intents = {**state.intents, body.intent: intent._replace(ranges=left)}
    if not left:
        del intents[body.intent]
    return replace(state, intents=MappingProxyType(intents))


def subtract(ranges: tuple[tuple[int, int], ...], done: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """What is left of ranges; Refused where what is done was not in them."""
    left = list(ranges)
    for start, end in done:
        around = [pair for pair in left if pair[0] <= start and end <= pair[1]]
        need(len(around) == 1, f"a clear of [{start}, {end}), which its intent does not name")
        at = left.index(around[0])
        low, high = around[0]
        left[at : at + 1] = [pair for pair in ((low, start), (end, high)) if pair[0] < pair[1]]
    return tuple(left)
