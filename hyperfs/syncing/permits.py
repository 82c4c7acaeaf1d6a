"""Which blocks of content logs may be at which place, by the policies.

Where no policy that is set, and none of an old version, names places, every block may be at every peer, at once. Else a
block may go when a survey has looked at it (volume/survey.py), and while no policy has changed since: what holds for a
block is what all that need it ask for together.
"""

from collections.abc import Mapping
from itertools import groupby
from typing import Final

import trio

from hyperfs.policy.attributes import PLACES
from hyperfs.syncing.runs import NONE, Runs
from hyperfs.volume.survey import Survey, Surveyed
from hyperfs.volume.volume import Volume

ALL: Final[Runs] = Runs([(0, 1 << 52)])


def restricts(survey: Survey) -> bool:
    """Whether anything that was looked at names places."""
    return any(needs.places is not None for needs in survey.table.all[1:])


def allowed(survey: Survey, place: str) -> dict[int, Runs]:
    """By content log, the blocks that may be at a place: of those that were looked at."""
    may = {
        number
        for number, needs in enumerate(survey.table.all)
        if number and (needs.places is None or place in needs.places)
    }
    found: dict[int, Runs] = {}
    for log, looked in survey.logs.items():
        runs = []
        at = 0
        for number, group in groupby(looked.needs):
            end = at + sum(1 for _ in group)
            if number in may:
                runs.append((at, end))
            at = end
        found[log] = Runs(runs)
    return found


class Permits:
    """Of one place. Owned by the trio thread; `may_go` may be asked by any."""

    def __init__(self, volume: Volume, place: str) -> None:
        self._volume = volume
        self._place = place
        self._looked: Surveyed | None = None
        self._restricts = True
        self._allowed: Mapping[int, Runs] = {}
        self.changes = 0
        """Counts up when another set of blocks may go."""
        self._stale = True

    async def refresh(self) -> None:
        """Call now and then, and after anything that could change what may go."""
        newest = self._volume.survey
        if newest is not None and newest is not self._looked:
            # A policy may be on a folder that has no file yet: then the survey has met nothing of it.
            own = self._volume.overlay.policies.snapshot().values()
            restricting = any(PLACES in found for found in own)
            restricting = restricting or await trio.to_thread.run_sync(restricts, newest.survey)
            found = await trio.to_thread.run_sync(allowed, newest.survey, self._place) if restricting else {}
            self._looked, self._restricts, self._allowed = newest, restricting, found
            self.changes += 1
        self.look()

    def look(self) -> None:
        """Whether what is known still holds. Quick, to be asked before anything is shown."""
        stale = self._looked is None or self._looked.policies != self._volume.overlay.policies.changes
        if stale != self._stale:
            self._stale = stale
            self.changes += 1

    @property
    def is_stale(self) -> bool:
        """Whether a survey must come first: then no block of content may go."""
        return self._stale

    @property
    def waits_for_survey(self) -> bool:
        """Whether blocks that are written now may only go after another survey."""
        return self._stale or self._restricts

    def runs(self, log: int) -> Runs:
        """The blocks of a content log that may go, up to any length."""
        if self._stale:
            return NONE
        return self._allowed.get(log, NONE) if self._restricts else ALL
