"""What can be asked of a drive, on its control socket or, where it is not mounted, in the command's own process.

One function a request: the drive, its parameters, where to tell progress; the answer is for JSON. Paths are text
as `os.fsdecode` makes it, relative to the drive's root.
"""

import os
from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio

from hyperfs import __version__
from hyperfs.daemon import (
    brake_requests,
    browsing_requests,
    cold_requests,
    device_requests,
    following,
    last_verify,
    past_requests,
    peer_requests,
    policy_requests,
    share_requests,
    undo_requests,
    verifying,
    watch_requests,
)
from hyperfs.daemon import params as given
from hyperfs.daemon.drive import Drive
from hyperfs.daemon.times import iso_time
from hyperfs.daemon.wire import Message, Tell
from hyperfs.errors import BadRequest
from hyperfs.volume import prune as pruning
from hyperfs.volume import retaining
from hyperfs.volume.making_room import make_room
from hyperfs.volume.queues import queues
from hyperfs.volume.status import note_confirmed, status

STILL_THERE_SECONDS: Final = 5.0

Request = Callable[[Drive, Message, Tell], Awaitable[Message]]


async def answer(drive: Drive, name: str, params: Message, tell: Tell) -> Message:
    """Raises BadRequest for a request that there is not, and what the request raises. One that lacks something on this
    device has it brought, and begins again: it has changed nothing by then."""
    request = TABLE.get(name)
    if request is None:
        raise BadRequest(f"hyperfs {__version__} knows no request {name!r}")
    return await drive.volume.returning.complete(lambda: request(drive, params, tell), keep=False)


async def tell_status(drive: Drive, params: Message, tell: Tell) -> Message:
    facts = status(drive.volume)
    last = last_verify.recall(verifying.store_name(drive.volume.drive_id, drive.store))
    if last is not None and last["damage"]:
        facts["warnings"].append(f"the last verify, of {last['time'][:16]}, found {last['damage']} damages")
    facts["warnings"] += drive.peers.warnings()
    facts["warnings"] += drive.shared.warnings() if drive.shared is not None else []
    return facts | {
        "last_verify": last,
        "peers": await peer_requests.peer_facts(drive),
        "cold_stores": await cold_requests.cold_facts(drive.cold),
        "store": str(drive.store),
        "link": _link_facts(drive),
        "following": following.facts(drive),
        "mounted_at": str(drive.mount.directory) if drive.mount is not None else None,
        "pid": os.getpid() if drive.mount is not None else None,
        "hyperfs": __version__,
    }


def _link_facts(drive: Drive) -> dict[str, Any] | None:
    """Of a drive that is open by a link: where it is followed, or why it is not."""
    reader = drive.reader
    if reader is None:
        return None
    where = str(reader.connected_to) if reader.connected_to is not None else None
    return {"followed_at": where, "trouble": None if where else reader.trouble}


async def tell_queues(drive: Drive, params: Message, tell: Tell) -> Message:
    """What the process holds in memory, and how much of it there may ever be."""
    mounted = drive.mount.queues() if drive.mount is not None else []
    return {"queues": [queue._asdict() for queue in [*queues(drive.volume), *mounted]]}


async def commit(drive: Drive, params: Message, tell: Tell) -> Message:
    """Everything written up to now, by whatever program, is a version and on the disk."""
    volume = drive.volume
    if volume.read_only:
        return {"version": volume.versions.newest.version}
    if volume.journaling.read_only_because is not None:  # it takes no more; what it took before is saved all the same
        return {"version": (await volume.committer.commit()).version}
    return {"version": (await volume.commit()).version}


async def end(drive: Drive, params: Message, tell: Tell) -> Message:
    """Answers when the drive has been unmounted and closed. Tells now and then, to learn if anybody still waits."""
    while not drive.ended.is_set():
        with trio.move_on_after(STILL_THERE_SECONDS):
            await drive.ended.wait()
            break
        await tell("unmounting", 0, 0)
    if drive.failure is not None:
        raise drive.failure
    return {"version": drive.volume.versions.newest.version}


async def snapshot(drive: Drive, params: Message, tell: Tell) -> Message:
    path, name = given.path(params), given.path(params, "name")
    made = await drive.volume.make_snapshot(drive.live_ino(path), name)
    return {"name": params["name"], "version": made.version, "time": iso_time(made.made_ns)}


async def delete_snapshot(drive: Drive, params: Message, tell: Tell) -> Message:
    path, name = given.path(params), given.path(params, "name")
    await drive.volume.delete_snapshot(drive.live_ino(path), name)
    return {"name": params["name"]}


async def confirm(drive: Drive, params: Message, tell: Tell) -> Message:
    """The recovery key was given back; whoever asks has checked it against the control chain."""
    await note_confirmed(drive.volume)
    return {"drive": drive.volume.drive_id.hex()}


async def prune(drive: Drive, params: Message, tell: Tell) -> Message:
    """Lets old versions go, by the rules; with `keep_last` all but so many, with `free` for so many bytes.

    `dry_run`: tells what would go. Where the root is at hand, of former devices' logs as well.
    """
    dry_run, progress = bool(params.get("dry_run")), verifying.from_thread(tell)
    root = drive.root.signing() if drive.root is not None else None
    await drive.have_whole()
    more: Message = {}
    if params.get("free") is not None:
        freed = await make_room(drive.volume, given.number(params, "free"), dry_run, progress)
        done, more = freed.pruned, {name: value for name, value in freed._asdict().items() if name != "pruned"}
    elif params.get("keep_last") is None:
        done = await retaining.retain(drive.volume, dry_run, progress, root=root)
    else:
        done = await pruning.prune(drive.volume, given.number(params, "keep_last"), dry_run, progress, root)
    if drive.mount is not None and not dry_run:  # things may be absent though no version went
        await drive.mount.forget_versions()
    return done._asdict() | {"in_use": list(done.in_use)} | more


TABLE: Final[dict[str, Request]] = {
    "status": tell_status,
    "queues": tell_queues,
    "commit": commit,
    "end": end,
    "snapshot": snapshot,
    "delete_snapshot": delete_snapshot,
    "confirm": confirm,
    "verify": verifying.verify,
    "prune": prune,
    "brake": brake_requests.brake,
    "release_brake": brake_requests.release,
    "list_cold": cold_requests.list_cold,
    "list_devices": device_requests.list_devices,
    "add_cold": cold_requests.add_cold,
    "remove_cold": cold_requests.remove_cold,
    "list_peers": peer_requests.list_peers,
    "add_peer": peer_requests.add_peer,
    "remove_peer": peer_requests.remove_peer,
    "limit_peers": peer_requests.limit_peers,
    "sync": peer_requests.sync,
    "share": share_requests.share,
    "list_shared": share_requests.list_shared,
    "stop_sharing": share_requests.stop_sharing,
    "policy": policy_requests.policy,
    "set_policy": policy_requests.set_policy,
    "allow_program": policy_requests.allow_program,
    "all_here": policy_requests.all_here,
    "versions": past_requests.versions,
    "find_deleted": past_requests.find_deleted,
    "log": past_requests.log,
    "diff": past_requests.diff,
    "find_file": past_requests.find_file,
    "read_file": past_requests.read_file,
    "restore": past_requests.restore,
    "changes": watch_requests.changes,
    "changed": watch_requests.changed,
    "moments": browsing_requests.moments,
    "snapshots": browsing_requests.snapshots,
    "folder": browsing_requests.folder,
    "written": browsing_requests.written,
    "space": browsing_requests.space,
    "steps": undo_requests.steps,
    "undo": undo_requests.undo,
    "redo": undo_requests.redo,
}
