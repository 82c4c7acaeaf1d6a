"""Long random histories of a few files: every byte that is read is the one that was written last."""

import os

import pytest

from tests import tally
from tests.mount.drive import Drive

from .history import History

ALL = os.environ.get("HYPERFS_ALL") == "1"
OPERATIONS = int(os.environ.get("HYPERFS_HISTORY", "100000" if ALL else "3000"))
SEED = int(os.environ.get("HYPERFS_SEED", "1"))
END_EVERY = 10_000 if ALL else 1000
"""After so many operations the drive is mounted anew, in turns cleanly and after a kill."""
ANEW_EVERY = 20 * END_EVERY
"""After so many operations the next history begins, with another seed and other sizes."""


@pytest.mark.timeout(300 if OPERATIONS < 5000 else 0)
def test_what_is_read_is_what_was_written(drive: Drive) -> None:
    for number, begin in enumerate(range(0, OPERATIONS, ANEW_EVERY)):
        seed = SEED + number
        files, most_bytes = ((1, 3_000_000), (3, 700_000), (2, 8_000_000))[number % 3]
        history = History(drive, f"history-{seed}", seed, files, most_bytes)
        try:
            run(history, min(ANEW_EVERY, OPERATIONS - begin))
        except BaseException as error:
            error.add_note("\n".join([f"seed {seed}, operation {history.done}, before it:", *history.last]))
            raise
        finally:
            history.close_all()
            tally.add("operations of file histories", history.done, seed)
            tally.add("bytes compared in file histories", history.compared_bytes)
            tally.add("remounts in file histories", history.remounts)
            tally.add("kills in file histories", history.kills)


def run(history: History, operations: int) -> None:
    for number in range(1, operations + 1):
        history.step()
        if number % END_EVERY == 0:
            if number % (2 * END_EVERY):
                history.mount_again()
            else:
                history.kill()
    for file in history.files:
        history.check(file)
