"""Which programs opened which files: found out some time after, since a request can't wait for it."""

import trio

from hyperfs.fuse.programs import program_of
from hyperfs.policy.scanning import Program
from hyperfs.volume.volume import Volume

LOOK_SECONDS = 2.0
SAVE_SECONDS = 600.0


async def note_uses(volume: Volume) -> None:
    """Until it is cancelled; then what is known is kept. Of a process that has ended it is not known what it was: all
    of those count as one program."""
    uses, saved = volume.uses, trio.current_time()
    try:
        while True:
            await trio.sleep(LOOK_SECONDS)
            opens = uses.take_opens()
            if opens:
                programs = await trio.to_thread.run_sync(_programs, {pid for _, pid in opens})
                for ino, pid in opens:
                    uses.sighted(programs[pid], ino, trio.current_time())
            if trio.current_time() - saved >= SAVE_SECONDS:
                saved = trio.current_time()
                uses.settle(saved)
                for _ in uses.save():
                    await trio.lowlevel.checkpoint()
    finally:
        uses.settle(trio.current_time(), whole=True)
        for _ in uses.save():
            pass


def _programs(pids: set[int]) -> dict[int, Program]:
    return {pid: program_of(pid) for pid in pids}
