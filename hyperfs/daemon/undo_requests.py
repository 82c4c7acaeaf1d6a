"""Requests that take back: undo, redo, and the list of steps."""

import os
from typing import Any

from hyperfs.daemon import params as given
from hyperfs.daemon.drive import Drive, in_slices
from hyperfs.daemon.past_requests import difference_facts
from hyperfs.daemon.times import iso_time
from hyperfs.daemon.wire import Message, Tell
from hyperfs.volume import undo as undoing
from hyperfs.volume.difference_words import in_words
from hyperfs.volume.undo_line import Step
from hyperfs.volume.undo_words import step_differences


async def steps(drive: Drive, params: Message, tell: Tell) -> Message:
    """The newest steps below a path, in words."""
    await tell("looking", 0, 0)
    found, again = await undoing.list_steps(drive.volume, given.path(params), given.number(params, "limit"))
    told = []
    for number, (step, change) in enumerate(found, 1):
        differences = await in_slices(step_differences(change))
        told.append(
            _step(step)
            | {
                "step": number,
                "taken_back": step.taken_back,
                "redo": again is not None and (again.before, again.after) == (step.before, step.after),
                "count": len(differences),
                "change": in_words(differences),
            }
        )
    return {"steps": told}


async def undo(drive: Drive, params: Message, tell: Tell) -> Message:
    """Of the newest step below a path; with `version`, of exactly what that version changed there."""
    if params.get("version") is not None:
        volume, path, force, dry_run = _asked(drive, params)
        version = given.number(params, "version")
        return await _answer(drive, await undoing.undo_version(volume, path, version, force, dry_run))
    return await _answer(drive, await undoing.undo(*_asked(drive, params)))


async def redo(drive: Drive, params: Message, tell: Tell) -> Message:
    return await _answer(drive, await undoing.redo(*_asked(drive, params)))


def _asked(drive: Drive, params: Message) -> tuple[Any, bytes, bool, bool]:
    return drive.volume, given.path(params), bool(params.get("force")), bool(params.get("dry_run"))


async def _answer(drive: Drive, done: undoing.Undone) -> Message:
    if drive.mount is not None and done.version is not None:
        await drive.mount.forget(done.carried.names, done.carried.inodes, done.carried.gone)
    count = len(done.plan.names) + len(done.plan.rewrites)
    return {
        "version": done.version,
        "step": _step(done.step),
        "count": max(count, len(done.differences)),
        "differences": [difference_facts(difference) for difference in done.differences],
        "change": in_words(done.differences),
        "conflicts": [{"path": os.fsdecode(path), "why": why} for path, why in done.conflicts],
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "began": iso_time(step.began_ns),
        "ended": iso_time(step.ended_ns),
        "before": step.before,
        "after": step.after,
    }
