"""Undo and redo: one step below a path is taken back, or done again, and all else stays as it is.

What is to be done is found in versions, in slices between which others run. Then the present becomes a version, and
between two awaits the three-way comparison with the live tree is made and carried out, of much after that was done on a
draft: nobody sees half of it, and what anybody changed until that moment is seen as changed since. With the change
comes a record of it, in one layer: no version has one without the other.
"""

from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import trio

from hyperfs.errors import NotFound
from hyperfs.volume import undo_record
from hyperfs.volume.carry_out import Carried, carry_out
from hyperfs.volume.compare import Difference
from hyperfs.volume.draft import MANY, Surface, change_at_once
from hyperfs.volume.pace import Pace
from hyperfs.volume.sides import TreeSide
from hyperfs.volume.steps import Change, Steps
from hyperfs.volume.three_way import plan
from hyperfs.volume.undo_line import Step
from hyperfs.volume.undo_plan import Plan
from hyperfs.volume.undo_record import MOST, REDO, UNDO, UndoRecord
from hyperfs.volume.undo_words import WHY, conflict_path, plan_differences
from hyperfs.volume.volume import Volume

TOLD_MOST: Final = 1000
"""Of what an undo changes, an answer tells so many. The rest is counted."""


@dataclass
class Undone:
    """What an undo or a redo did, or would do.

    `version` is the one that it made, None where it did nothing: on trial, or because of conflicts that nobody forced.
    `differences` are up to TOLD_MOST of what it changes, sorted; `conflicts` up to as many paths, and why.
    """

    step: Step
    plan: Plan
    differences: list[Difference]
    conflicts: list[tuple[bytes, str]]
    version: int | None = None
    carried: Carried = field(default_factory=Carried)


async def list_steps(volume: Volume, path: bytes, most: int) -> tuple[list[tuple[Step, Change]], UndoRecord | None]:
    """Up to `most` steps below a path that changed anything, newest first, and what a redo would do next."""
    steps = await _prepare(volume, path)
    found: list[tuple[Step, Change]] = []
    pace = Pace()
    for step in steps.all():
        await pace.turn()
        change = await _change(steps, step.before, step.after)
        if change.differing:
            found.append((step, change))
            if len(found) >= most:
                break
    return found, steps.next_redo()


async def undo(volume: Volume, path: bytes, force: bool = False, dry_run: bool = False) -> Undone:
    """Takes back the newest step below a path that is not taken back. Raises NotFound when there is none."""
    steps = await _prepare(volume, path)
    pace = Pace()
    for step in steps.all():
        await pace.turn()
        if step.taken_back:
            continue
        change = await _change(steps, step.before, step.after)
        if change.differing:
            return await _Work(volume, path, step, change, UNDO, force).run(dry_run)
    raise NotFound(
        f"nothing is left to undo below {_shown(path)}: no step between kept versions left a change there. Of what "
        "came and went within a few seconds 'hyperfs find --deleted' may know"
    )


async def undo_version(
    volume: Volume, path: bytes, version: int, force: bool = False, dry_run: bool = False
) -> Undone:
    """Takes back exactly what one version changed below a path, whatever came before and after. Raises NotFound when it
    changed nothing there, NoSuchVersion."""
    steps = await _prepare(volume, path)
    before = volume.versions.before(version)
    change = await _change(steps, before, version) if before else None
    if change is None or not change.differing:
        raise NotFound(f"version {version} changed nothing below {_shown(path)} that could be taken back")
    times = [volume.versions.commit(number).time_ns for number in (before, version)]
    step = Step(before, version, times[0], times[1], 1, False)
    return await _Work(volume, path, step, change, UNDO, force).run(dry_run)


