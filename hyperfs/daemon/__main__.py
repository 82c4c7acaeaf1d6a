"""The supervisor of a drive in the background: starts the process that serves it, and again when that is killed.

Run as `python -m hyperfs.daemon FD STORE DIR`. It is small on purpose: it holds the spec (and so the keys) in
memory, and imports nothing that could fail with the worker.
"""

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Final

from hyperfs.daemon import mounts
from hyperfs.daemon.hardening import keep_memory_private

log = logging.getLogger("hyperfs.supervisor")

RESTARTS_MOST: Final = 5
RESTARTS_WITHIN_SECONDS: Final = 60.0


def main() -> int:
    """Returns the worker's exit code."""
    keep_memory_private()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    ready, store, directory = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    spec = sys.stdin.buffer.read()
    starts: list[float] = []
    while True:
        starts = [start for start in starts if time.monotonic() - start < RESTARTS_WITHIN_SECONDS]
        starts.append(time.monotonic())
        code = _run_worker(spec, ready)
        if code >= 0:
            return code
        log.error("the drive's process was killed by %s", signal.Signals(-code).name)
        if len(starts) > RESTARTS_MOST:
            log.error("killed %d times within a minute: giving up; 'hyperfs mount' tries again", len(starts))
            return 1
        if not mounts.detach_in_turn(store, directory):
            # Somebody else has dealt with it already.
            return 1
        ready = os.open(os.devnull, os.O_WRONLY)


def _run_worker(spec: bytes, ready: int) -> int:
    """Starts it, closes `ready` here, and waits for its end."""
    worker = subprocess.Popen(
        [sys.executable, "-m", "hyperfs.daemon.worker", str(ready)],
        stdin=subprocess.PIPE,
        pass_fds=(ready,),
    )
    os.close(ready)

    def pass_on(number: int, frame: FrameType | None) -> None:
        worker.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, pass_on)
    assert worker.stdin is not None
    try:
        worker.stdin.write(spec)
        worker.stdin.close()
    except BrokenPipeError:
        log.error("the drive's process ended before it was told what to serve")
    return worker.wait()


if __name__ == "__main__":
    sys.exit(main())
