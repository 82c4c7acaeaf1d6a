"""Where blocks are is made what policies ask for: in the background, some at a time, as often as something changed.

A turn surveys, plans (policy/placement.py), says what is wanted elsewhere, lets go of what is proven there, and brings
back what is to be here. It may be cancelled anywhere, or killed: the next one finds by the same survey what is left to
do. Nothing of it is remembered but what has left.

A block leaves when, after it was marked, enough of the places that it may be at have been asked again and have it. It
stays while a file that needs it is open, or has bytes that no chunk holds yet.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Final

import trio

from hyperfs.errors import HyperfsError, Unreachable
from hyperfs.log.cleared import runs_of
from hyperfs.policy import placement
from hyperfs.policy.placement import Plan, Stretch
from hyperfs.values import BlockRef
from hyperfs.volume import allowed
from hyperfs.volume.budget import budget_of
from hyperfs.volume.completing import is_incomplete
from hyperfs.volume.elsewhere import Wish
from hyperfs.volume.overlay import MAX_FILE_BYTES
from hyperfs.volume.residence import Run
from hyperfs.volume.survey import HOUR_NS, Progress, Survey
from hyperfs.volume.survey_rows import SurveyRows
from hyperfs.volume.surveying import Surveyor
from hyperfs.volume.volume import Volume

POLL_SECONDS: Final = 5.0
"""How often it is asked whether anything changed: a few numbers."""
LATEST_SECONDS: Final = 900.0
"""After so long all is looked at again though nothing changed: hours go by, and proofs come and go."""
RETRY_SECONDS: Final = 60.0
"""After so long, where something could not be moved."""
TELL_SECONDS: Final = 0.2
REST_FACTOR: Final = 10.0
"""A survey that took a second is made again after ten at the earliest."""
LEAVING_BYTES: Final = 64 << 20
"""Confirmed and punched at a time."""
RETURNING_BYTES: Final = 8 << 20

log = logging.getLogger("hyperfs.elsewhere")


class Mover:
    """Owned by the trio thread."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume
        self._residence = volume.parts.residence
        self.surveyor = Surveyor(volume, SurveyRows(volume.parts.catalog, volume.parts.node_id_key))
        self._wakes = trio.Event()
        self._urgent = trio.Event()  # somebody waits: no rest before the next turn
        self._begun = self._ended = 0  # turns, by their numbers
        self.looking_seconds = 0.0
        """How long the newest turn has looked; what it moved then asks for no rest, however long it took."""
        self.standing = volume.standing
        self.held: Callable[[], str | None] = self._braked
        """Why nothing may leave now; None when it may."""

    def _braked(self) -> str | None:
        return self._volume.brake.words() if self._volume.brake.is_on else None

    # In the background

    async def run(self, progress: Progress = lambda what, done, of: None) -> None:
        """Until it is cancelled. `progress` is told of each step in a thread, and may rest there."""
        self._load_allowed()
        looked_at: tuple[object, ...] = ()
        not_before = latest = 0.0
        async with self.surveyor.keeping(), trio.open_nursery() as nursery:
            nursery.start_soon(self._listen)
            while True:
                with trio.move_on_after(POLL_SECONDS):
                    await self._wakes.wait()
                began, now = trio.current_time(), self._signature()
                if began < not_before and not self._urgent.is_set():
                    with trio.move_on_at(not_before):
                        await self._urgent.wait()
                    continue
                if not (self._wakes.is_set() or self._volume.unwanted or now != looked_at or began >= latest):
                    continue
                self._wakes = trio.Event()  # before the turn: what happens during it wants another one
                self._urgent = trio.Event()
                await self._try(progress)
                looked_at, ended = now, trio.current_time()
                wait = RETRY_SECONDS if "moving" in self._volume.warnings else LATEST_SECONDS
                not_before, latest = ended + REST_FACTOR * self.looking_seconds, ended + wait

    def look_again(self) -> None:
        """Something was set, or somebody waits for what is to move."""
        self._wakes.set()

    async def look(self) -> None:
        """Surveys, and moves nothing: for a volume on which no mover runs. Raises OSError, Corrupt."""
        await self.surveyor.now(lambda what, done, of: None)

    async def looked(self) -> None:
        """Returns when a turn has ended that was begun after the call. Raises Unreachable where none came about."""
        wanted = self._begun + 1
        while self._ended < wanted:
            self._urgent.set()
            self.look_again()
            await trio.sleep(TELL_SECONDS)
        if self._volume.survey is None:
            raise Unreachable(self._volume.warnings.get("moving", "nobody could look which bytes may go where"))

    async def all_here(self, tell: Callable[[int, int], Awaitable[None]]) -> None:
        """Returns when what is to be here is; `tell` gets bytes done and in all. Raises Unreachable."""
        before, wanted = self.standing.returned_bytes, self._begun + 1
        while True:
            if self._ended < wanted:
                self.look_again()
            elif "moving" in self._volume.warnings:
                raise Unreachable(self._volume.warnings["moving"])
            elif not self.standing.to_return_bytes:
                return
            done = self.standing.returned_bytes - before
            await tell(done, done + self.standing.to_return_bytes)
            await trio.sleep(TELL_SECONDS)

    def _load_allowed(self) -> None:
        try:
            allowed.load(self._volume)
        except HyperfsError as error:
            log.warning("which programs are allowed to bring back more can't be read: %s", error)

    async def _listen(self) -> None:
        while True:
            await self._volume.returning.elsewhere.changed()
            self._wakes.set()

    async def _try(self, progress: Progress) -> None:
        self._begun += 1
        turn = self._begun
        try:
            await self.turn(progress)
        except (HyperfsError, OSError) as error:
            log.warning("nothing was moved: %s", error)
            self._volume.warnings["moving"] = f"what is to be elsewhere, or here, could not be moved: {error}"
        else:
            self._volume.warnings.pop("moving", None)
        finally:
            self._ended = turn

    def _signature(self) -> tuple[object, ...]:
        """While it is the same a survey would say the same, but for what is used."""
        volume = self._volume
        places, policies = volume.returning.elsewhere.places, volume.overlay.policies
        hour, version = volume.overlay.now_ns() // HOUR_NS, volume.versions.newest.version
        return version, policies.changes, places, budget_of(volume), hour

    # A turn

    async def turn(self, progress: Progress = lambda what, done, of: None) -> None:
        """Does what there is to do now. Raises OSError, Corrupt, Unreachable: some of it is done then."""
        volume = self._volume
        if self._residence.is_unsure and not volume.read_only:
            await self._residence.reconcile()
        configured = volume.returning.elsewhere.places
        if is_incomplete(volume.parts.chain, volume.parts.logs):
            return  # nobody can tell yet what needs which block
        if volume.read_only or (not configured and self._residence.is_whole):
            return
        await self._residence.forget_cleared(volume.parts.catalog.cleared)
        began = trio.current_time()
        try:
            made = await self.surveyor.now(progress)
            stretches = await self._stretches(made)
        finally:
            self.looking_seconds = trio.current_time() - began
        here = sum(found.size_on_disk() for found in volume.parts.logs.values())
        planned = placement.plan(stretches, configured, here, budget_of(self._volume))
        self._tell(planned, stretches)
        volume.returning.elsewhere.want(list(self._wishes(planned)))
        await volume.brake.look()
        if self.held() is None:
            await self._let_go(planned.leaving, made)
            await self._send_away(made)
        await self._bring(planned.returning)
        await self._residence.settle()

    async def _stretches(self, made: Survey) -> list[Stretch]:
        parts = self._volume.parts
        return await trio.to_thread.run_sync(lambda: list(made.stretches(parts.logs, parts.catalog.cleared)))

    def _wishes(self, planned: Plan) -> Iterator[Wish]:
        configured = self._volume.returning.elsewhere.places
        for number, found in enumerate(planned.leaving):
            places, copies = found.needs.allowed(configured), found.needs.copies_of(configured)
            soon, strength = number < planned.soon, found.needs.strength
            yield Wish(found.log, found.first, found.end, places, copies, soon, strength)

    async def _let_go(self, leaving: Sequence[Stretch], made: Survey) -> None:
        """What is proven elsewhere, in the order of the plan."""
        configured, proven = self._volume.returning.elsewhere.places, self._volume.returning.elsewhere.proven
        batch: list[Run] = []
        size = 0
        for found in leaving:
            if found.needs.are_met(proven(found.log, found.first, found.end), configured):
                batch += self._without_busy(found.log, range(found.first, found.end))
                size += found.nbytes
            if size >= LEAVING_BYTES:
                await self._evict(batch, made)
                batch, size = [], 0
        await self._evict(batch, made)

    async def _send_away(self, made: Survey) -> None:
        """What came back for a program that looks at everything. What is on its way still, or open, goes later."""
        volume = self._volume
        for ref in [ref for ref in volume.unwanted if made.needs(ref).strength is placement.Strength.HOT]:
            volume.unwanted.discard(ref)
        here = [ref for ref in volume.unwanted if not self._residence.has_left(ref)]
        for number in {ref.log for ref in here}:
            blocks = sorted(ref.index for ref in here if ref.log == number)
            await self._evict(self._without_busy(number, blocks), made)
        is_lent = volume.returning.is_lent
        volume.unwanted = {ref for ref in volume.unwanted if is_lent(ref) or not self._residence.has_left(ref)}

    async def _evict(self, runs: list[Run], made: Survey) -> None:
        if not runs:
            return
        gone = await self._residence.evict(runs, lambda run: self._is_safe(run, made), self._may_go())
        size = sum(self._bytes(run) for run in gone)
        self.standing.left_bytes += size
        self.standing.to_leave_bytes = max(0, self.standing.to_leave_bytes - size)
        self.standing.freeable_bytes = max(0, self.standing.freeable_bytes - size)

    async def _is_safe(self, run: Run, made: Survey) -> bool:
        """Asked once a run is marked: whether enough other places have it."""
        places = self._volume.returning.elsewhere
        proven = await places.confirm(run.log, run.first, run.end)
        blocks = range(run.first, run.end)
        return all(made.needs(BlockRef(run.log, index)).are_met(proven, places.places) for index in blocks)

    def _may_go(self) -> Callable[[Run], bool]:
        """Asked of one run after the other, with no `await` between that and the punching."""
        known: list[set[BlockRef]] = []

        def may_go(run: Run) -> bool:
            if self.surveyor.policies != self._volume.overlay.policies.changes or self.held() is not None:
                return False
            if not known:
                known.append(self._busy())
            return not any(BlockRef(run.log, index) in known[0] for index in range(run.first, run.end))

        return may_go

    def _without_busy(self, log: int, blocks: Iterable[int]) -> list[Run]:
        """The runs of the blocks, ascending, that no open or unwritten file needs."""
        busy = self._busy()
        return [Run(log, *run) for run in runs_of(index for index in blocks if BlockRef(log, index) not in busy)]

    def _busy(self) -> set[BlockRef]:
        overlay = self._volume.overlay
        return {
            BlockRef(at.log, at.block)
            for inode in overlay.in_use()
            for extent in overlay.extents(inode, 0, MAX_FILE_BYTES)
            for at in (extent.place, *extent.bases)
        }

    async def _bring(self, returning: Sequence[Stretch]) -> None:
        """What is to be here. Raises Unreachable."""
        for found in returning:
            batch: list[BlockRef] = []
            size = 0
            for index in range(found.first, found.end):
                batch.append(BlockRef(found.log, index))
                size += self._bytes(Run(found.log, index, index + 1))
                if size >= RETURNING_BYTES or index == found.end - 1:
                    await self._volume.returning.bring(batch, keep=True)
                    await self._volume.returning.keep(batch)
                    self.standing.returned_bytes += size
                    self.standing.to_return_bytes = max(0, self.standing.to_return_bytes - size)
                    batch, size = [], 0

    # What is told

    def _tell(self, planned: Plan, stretches: Iterable[Stretch]) -> None:
        standing, places = self.standing, self._volume.returning.elsewhere
        standing.to_leave_bytes = sum(found.nbytes for found in planned.leaving)
        standing.to_return_bytes = sum(found.nbytes for found in planned.returning)
        standing.freeable_bytes = sum(
            found.nbytes
            for found in stretches
            if found.is_here
            and found.needs.strength is not placement.Strength.HOT
            and found.needs.are_met(places.proven(found.log, found.first, found.end), places.places)
        )
        warnings = self._volume.warnings
        warnings.pop("copies", None)
        if planned.lacking:
            warnings["copies"] = (
                f"{planned.lacking} bytes would leave this device, but there are fewer places that may have them than "
                "they must have copies: they stay. 'hyperfs cold add' adds a place, 'hyperfs policy set' sets copies"
            )
        elif len(places.places) == 1 and (planned.leaving or not self._residence.is_whole):
            warnings["copies"] = (
                f"{next(iter(places.places))} is the only other place: what leaves this device is there alone. "
                "A second one makes it safe"
            )

    def _bytes(self, run: Run) -> int:
        first, end = self._volume.parts.logs[run.log].bytes_about(run.first, run.end)
        return end - first
