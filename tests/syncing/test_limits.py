"""How fast bytes go, by trio's own clock."""

import pytest
import trio
import trio.testing

from hyperfs.syncing.limits import Bucket, LimitedStream


def test_without_a_limit_nothing_waits() -> None:
    bucket = Bucket()
    assert [bucket.draw(10**9, now) for now in (0.0, 0.0, 1.0)] == [0.0, 0.0, 0.0]


def test_in_the_long_run_it_is_the_rate() -> None:
    bucket = Bucket()
    bucket.rate = 100_000
    now = 0.0
    for _ in range(100):
        now += bucket.draw(10_000, now)
    assert now == pytest.approx(10.0, abs=0.5)


def test_what_was_not_used_is_saved_up_for_a_moment_only() -> None:
    bucket = Bucket()
    bucket.rate = 100_000
    bucket.draw(1, 0.0)
    assert bucket.draw(25_000, 3600.0) == 0.0
    assert bucket.draw(25_000, 3600.0) == pytest.approx(0.25)


async def test_a_stream_goes_no_faster_either_way(autojump_clock: trio.testing.MockClock) -> None:
    up, down = Bucket(), Bucket()
    up.rate, down.rate = 50_000, 200_000
    near, far = trio.testing.memory_stream_pair()
    limited = LimitedStream(near, up, down)
    data = bytes(100_000)
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(limited.send_all, data)
        assert await _read(far, len(data)) == data
    assert trio.current_time() - start == pytest.approx(2.0, abs=0.3)
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(far.send_all, data)
        assert await _read(limited, len(data)) == data
    assert trio.current_time() - start == pytest.approx(0.5, abs=0.3)
    await limited.aclose()
    assert await far.receive_some() == b""


async def _read(stream: trio.abc.ReceiveStream, count: int) -> bytes:
    found = b""
    while len(found) < count:
        found += await stream.receive_some()
    return found
