"""Looking at the process of a drive from outside: its memory, descriptors, threads, and what its queues hold."""

import csv
import os
import time
from pathlib import Path
from typing import NamedTuple

from hyperfs.daemon import client

MIB = 1 << 20


class Memory(NamedTuple):
    """Of a process, in bytes."""

    rss: int
    peak: int


def memory(pid: int) -> Memory:
    """What /proc says; everybody may ask."""
    facts = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return Memory(*(int(facts[name].split()[0]) << 10 for name in ("VmRSS", "VmHWM")))


def forget_peak(pid: int) -> None:
    """The peak begins anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def queues(store: Path) -> dict[str, int]:
    """What a mounted drive's process holds in memory, by its own account."""
    with client.connect(store) as drive:
        facts = drive.check_version().begin().request("queues")
    return {queue["name"]: queue["held"] for queue in facts["queues"]}


class Watch:
    """Samples of one process, one row a look, in a CSV file."""

    def __init__(self, pid: int, store: Path, out: Path) -> None:
        self.pid = pid
        self.store = store
        self.began = time.monotonic()
        self.seconds: list[float] = []
        self.rss: list[int] = []
        self.most: dict[str, int] = {}
        self._file = out.open("w", newline="")
        self._rows = csv.writer(self._file)

    def look(self) -> None:
        """Raises what the process's end makes it raise: a soak ends then."""
        found = {"rss": memory(self.pid).rss} | self._counts() | queues(self.store)
        if not self.rss:
            self._rows.writerow(["seconds", *found])
        self.seconds.append(time.monotonic() - self.began)
        self.rss.append(found["rss"])
        for name, value in found.items():
            self.most[name] = max(value, self.most.get(name, 0))
        self._rows.writerow([f"{self.seconds[-1]:.1f}", *found.values()])
        self._file.flush()

    def _counts(self) -> dict[str, int]:
        folder = Path(f"/proc/{self.pid}")
        threads = len(os.listdir(folder / "task"))
        try:
            return {"threads": threads, "descriptors": len(os.listdir(folder / "fd"))}
        except PermissionError:
            return {"threads": threads}  # the process lets only root look

    def slope(self) -> float:
        """The line through the resident memory after the first quarter of the time, in MiB an hour."""
        first = self.seconds[-1] / 4
        points = [(s, r) for s, r in zip(self.seconds, self.rss, strict=True) if s >= first]
        mean_s = sum(s for s, _ in points) / len(points)
        mean_r = sum(r for _, r in points) / len(points)
        spread = sum((s - mean_s) ** 2 for s, _ in points)
        return sum((s - mean_s) * (r - mean_r) for s, r in points) / spread * 3600 / MIB if spread else 0.0

    def close(self) -> None:
        self._file.close()
