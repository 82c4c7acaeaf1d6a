"""As daemon_main.py, with one other place: the folder `place` beside the store, a file for each block.

What is wanted there is there at once. A file `place/gone` makes it answer nobody, `place/hangs` has it never answer.
Each fetch is a line in `place/fetches`: blocks and bytes. The mover takes its turns without rest; what it has done
stands in `place/standing`.
"""

import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import trio

sys.path.insert(0, str(Path(__file__).parents[2]))

from hyperfs.errors import HyperfsError, Unreachable
from hyperfs.log.reader import LogReader
from hyperfs.policy.placement import Strength
from hyperfs.values import BlockRef
from hyperfs.volume import moving, returning
from hyperfs.volume.elsewhere import Wish
from hyperfs.volume.moving import Mover
from hyperfs.volume.status import warnings
from hyperfs.volume.volume import Volume
from tests.mount.daemon_main import main

moving.POLL_SECONDS = 0.1
moving.REST_FACTOR = 0.0
returning.DEADLINE_SECONDS = 12.0
returning.FETCH_SECONDS = 9.0


class Folder:
    """One place."""

    places = frozenset({"nas"})

    def __init__(self, folder: Path, logs: Mapping[int, LogReader]) -> None:
        self._folder = folder
        self._logs = logs
        self._changed = trio.Event()
        folder.mkdir(exist_ok=True)

    def _path(self, ref: BlockRef) -> Path:
        return self._folder / f"{ref.log}-{ref.index}"

    async def fetch(self, blocks: Sequence[BlockRef]) -> Mapping[BlockRef, bytes]:
        if (self._folder / "gone").exists():
            raise Unreachable("nas does not answer: it is gone")
        if (self._folder / "hangs").exists():
            (self._folder / f"asked-{blocks[0].index}").touch()
            await trio.sleep_forever()
        found = {ref: self._path(ref).read_bytes() for ref in blocks}
        with (self._folder / "fetches").open("a") as out:
            out.write(f"{len(found)} {sum(map(len, found.values()))}\n")
        return found

    def proven(self, log: int, first: int, end: int) -> frozenset[str]:
        there = all(self._path(BlockRef(log, index)).exists() for index in range(first, end))
        return self.places if there else frozenset()

    async def confirm(self, log: int, first: int, end: int) -> frozenset[str]:
        return self.proven(log, first, end)

    def want(self, wishes: Sequence[Wish]) -> None:
        new = False
        for wish in wishes:
            for index in range(wish.first, wish.end):
                path = self._path(BlockRef(wish.log, index))
                if not path.exists():
                    path.write_bytes(self._logs[wish.log].get_verified(index))
                    new = True
        if new:
            self._changed.set()
            self._changed = trio.Event()

    def kept_bytes(self, log: int, first: int, end: int) -> Mapping[str, int]:
        return {}

    def storage_classes(self, strength: Strength) -> Mapping[str, str]:
        return {}

    async def changed(self) -> None:
        await self._changed.wait()


def beside(volume: Volume) -> Sequence[Callable[[], Awaitable[object]]]:
    place = volume.parts.disk.root.parent / "place"
    volume.returning.elsewhere = Folder(place, volume.parts.logs)
    mover = Mover(volume)

    async def tell() -> None:
        while True:
            try:
                facts = asdict(mover.standing) | {"cold_bytes": volume.parts.residence.cold_bytes}
                text = json.dumps(facts | {"warnings": list(warnings(volume))})
                (place / "standing.new").write_text(text)
                (place / "standing.new").rename(place / "standing")
            except HyperfsError:
                pass
            await trio.sleep(0.05)

    return mover.run, tell


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:], beside=beside)
