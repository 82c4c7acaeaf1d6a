"""Who may write to a drive: one device at a time, until several can be merged.

Two devices that both make versions would each make a next one after the same last, and what one of them wrote would be
out of sight. So a device writes where nobody else may have gone on from what it has seen:

- its own logs are open and it is not revoked: the root closes the logs of a device that is given up for lost, at the
  last head that was seen of them, and what that device writes afterwards nobody takes;
- the newest version is its own; or no log but a closed one holds it, and it has none of its own yet.

Pure. The reasons are sentences for people.
"""

from hyperfs.log import control_codec
from hyperfs.log.control import Chain
from hyperfs.log.control_codec import LogEntry


def why_barred(chain: Chain, device: int) -> str | None:
    """Why a device may not write whatever lies in its logs; None where it may."""
    if chain.devices[device].state == control_codec.REVOKED:
        return (
            "this device was declared lost and its place was taken by another: what it wrote since is here and nowhere "
            "else. Copy out what is new, then clone the drive into a new folder"
        )
    if not any(log.device == device and log.state == control_codec.OPEN for log in chain.logs.values()):
        return "the logs of this device were closed: clone the drive into a new folder to write to it again"
    return None


def why_not_now(chain: Chain, device: int, newest_log: int | None, has_versions: bool) -> str | None:
    """Why a device that is not barred may not write. `newest_log` has the newest version, None where there is none;
    `has_versions`: whether its own log has any."""
    if newest_log is None:
        return None
    entry = chain.logs[newest_log]
    if entry.device == device or (entry.state == control_codec.CLOSED and not has_versions):
        return None
    name = name_of(chain, entry)
    if has_versions:
        return (
            f"{name} has written to this drive as well: until two devices can be merged, nothing more is written here. "
            f"Copy out what is new here; {name} goes on"
        )
    return (
        f"{name} writes to this drive, and until two devices can be merged only one may. If {name} is lost, clone the "
        "drive anew with --former-device-lost"
    )


def name_of(chain: Chain, entry: LogEntry) -> str:
    """Of the device that writes a log."""
    device = chain.devices[entry.device]
    return f"device {device.name.decode(errors='replace')!r}" if device.name else f"device {device.number}"


def readable_length(entry: LogEntry, device: int, signed_length: int) -> int:
    """How much of a log counts: of another's closed one no more than it was closed at. Later blocks are passed over."""
    if entry.state == control_codec.CLOSED and entry.device != device:
        return min(entry.length, signed_length)
    return signed_length
