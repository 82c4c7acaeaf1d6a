"""A drive for `requests.py`: `requests_daemon.py STORE POINT [count]`; no version is made but when a snapshot asks.

With `count` it writes on SIGUSR1 how many requests of each kind there were since the last time, as JSON, to
`requests.json` beside the store.
"""

import json
import signal
import sys
from collections import Counter
from pathlib import Path

from hyperfs.fuse import mount
from hyperfs.volume import version_maker
from tests.mount import daemon_main

KINDS = (
    "lookup getattr setattr create mknod mkdir symlink readlink link unlink rmdir rename open read write flush "
    "release fsync opendir readdir releasedir fsyncdir statfs access getxattr setxattr listxattr removexattr forget"
)


class Counting(mount.Operations):
    """Operations that count themselves."""

    def __init__(self, state):
        super().__init__(state)
        self.counts = Counter()
        for kind in KINDS.split():
            setattr(self, kind, self._counted(kind, getattr(self, kind)))

    def _counted(self, kind, handler):
        def counted(*args):
            self.counts[f"{kind} {args[1].decode()}" if kind == "getxattr" else kind] += 1
            return handler(*args)

        return counted

    def write_down(self, path):
        path.write_text(json.dumps(self.counts))
        self.counts.clear()


class CountingMount(mount.Mount):
    async def serve(self, ready):
        path = Path(sys.argv[1]).with_name("requests.json")
        signal.signal(signal.SIGUSR1, lambda *_: self._operations.write_down(path))
        await super().serve(ready)


if __name__ == "__main__":
    version_maker.SETTLED_SECONDS = version_maker.OPEN_SECONDS = 3600.0
    if "count" in sys.argv:
        mount.Operations = Counting
        daemon_main.Mount = CountingMount
    daemon_main.main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
