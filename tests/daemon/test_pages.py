"""Long answers, a page at a time."""

import json
import tracemalloc
from collections.abc import Iterable, Iterator

import pytest

from hyperfs.daemon import wire
from hyperfs.daemon.pages import OPEN_MOST, PAGE_ITEMS, Pages
from hyperfs.daemon.paging import items
from hyperfs.daemon.wire import Message
from hyperfs.errors import BadRequest


def numbered(count: int, text: str = "") -> Iterator[Message]:
    return ({"number": number, "text": text} for number in range(count))


async def all_pages(pages: Pages, count: int, text: str = "") -> list[Message]:
    async def begin() -> Iterable[Message]:
        return numbered(count, text)

    found = [await pages.page({}, "numbers", begin)]
    while found[-1]["more"] is not None:
        found.append(await pages.page({"more": found[-1]["more"]}, "numbers", begin))
    return found


@pytest.mark.parametrize("count", [0, 1, PAGE_ITEMS - 1, PAGE_ITEMS, PAGE_ITEMS + 1, 3 * PAGE_ITEMS])
async def test_pages_together_are_the_whole_list(count: int) -> None:
    found = await all_pages(Pages(), count)
    assert [item["number"] for page in found for item in page["numbers"]] == list(range(count))


async def test_each_page_fits_a_line_however_long_its_texts() -> None:
    found = await all_pages(Pages(), 2000, "\udcff" * 4096)  # six bytes each in JSON
    assert max(len(wire.encode({"result": page})) for page in found) < wire.MAX_LINE_BYTES
    assert sum(len(page["numbers"]) for page in found) == 2000


async def test_a_list_is_never_in_memory_as_a_whole() -> None:
    pages = Pages()

    async def begin() -> Iterable[Message]:
        return numbered(20_000, "x" * 100)

    tracemalloc.start()
    try:
        page = await pages.page({}, "numbers", begin)
        while page["more"] is not None:
            page = await pages.page({"more": page["more"]}, "numbers", begin)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 << 20


async def test_who_left_in_the_middle_is_forgotten_when_others_come() -> None:
    pages = Pages()

    async def begin() -> Iterable[Message]:
        return numbered(PAGE_ITEMS + 1)

    first = await pages.page({}, "numbers", begin)
    for _ in range(OPEN_MOST):
        await pages.page({}, "numbers", begin)
    with pytest.raises(BadRequest, match="begin again"):
        await pages.page({"more": first["more"]}, "numbers", begin)


def test_the_asker_gets_one_after_the_other() -> None:
    told = [{"numbers": [1, 2], "more": 7}, {"numbers": [3], "more": None}]
    asked: list[Message] = []

    def ask(name: str, params: Message) -> Message:
        asked.append(json.loads(json.dumps(params)))
        return told[len(asked) - 1]

    found = items(ask, "count", {"path": ""}, "numbers")
    assert asked == [{"path": ""}]  # what is wrong with the question is said before anything is printed
    assert list(found) == [1, 2, 3]
    assert asked[1:] == [{"path": "", "more": 7}]
