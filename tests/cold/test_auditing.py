"""Looking after what lies at a place, with nothing but memory under it."""

from collections.abc import Sequence

import pytest
import trio

from hyperfs.cold import auditing
from hyperfs.cold.holdings import Held
from hyperfs.cold.object_format import Run
from tests.volume.conftest import Store

from .conftest import running

MIB = 1 << 20


async def test_what_is_cleared_during_a_sweep_goes_with_the_next(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    look = auditing.surplus
    async with running(store, "place") as side:
        await side.write(b"large", 9 * MIB)
        side.want("place")
        await side.until_proven("place")
        catalog, late = side.volume.parts.catalog, [side.length]

        def surplus(objects: Sequence[Held], cleared: Sequence[Run], now_ns: int) -> list[Held]:
            found = look(objects, cleared, now_ns)
            if cleared and late:
                catalog.cleared = catalog.cleared.more([(side.log, 0, 0, b"", ((0, late.pop()),))])
            return found

        monkeypatch.setattr(auditing, "surplus", surplus)
        catalog.cleared = catalog.cleared.more([(side.log, 0, 0, b"", ((0, 1),))])
        with trio.fail_after(60):
            while side.cold.facts()[0].objects:
                await trio.sleep(0.02)
        assert not late
