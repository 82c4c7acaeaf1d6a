"""The bound holds at every moment; a scan does not empty the cache; threads may share it."""

from concurrent.futures import ThreadPoolExecutor

from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfs.chunks.cache import BlockCache

keys = st.integers(0, 30)
steps = st.one_of(
    st.tuples(st.just("put"), keys, st.integers(0, 60)),
    st.tuples(st.just("get"), keys, st.just(0)),
    st.tuples(st.just("discard"), keys, st.just(0)),
    st.tuples(st.just("clear"), st.just(0), st.just(0)),
)


@settings(max_examples=300)
@given(st.integers(0, 400), st.lists(steps, max_size=80))
def test_it_is_bounded_and_never_gives_a_stale_value(
    capacity: int, history: list[tuple[str, int, int]]
) -> None:
    cache: BlockCache[int, int] = BlockCache(capacity)
    newest: dict[int, tuple[int, int]] = {}  # key -> value, cost
    for moment, (name, key, cost) in enumerate(history):
        if name == "put":
            cache.put(key, moment, cost)
            newest[key] = (moment, cost)
        elif name == "get":
            found = cache.get(key)
            assert found is None or found == newest[key][0]
        elif name == "discard":
            cache.discard(key)
            newest.pop(key, None)
        else:
            cache.clear()
            newest.clear()
        assert cache.size_bytes <= capacity
    left = [key for key in newest if cache.get(key) is not None]
    assert cache.size_bytes == sum(newest[key][1] for key in left)
    assert len(cache) == len(left)


def test_what_is_used_again_survives_a_scan() -> None:
    cache: BlockCache[str, bytes] = BlockCache(1000)
    for name in ("a", "b"):
        cache.put(name, b"", 100)
    for name in ("a", "b", "a"):
        cache.get(name)
    for number in range(100):
        cache.put(f"scan {number}", b"", 100)
        for _ in range(3):  # a block is read in several requests
            assert cache.get(f"scan {number}") is not None
    assert cache.get("a") is not None
    assert cache.get("scan 0") is None


def test_what_is_too_big_is_not_kept_and_drops_the_old_value() -> None:
    cache: BlockCache[int, str] = BlockCache(800)
    cache.put(1, "old", 100)
    cache.put(1, "new", 101)
    assert cache.get(1) is None
    assert cache.size_bytes == 0


def test_threads_share_it_within_the_bound() -> None:
    cache: BlockCache[int, int] = BlockCache(5_000)

    def work(seed: int) -> None:
        for step in range(3_000):
            key = (step * (seed + 3)) % 97
            if step % 3 == 0:
                cache.put(key, key, 50 + key)
            elif step % 50 == 1:
                cache.discard(key)
            else:
                found = cache.get(key)
                assert found is None or found == key
            assert cache.size_bytes <= 5_000

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert cache.size_bytes == sum(50 + key for key in range(97) if cache.get(key) is not None)
