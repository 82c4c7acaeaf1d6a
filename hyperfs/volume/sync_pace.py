"""Whether the next sync is worth a worker thread. Pure: it is told how long syncs took.

A hand-over to a thread and back costs about as much as the sync itself on a fast disk. There the trio thread syncs
itself: nothing else runs meanwhile, for some tenths of a millisecond. It must not be held up for long, nor must those
wait one by one who could share a sync; for both the thread is there.
"""

from typing import Final

DIRECT_SECONDS: Final = 0.001
"""A disk whose every recent sync took less is waited for."""
TRUSTED_SYNCS: Final = 8
"""So many in a row must have been quick. One that was not is the last that held up everybody for a while."""
LOOK_EVERY: Final = 64
"""One sync in so many goes to a thread all the same: only there others can ask meanwhile."""


class SyncPace:
    """Owned by the trio thread."""

    def __init__(self) -> None:
        self._quick = 0  # syncs in a row that were quick and that nobody else wanted to share

    @property
    def direct(self) -> bool:
        """Whether the next sync is made where the question is asked, and not in a worker thread."""
        return self._quick >= TRUSTED_SYNCS and self._quick % LOOK_EVERY != 0

    def took(self, seconds: float, shared: bool) -> None:
        """A sync is done. `shared`: others asked for one before it was."""
        self._quick = 0 if shared or seconds > DIRECT_SECONDS else self._quick + 1
