"""What one piece of work costs an open drive: nodes, bytes, index rows, time. Counted at the seams of the store."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hyperfs.store.files import Disk, DiskFile
from hyperfs.volume.volume import Volume


@dataclass
class Cost:
    """Since it was made, or since `begin`."""

    counts: Counter[str] = field(default_factory=Counter)

    def disk(self, root: Path) -> Disk:
        """A disk whose files count what is read and written."""
        counts = self.counts

        class CountingFile(DiskFile):
            def pread(self, size: int, offset: int) -> bytes:
                data = super().pread(size, offset)
                counts["reads"] += 1
                counts["bytes read"] += len(data)
                return data

            def pwrite(self, data: bytes | bytearray | memoryview, offset: int) -> None:
                super().pwrite(data, offset)
                counts["writes"] += 1
                counts["bytes written"] += len(data)

            def fdatasync(self) -> None:
                super().fdatasync()
                counts["syncs"] += 1

        class CountingDisk(Disk):
            file_type = CountingFile

        return CountingDisk(root)

    def watch(self, volume: Volume) -> None:
        """Counts nodes that are read from the log, and rows that go to the index, from now on."""
        nodes, catalog, counts = volume.parts.nodes, volume.parts.catalog, self.counts
        read, apply = nodes.read, catalog.apply

        def counted_read(ref):  # type: ignore[no-untyped-def]
            counts["nodes read"] += 1
            return read(ref)

        def counted_apply(changes):  # type: ignore[no-untyped-def]
            changes = list(changes)
            counts["index rows"] += len(changes)
            counts["index bytes"] += sum(len(key) + len(value or b"") for key, value in changes)
            apply(changes)

        nodes.read = counted_read  # type: ignore[method-assign]
        catalog.apply = counted_apply  # type: ignore[method-assign]

    @contextmanager
    def of(self, rounds: int = 1) -> Iterator[Callable[[], str]]:
        """Inside the block things are counted; afterwards what is given says what one round took."""
        self.counts.clear()
        wall, cpu = time.perf_counter(), time.process_time()
        taken: list[float] = []

        def words() -> str:
            found = [f"{self.counts[name] / rounds:,.1f} {name}" for name in SHOWN if self.counts[name]]
            return ", ".join([f"{taken[0] * 1000:,.2f} ms", f"{taken[1] * 1000:,.2f} ms CPU", *found])

        yield words
        taken += [(time.perf_counter() - wall) / rounds, (time.process_time() - cpu) / rounds]


SHOWN = ("nodes read", "reads", "writes", "bytes written", "syncs", "index rows", "index bytes")
