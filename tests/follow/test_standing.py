"""A disk that is not mounted is no deletion."""

import pytest

from hyperfs.follow.facts import Identity
from hyperfs.follow.standing import Standing, why_not_it

WAS = Standing(Identity((8, 2)), b"/media/disk")


@pytest.mark.parametrize(
    ("now", "is_empty", "shares", "waits"),
    [
        (WAS, False, True, False),
        (WAS, True, False, True),  # emptied: it may be a server that lost its disk
        (Standing(Identity((1, 99)), b"/"), True, False, True),  # the mount point without its disk
        (Standing(Identity((1, 99)), b"/"), False, True, True),  # the same, and somebody wrote into it meanwhile
        (Standing(Identity((9, 2)), b"/media/disk"), False, True, False),  # the same disk after a start of the machine
        (Standing(Identity((9, 7)), b"/media/disk"), False, False, True),  # another disk
        (Standing(Identity((9, 7)), b"/media/disk"), False, True, False),  # the folder was put back from a backup
        (Standing(Identity((9, 7)), b"/media/disk2"), False, True, False),
        (Standing(Identity((9, 7)), b"/media/disk/docs"), False, True, False),
    ],
)
def test_what_looks_like_another_folder_is_waited_for(
    now: Standing, is_empty: bool, shares: bool, waits: bool
) -> None:
    assert (why_not_it(WAS, now, is_empty, True, lambda: shares) is not None) == waits
    assert why_not_it(WAS, now, is_empty, False, lambda: False) is None
    assert why_not_it(None, now, False, False, lambda: False) is None


def test_it_is_kept_as_written() -> None:
    assert Standing.decode(WAS.encode()) == WAS
