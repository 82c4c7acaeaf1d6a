from hyperfs.volume.sync_pace import DIRECT_SECONDS, LOOK_EVERY, TRUSTED_SYNCS, SyncPace


def quick(pace: SyncPace, times: int) -> list[bool]:
    """Whether each of so many quick syncs was direct."""
    told = []
    for _ in range(times):
        told.append(pace.direct)
        pace.took(DIRECT_SECONDS / 2, shared=False)
    return told


def test_a_disk_must_have_been_quick_for_a_while() -> None:
    pace = SyncPace()
    assert not any(quick(pace, TRUSTED_SYNCS))
    assert pace.direct


def test_one_slow_sync_takes_the_trust_away() -> None:
    pace = SyncPace()
    quick(pace, TRUSTED_SYNCS)
    pace.took(2 * DIRECT_SECONDS, shared=False)
    assert not any(quick(pace, TRUSTED_SYNCS))
    assert pace.direct


def test_where_others_ask_meanwhile_they_share() -> None:
    pace = SyncPace()
    quick(pace, TRUSTED_SYNCS)
    pace.took(0.0, shared=True)
    assert not pace.direct


def test_now_and_then_it_is_looked_whether_others_ask() -> None:
    told = quick(SyncPace(), 10 * LOOK_EVERY)
    assert told[LOOK_EVERY:].count(False) == 9
