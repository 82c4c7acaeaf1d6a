"""What a prune gives back: on this device, as `du` sees it, and in cold stores."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import trio

from hyperfs.log.control_codec import Clear
from hyperfs.volume import clearing
from hyperfs.volume.plan import Plan
from hyperfs.volume.volume import Volume


class Pruned(NamedTuple):
    """What a prune did, or would do. `bytes`: of the disk here; `elsewhere_bytes`: by cold store, of the blocks that it
    has and needs no more; `in_use`: versions kept only because they are being read."""

    versions: int
    kept: int
    blocks: int
    bytes: int
    elsewhere_bytes: Mapping[str, int]
    in_use: tuple[int, ...]


@dataclass
class GivenBack:
    """Summed up over what is cleared in one prune."""

    blocks: int = 0
    here: int = 0
    elsewhere: dict[str, int] = field(default_factory=dict)

    async def note(self, volume: Volume, clears: Iterable[Clear]) -> None:
        """To be asked before they are cleared."""
        before = volume.parts.catalog.cleared
        for clear in clears:
            log = volume.parts.logs[clear.log]
            after = before.more([clear])
            self.blocks += sum(end - start for start, end in clear.ranges)
            self.here += await trio.to_thread.run_sync(clearing.freed_bytes, log, clear.log, before, after)
            for run in clear.ranges:
                for place, size in volume.returning.elsewhere.kept_bytes(clear.log, *run).items():
                    self.elsewhere[place] = self.elsewhere.get(place, 0) + size
                await trio.lowlevel.checkpoint()

    def report(self, plan: Plan) -> Pruned:
        kept = dict(sorted(self.elsewhere.items()))
        return Pruned(len(plan.going), len(plan.kept), self.blocks, self.here, kept, plan.in_use)
