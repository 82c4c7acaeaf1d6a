"""As tests/mount/daemon_main.py, on a slow disk: `slow_main.py STORE POINT BYTES_PER_SECOND`."""

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from hyperfs.daemon.hardening import start_again_with_allocator
from tests.load.slow_disk import slow_disk
from tests.mount.daemon_main import main

if __name__ == "__main__":
    start_again_with_allocator()  # its memory is measured: as users have it
    main(Path(sys.argv[1]), Path(sys.argv[2]), [], partial(slow_disk, bytes_per_second=float(sys.argv[3])))
