"""What of the drive is for one peer: what may be there, and what is there by its word."""

from collections.abc import Mapping

from hyperfs.log.log import Log
from hyperfs.syncing.absent import elsewhere
from hyperfs.syncing.attested import Attested
from hyperfs.syncing.feeding import Lag
from hyperfs.syncing.home import Home, bytes_of_runs
from hyperfs.syncing.permits import Permits
from hyperfs.syncing.runs import NONE, Runs


class Portion:
    """Owned by the trio thread."""

    def __init__(self, home: Home, permits: Permits, attested: Attested) -> None:
        self._home = home
        self.permits = permits
        self._attested = attested

    def offered(self, number: int) -> Runs:
        """Of a log what may be there and is here."""
        here = self._here(number)
        return here if self._home.is_metadata(number) else here & self.permits.runs(number)

    def elsewhere(self, number: int) -> Runs:
        """Of a log what may be there, is not here, and can be brought there from another place."""
        return elsewhere(self._home, self.permits, number)

    def promised(self, number: int) -> Runs:
        """The blocks of a log for which there is a current receipt."""
        found = self._home.volume.parts.logs.get(number)
        return NONE if found is None else self._attested.runs(found.discovery_key, self._home.now_ns())

    def withheld_bytes(self) -> int:
        """What is here and may not be there by the policies, with what shares a block with it."""
        home = self._home
        held = ((found, self._here(n) - self.permits.runs(n)) for n, found in home.logs() if not home.is_metadata(n))
        return sum(bytes_of_runs(found, runs) for found, runs in held)

    def lag(self, by_word: Mapping[int, Lag]) -> Lag:
        """What lacks there, of all logs. `by_word`: by what it says now, where it is connected."""
        found = [by_word.get(number) or self._lag_of(number, log) for number, log in self._home.logs()]
        return Lag(*map(sum, zip(*found, strict=True)))

    def _lag_of(self, number: int, log: Log) -> Lag:
        promised = self.promised(number)
        away = self.elsewhere(number) - promised
        missing = (self.offered(number) - promised) | away
        return Lag(missing.blocks, bytes_of_runs(log, missing), away.blocks, bytes_of_runs(log, away))

    def _here(self, number: int) -> Runs:
        """What of a log is on this device."""
        home = self._home
        whole = Runs([(0, home.volume.parts.logs[number].signed_length)])
        return whole - home.cleared(number) - home.away(number)
