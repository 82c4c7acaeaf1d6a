"""Requests about policies: which holds for a path, and where it comes from."""

from typing import Any

from hyperfs.daemon import params as given
from hyperfs.daemon.drive import Drive
from hyperfs.daemon.wire import Message, Tell
from hyperfs.errors import BadRequest, NoAttribute
from hyperfs.policy import attributes
from hyperfs.policy.settings import LOCAL_BUDGET, SETTINGS
from hyperfs.volume import allowed, keys
from hyperfs.volume.policy_words import holding

SETTING_WORDS = {
    "history-share": "the most of the disk that old versions and deleted things take",
    "local_budget": "the most that this device holds; past it leaves what was used least lately",
    "history-leave": "so much of the disk, or 5% of it where that is less, is never taken by them",
}


async def policy(drive: Drive, params: Message, tell: Tell) -> Message:
    """The policies that hold for a path."""
    path = given.path(params)
    return {"path": params["path"], "policies": {**_told(drive, drive.live_ino(path)), **_settings(drive)}}


async def set_policy(drive: Drive, params: Message, tell: Tell) -> Message:
    """Sets a policy on a path; without `value` takes it away. Raises InvalidArgument, NoAttribute."""
    if given.text(params, "name") in SETTINGS:
        await _set_for_drive(drive, given.text(params, "name"), params)
        return await policy(drive, params, tell)
    path, name = given.path(params), attributes.PREFIX + given.path(params, "name")
    if name not in attributes.VALUES:
        raise BadRequest(f"there is no policy {params['name']!r}: {', '.join(policy_names())}")
    value = given.path(params, "value") if params.get("value") is not None else None
    volume = drive.volume
    volume.check_writable()
    inode = volume.overlay.inode(drive.live_ino(path))
    if value is None and volume.xattrs.get(inode, name) is None:
        raise NoAttribute(f"{params['path']!r} has no {params['name']} of its own")
    await volume.room_for_change()
    volume.xattrs.set(inode, name, value)
    volume.settled()
    await volume.fsync(None)
    return await policy(drive, params, tell)


async def _set_for_drive(drive: Drive, name: str, params: Message) -> None:
    value = given.text(params, "value") if params.get("value") is not None else None
    if value is not None:
        SETTINGS[name](value)
    drive.volume.check_writable()
    drive.volume.overlay.set_fact(_key(drive, name), None if value is None else value.encode())
    drive.volume.settled()
    await drive.volume.fsync(None)


def _settings(drive: Drive) -> dict[str, Any]:
    """Those of the drive that were set."""
    found = {}
    for name in SETTINGS:
        value = drive.volume.overlay.live.fact(_key(drive, name))
        if value is not None:
            text = value.decode(errors="replace")
            found[name] = {"value": text, "words": SETTING_WORDS[name], "from": "", "own": False}
    return found


def _key(drive: Drive, name: str) -> bytes:
    return keys.budget_key(drive.volume.device) if name == LOCAL_BUDGET else keys.setting_key(name.encode())


async def allow_program(drive: Drive, params: Message, tell: Tell) -> Message:
    """Lets a program bring back what it reads, or no more. Raises InvalidArgument, NoAttribute."""
    await allowed.allow(drive.volume, given.text(params, "program"), bool(params.get("allow", True)))
    return {"allowed": sorted(drive.volume.scans.allowed)}


async def all_here(drive: Drive, params: Message, tell: Tell) -> Message:
    """Answers when what is to be on this device is. Raises Unreachable."""
    if drive.mover is not None:
        await drive.mover.all_here(lambda done, of: tell("bringing back", done, of))
    return {"to_return_bytes": drive.volume.standing.to_return_bytes}


def policy_names() -> list[str]:
    return [name.removeprefix(attributes.PREFIX).decode() for name in attributes.VALUES]


def _told(drive: Drive, ino: int) -> dict[str, Any]:
    """`from`: the path that it was set on; None for the default."""
    return {
        name: {"value": at.value, "words": at.words, "from": at.origin, "own": at.source == ino}
        for name, at in holding(drive.volume, ino).items()
    }
