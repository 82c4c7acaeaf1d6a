"""A directory stream read in pieces: the same at a position whenever it is asked, whatever comes and goes."""

import random
from bisect import bisect_right
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfs.fuse.listing import PIECE_ENTRIES, Item, Listing

SIZES = st.sampled_from([0, 1, PIECE_ENTRIES - 1, PIECE_ENTRIES, PIECE_ENTRIES + 1, 3 * PIECE_ENTRIES + 7])


class Folder:
    """Names in order, which a test changes; counts what is read of it."""

    def __init__(self, count: int) -> None:
        self.names = [b"%06d" % (2 * number) for number in range(count)]
        self.read = 0

    def after(self, item: Item | None) -> Iterator[Item]:
        names = list(self.names)
        for name in names[0 if item is None else bisect_right(names, item[0]) :]:
            self.read += 1
            yield name, int(name) - 7


def listed(listing: Listing, start: int = 0) -> list[Item]:
    found = []
    while (item := listing.at(start + len(found))) is not None:
        found.append(item)
    return found


@given(SIZES)
def test_everything_is_listed_once_and_in_order(count: int) -> None:
    folder = Folder(count)
    assert listed(Listing(folder.after)) == [(name, int(name) - 7) for name in folder.names]


@settings(deadline=None)
@given(SIZES, st.randoms(use_true_random=False), st.lists(st.integers(0, 4 * PIECE_ENTRIES), max_size=20))
def test_a_position_keeps_its_entry(count: int, rng: random.Random, looks: list[int]) -> None:
    folder = Folder(count)
    stayed = set(rng.sample(folder.names, count // 2))
    listing = Listing(folder.after)
    seen: dict[int, Item | None] = {}
    for position in looks:
        found = listing.at(position)
        assert seen.setdefault(position, found) == found
        folder.names = sorted({*stayed, *(b"%06d" % rng.randrange(4 * count + 1) for _ in range(5))})
    names = [name for name, _ in listed(listing)]
    assert names == sorted(set(names))
    assert stayed <= set(names)
    assert all(listing.at(position) == found for position, found in seen.items())


def test_no_more_is_read_than_a_piece_at_a_time() -> None:
    folder = Folder(10_000)
    listing = Listing(folder.after)
    listing.at(0)
    assert folder.read == PIECE_ENTRIES
    listing.at(PIECE_ENTRIES)
    assert folder.read == 2 * PIECE_ENTRIES


def test_attack_d05_a_large_folder_takes_little_memory() -> None:
    listing = Listing(Folder(50_000).after)
    listing.at(49_999)
    assert listing.nbytes < 50_000 * 4 + PIECE_ENTRIES * 100
