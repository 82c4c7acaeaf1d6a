"""What other places are asked, by a volume that has none, and by the twin of the other tests."""

import pytest

from hyperfs.errors import Unreachable
from hyperfs.values import BlockRef
from hyperfs.volume.elsewhere import Elsewhere, Nowhere, Wish
from tests.volume.conftest import Store, write_file
from tests.volume.other_places import InMemory


async def test_where_no_place_is_nothing_is_proven_and_a_fetch_says_that_it_is_unreachable() -> None:
    nowhere: Elsewhere = Nowhere()
    assert nowhere.places == nowhere.proven(2, 0, 1) == await nowhere.confirm(2, 0, 1) == frozenset()
    with pytest.raises(Unreachable, match="block 7 of log 2"):
        await nowhere.fetch([BlockRef(2, 7)])


async def test_a_place_that_lies_is_found_and_the_next_one_asked(store: Store) -> None:
    async with store.opened() as volume:
        await write_file(volume, b"f", b"x" * 70_000)
    volume = store.open()
    number = volume.content.number
    twin = InMemory(volume.parts.logs, "nas", "office")
    both: Elsewhere = twin
    both.want([Wish(number, 0, 1, both.places, 2, True)])
    assert both.proven(number, 0, 1) == frozenset()
    twin.deliver()
    assert await both.confirm(number, 0, 1) == {"nas", "office"}
    twin.at["nas"].lies.add(BlockRef(number, 0))
    block = (await both.fetch([BlockRef(number, 0)]))[BlockRef(number, 0)]
    assert block == volume.parts.logs[number].get(0)
    assert not volume.parts.logs[number].fits(0, twin.at["nas"].get(BlockRef(number, 0)))
    volume.parts.close()
