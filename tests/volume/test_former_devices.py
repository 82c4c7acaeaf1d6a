"""What only the logs of a former device hold: freed with the root's key at hand, and never without it."""

from pathlib import Path

import pytest

from hyperfs.errors import Refused
from hyperfs.log.control_codec import ROOT, ClearDeed, ClearIntent
from hyperfs.volume import clearing
from hyperfs.volume.prune import prune
from hyperfs.volume.volume import Volume

from .conftest import DRIVE, Store, damage, read_file, write_file
from .test_cloning import LONG, cloned, fill, opened
from .twin_peer import TwinPeer

FORMER_METADATA, FORMER_CONTENT = 1, 2
KEPT = {b"/deep/3": LONG[3][::-1], b"/deep/0": LONG[0][::-1], b"/small": b"of the clone"}


def no_progress(what: str, done: int, of: int) -> None:
    """Nobody watches."""


async def read_all(volume: Volume) -> dict[bytes, bytes]:
    async def look() -> dict[bytes, bytes]:
        return {path: read_file(volume, path) for path in KEPT}

    return await volume.returning.complete(look)


def cleared(volume: Volume, number: int) -> int:
    return sum(end - start for start, end in volume.parts.catalog.cleared.ranges(number))


async def test_the_rest_of_a_former_device_goes_with_the_roots_key_and_stays_without(
    store: Store, tmp_path: Path
) -> None:
    states = await fill(store)
    peer, path = TwinPeer(store.path), tmp_path / "clone"
    async with cloned(store, path, lost=True) as volume:
        await write_file(volume, b"/small", b"of the clone")
        await write_file(volume, b"/long", LONG[0] + b"of the clone")
        await volume.commit()
        await prune(volume, 1, False, no_progress)
        assert (cleared(volume, FORMER_METADATA), cleared(volume, FORMER_CONTENT)) == (0, 0)
        before = len(volume.parts.chain.records)
        would = await prune(volume, 1, True, no_progress, DRIVE.root.signing())
        done = await prune(volume, 1, False, no_progress, DRIVE.root.signing())
        assert done.blocks >= would.blocks > 0
        assert cleared(volume, FORMER_CONTENT) > 0
        new = [record for record in volume.parts.chain.records[before:] if record.signer == ROOT]
        assert {type(record.body) for record in new} == {ClearIntent, ClearDeed}
        assert volume.parts.chain.intents == {}
        assert await read_all(volume) == KEPT
        last = volume.parts.chain.logs[FORMER_METADATA].length - 1
        assert not volume.parts.catalog.cleared.has(FORMER_METADATA, last), "each opening looks at it"
        with pytest.raises(Refused, match="speaks for log 2"):
            clearing.announce(volume.parts, [new[0].body.clear._replace(log=FORMER_CONTENT)])  # type: ignore[union-attr]
    async with opened(path, peer) as volume:
        assert [found.version for found in volume.versions.all()][-1] > max(states)
        assert await read_all(volume) == KEPT
        assert damage(volume) == []


async def test_interrupted_it_is_done_by_whoever_comes_with_the_key_again(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(store)
    async with cloned(store, tmp_path / "clone", lost=True) as volume:
        await write_file(volume, b"/small", b"of the clone")
        await write_file(volume, b"/long", b"short")
        await volume.commit()

        def killed(*args: object) -> None:
            if clearing.open_clears(volume.parts, DRIVE.root.signing()):
                raise RuntimeError("killed")

        with monkeypatch.context() as patch:
            patch.setattr(clearing, "do_announced", killed)
            with pytest.raises(RuntimeError, match="killed"):
                await prune(volume, 1, False, no_progress, DRIVE.root.signing())
    async with opened(tmp_path / "clone", TwinPeer(store.path)) as volume:
        assert {clear.log for clear in volume.parts.chain.intents.values()} <= {FORMER_METADATA, FORMER_CONTENT}
        assert volume.parts.chain.intents
        assert await read_all(volume) == KEPT
        await prune(volume, 1, False, no_progress)
        assert volume.parts.chain.intents, "only the root can sign that it is done"
        await prune(volume, 1, False, no_progress, DRIVE.root.signing())
        assert volume.parts.chain.intents == {}
        assert damage(volume) == []