async def redo(volume: Volume, path: bytes, force: bool = False, dry_run: bool = False) -> Undone:
    """Does again what the last undo took back. Raises NotFound when there is none, or a change came after it."""
    steps = await _prepare(volume, path)
    record = steps.next_redo()
    if record is None:
        raise NotFound(f"nothing is to be done again below {_shown(path)}: a change after an undo ends that")
    if not (volume.versions.is_kept(record.before) and volume.versions.is_kept(record.after)):
        raise NotFound("the versions between which that step lies are not kept any more")
    change = await _change(steps, record.before, record.after)
    step = await _step_of(steps, record)
    return await _Work(volume, path, step, change, REDO, force).run(dry_run)


async def _step_of(steps: Steps, record: UndoRecord) -> Step:
    """The step that an undo took back, or what is left of it."""
    pace = Pace()
    for step in steps.all():
        if (step.before, step.after) == (record.before, record.after):
            return step
        if step.after <= record.before:
            break
        await pace.turn()
    ended = steps.time_of(record.after)
    return Step(record.before, record.after, ended, ended, 0, True)


def _shown(path: bytes) -> str:
    return path.decode(errors="replace") if path else "the drive's root"


async def _prepare(volume: Volume, path: bytes) -> Steps:
    if not volume.read_only:
        if volume.making.write_back is not None:
            await volume.making.write_back()
        await volume.commit(write_back=False)
    await volume.changes.caught_up()
    return Steps(volume, path)


async def _change(steps: Steps, before: int, after: int) -> Change:
    pace = Pace()
    for change in steps.change(before, after):
        if change is not None:
            return change
        await pace.turn()
    raise AssertionError("a change comes last")


class _Work:
    """One undo or redo."""

    def __init__(self, volume: Volume, path: bytes, step: Step, change: Change, kind: int, force: bool) -> None:
        self._volume = volume
        self._path = path
        self._step = step
        self._kind = kind
        self._force = force
        back = kind == UNDO
        self._goal, self._start = (change.before, change.after) if back else (change.after, change.before)
        self._differing = change.differing if back else change.differing.reversed()

    async def run(self, dry_run: bool) -> Undone:
        volume = self._volume
        if dry_run:
            now = TreeSide(volume.versions.tree(volume.versions.newest.version))
            return await trio.to_thread.run_sync(self._compare, now)
        volume.check_writable()
        room = len(self._differing.names) + len(self._differing.inodes)
        with volume.reads(self._step.before), volume.reads(self._step.after):
            done = await change_at_once(
                volume, self._apply, self._end, many=room >= MANY, room=room, wanted=self._is_wanted
            )
        volume.settled()
        await volume.commit(write_back=False)
        return done

    def _compare(self, now: TreeSide) -> Undone:
        made = plan(self._start, self._goal, now, self._differing)
        told = sorted(islice(plan_differences(made, now, self._goal), TOLD_MOST), key=lambda d: d.path)
        sides = (now, self._start, self._goal)
        conflicts = [(conflict_path(c, sides), WHY[c.why]) for c in islice(made.conflicts, TOLD_MOST)]
        return Undone(self._step, made, told, conflicts)

    def _apply(self, surface: Surface) -> Undone:
        """Synchronous, on the live tree, of which everything but what came in the meantime is in a version, or on a
        draft of it."""
        now = TreeSide(surface.overlay.live)
        found = self._compare(now)
        if self._is_wanted(found):
            found.carried = carry_out(surface, found.plan, self._goal, now)
        return found

    def _is_wanted(self, found: Undone) -> bool:
        hopeless = any(conflict.why == "inside itself" for conflict in found.plan.conflicts)
        return not hopeless and (self._force or not found.plan.conflicts)

    def _end(self, found: Undone, version: int) -> None:
        """With the change comes the record of it."""
        found.version = version
        overlay = self._volume.overlay
        known = sorted(overlay.live.facts(undo_record.FACTS_PREFIX))
        for key in known[: max(0, len(known) + 1 - MOST)]:
            overlay.set_fact(key, None)
        record = UndoRecord(version, self._kind, self._step.before, self._step.after, self._path)
        overlay.set_fact(*undo_record.encode(record))
