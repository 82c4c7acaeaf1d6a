"""The workload of the crash tests: writes, fsyncs, renames, and says on stdout what it has been promised.

`crash_worker.py FOLDER SEED` works until the drive dies under it. Each line of its output is one fact that fsync
has made durable: a path (below FOLDER), its length and the SHA-256 of its bytes, or `gone PATH`. A line is
written only after the call that promised it has returned; a line `try PATH LENGTH HASH` before says what may also
be found. Paths belong to one worker alone.
"""

import contextlib
import hashlib
import os
import random
import sys

NAMES = 12
MOST_BYTES = 200_000


class Worker:
    def __init__(self, folder: str, seed: int) -> None:
        self.folder = folder
        self.rng = random.Random(seed)
        self.contents: dict[str, bytes] = {}
        self.serial = 0

    def say(self, *words: object) -> None:
        print(*words, flush=True)

    def told(self, verb: str, name: str, data: bytes) -> None:
        self.say(verb, name, len(data), hashlib.sha256(data).hexdigest())

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def data(self) -> bytes:
        size = self.rng.choice([0, 5, 300, 600, 5_000, 60_000, 70_000, self.rng.randrange(MOST_BYTES)])
        return self.rng.randbytes(size)

    def sync_folder(self) -> None:
        fd = os.open(self.folder, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)

    def save_by_rename(self, name: str) -> None:
        """As editors and databases do: never half a file under the name."""
        data = self.data()
        self.serial += 1
        temporary = self.path(f"tmp-{self.serial}")
        with open(temporary, "wb") as file:
            for start in range(0, len(data), 50_000):
                file.write(data[start : start + 50_000])
            file.flush()
            os.fsync(file.fileno())
        self.told("try", name, data)
        os.rename(temporary, self.path(name))
        self.sync_folder()
        self.contents[name] = data
        self.told("is", name, data)

    def save_by_rename_without_sync(self, name: str) -> None:
        """No promise but that the name holds one of the two."""
        data = self.data()
        self.serial += 1
        temporary = self.path(f"tmp-{self.serial}")
        with open(temporary, "wb") as file:
            file.write(data)
        self.told("try", name, data)
        os.rename(temporary, self.path(name))
        self.contents[name] = data

    def edit_in_place(self, name: str) -> None:
        """Appends, which a crash may keep or not, whole or a beginning of it."""
        before = self.contents.get(name)
        if before is None:
            return
        more = self.data()
        with open(self.path(name), "ab", buffering=0) as file:
            self.told("grows", name, before + more)
            file.write(more)
            os.fsync(file.fileno())
        self.contents[name] = before + more
        self.told("is", name, before + more)

    def remove(self, name: str) -> None:
        if name not in self.contents:
            return
        self.say("try-gone", name)
        os.unlink(self.path(name))
        self.sync_folder()
        del self.contents[name]
        self.say("gone", name)

    def snapshot(self) -> None:
        self.serial += 1
        name = f"kept-{self.serial}"
        os.mkdir(self.path(f".versions/{name}"))
        self.say("snapshot", name)

    def run(self) -> None:
        steps = [
            *[self.save_by_rename] * 4,
            *[self.save_by_rename_without_sync] * 2,
            *[self.edit_in_place] * 2,
            self.remove,
        ]
        while True:
            if self.rng.random() < 0.05:
                self.snapshot()
            self.rng.choice(steps)(f"f{self.rng.randrange(NAMES)}")


if __name__ == "__main__":
    with contextlib.suppress(OSError):
        Worker(sys.argv[1], int(sys.argv[2])).run()
