"""Who may write to a drive: one device at a time, until several can be merged.

Two devices that both make versions would each make a next one after the same last, and what one of them wrote would be
out of sight. So the control chain has one writer: first the drive's first device; then whoever the root enrols in the
record that closes the writer's logs. What a device writes past the head at which its log was closed nobody takes.

(A store that an early hyperfs recovered has a second device without such a record. It has versions of its own, and its
logs show by themselves that it goes on from the first.)

Pure. The reasons are sentences for people.
"""

from collections.abc import Mapping

from hyperfs.crypto.keys import LOG_METADATA
from hyperfs.log.control import Chain
from hyperfs.log.control_codec import CLOSED, OPEN, REVOKED, LogEntry, Roster


def writer(chain: Chain) -> int | None:
    """The device that may write by the chain; None where its logs were closed and no other took its place."""
    found: int | None = None
    devices: frozenset[int] = frozenset()
    for record in chain.records:
        if not isinstance(record.body, Roster):
            continue
        listed = frozenset(device.number for device in record.body.devices)
        if not devices:
            found = min(listed, default=None)
        elif found is not None and not _has_open_log(record.body, found):
            found = min(listed - devices, default=None)
        devices = listed
    return found


def may_write(chain: Chain, lengths: Mapping[int, int]) -> list[int]:
    """The devices that may write, the writer and any that has written and was not given up. `lengths`: of the metadata
    logs."""
    found = {
        entry.device
        for entry in chain.logs.values()
        if entry.kind == LOG_METADATA and entry.state == OPEN and lengths.get(entry.number)
    }
    by_chain = writer(chain)
    return sorted(found | ({by_chain} if by_chain is not None else set()))


def open_logs_of(chain: Chain, devices: list[int]) -> list[LogEntry]:
    return [entry for entry in chain.logs.values() if entry.device in devices and entry.state == OPEN]


def why_barred(chain: Chain, device: int) -> str | None:
    """Why a device may not write whatever lies in its logs; None where it may."""
    if device not in chain.devices:
        return "it is another's drive, which a link lets you read: copy out what you want to change"
    if chain.devices[device].state == REVOKED:
        return (
            "this device was declared lost and its place was taken by another: what it wrote since is here and nowhere "
            "else. Copy out what is new, then clone the drive into a new folder"
        )
    if not open_logs_of(chain, [device]):
        return "the logs of this device were closed: clone the drive into a new folder to write to it again"
    return None


def why_not_now(chain: Chain, device: int, newest_log: int | None, has_versions: bool) -> str | None:
    """Why a device that is not barred may not write. `newest_log` has the newest version, None where there is none;
    `has_versions`: whether its own log has any."""
    newest = None if newest_log is None else chain.logs[newest_log]
    if newest is None or newest.device == device:
        return None
    if has_versions:
        name = name_of(chain, newest.device)
        return (
            f"{name} has written to this drive as well: until two devices can be merged, nothing more is written here. "
            f"Copy out what is new here; {name} goes on"
        )
    if writer(chain) == device:
        return None
    other = writer(chain)
    if other is None:
        return "no device may write to this drive: clone it anew with --former-device-lost"
    name = name_of(chain, other)
    return (
        f"{name} writes to this drive, and until two devices can be merged only one may. If {name} is lost, clone the "
        "drive anew with --former-device-lost"
    )


def name_of(chain: Chain, number: int) -> str:
    device = chain.devices[number]
    return f"device {device.name.decode(errors='replace')!r}" if device.name else f"device {number}"


def readable_length(entry: LogEntry, device: int, signed_length: int) -> int:
    """How much of a log counts: of another's closed one no more than it was closed at. Later blocks are passed over."""
    if entry.state == CLOSED and entry.device != device:
        return min(entry.length, signed_length)
    return signed_length


def _has_open_log(roster: Roster, device: int) -> bool:
    active = any(found.number == device and found.state != REVOKED for found in roster.devices)
    return active and any(log.device == device and log.state == OPEN for log in roster.logs)
