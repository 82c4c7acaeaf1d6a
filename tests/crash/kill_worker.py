"""A drive in processes that are to be killed, without a mount: `kill_worker.py STORE`.

For each line `SEED OUTPUT` on its standard input it forks one, says its number, and, when it has ended, how. That one
works on a volume as the handlers do, with its background work running, until it is killed. Each line of its output
is a word on one file, as those of `tests/mount/crash_worker.py`: `try NAME LENGTH HASH` before, `is ...` when an fsync
has returned, and `version NUMBER ROOT` when a commit has; `open` when it has opened and recovered.
"""

import hashlib
import os
import random
import sys
import traceback
from pathlib import Path

import trio

sys.path.insert(0, str(Path(__file__).parents[2]))

from hyperfs.volume.opening import open_volume
from hyperfs.volume.options import Options
from hyperfs.volume.volume import Volume
from tests.mount.daemon_main import DEVICE_KEYS

NAMES = 6
SIZES = [1, 300, 600, 5_000, 60_000, 70_000, 200_000]


def say(*words: object) -> None:
    print(*words, flush=True)


async def save(volume: Volume, rng: random.Random, name: str) -> None:
    """A new file under another name, fsync, rename over the old one, fsync of the names."""
    data = rng.randbytes(rng.choice(SIZES))
    temporary = f"{name}.new".encode()
    if volume.overlay.live.dentry(1, temporary) is not None:
        volume.unlinked(volume.names.unlink(1, temporary))
    inode = volume.names.make(1, temporary, 0o100644, 0, 0)
    volume.opened(inode, True)
    for start in range(0, len(data), 50_000):
        await volume.before_change(inode)
        await volume.files.write(inode, start, data[start : start + 50_000])
    await volume.fsync(inode)
    volume.released(inode, True)
    say("try", name, len(data), hashlib.sha256(data).hexdigest())
    volume.renamed(inode, volume.names.rename(1, temporary, 1, name.encode()))
    await volume.fsync(None)
    say("is", name, len(data), hashlib.sha256(data).hexdigest())


async def work(volume: Volume, seed: int) -> None:
    rng = random.Random(seed)
    async with volume.running():
        say("open")
        while True:
            await save(volume, rng, f"f{rng.randrange(NAMES)}")
            if rng.random() < 0.3:
                commit = await volume.commit()
                root = commit.root
                say("version", commit.version, root.id.hex() if root is not None else "")


def live(store: Path, seed: int, output: str) -> None:
    fd = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    volume = open_volume(store, DEVICE_KEYS, Options())
    trio.run(work, volume, seed)


def serve(store: Path) -> None:
    """This process runs no threads and opens nothing, so a fork of it is whole; and it need not import again."""
    for line in sys.stdin:
        seed, output = line.split()
        pid = os.fork()
        if not pid:
            try:
                live(store, int(seed), output)
            except BaseException:  # noqa: BLE001  # told, whatever it is, and the process ends
                traceback.print_exc()
            finally:
                os._exit(1)
        say(pid)
        _, status = os.waitpid(pid, 0)
        say(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
