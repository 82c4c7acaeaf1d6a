"""One call in two places, and everything that can be seen of them compared after it."""

import itertools
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from hypothesis.stateful import RuleBasedStateMachine

from tests import tally
from tests.mount.drive import Drive

from .calls import Answer, Place, User
from .listing import Listing
from .seen import Glance, Moment, Things, differences, different, everything, glance

COARSE_CLOCK = 5  # CLOCK_REALTIME_COARSE, for which Python has no name
MOUNT_FLAGS = ["allow-other"] if os.getuid() == 0 else []


class Beside(RuleBasedStateMachine):
    """`drive` and `plain` are set by the test; each example has a folder of its own on both."""

    drive: ClassVar[Drive]
    plain: ClassVar[Path]
    counter: ClassVar["itertools.count[int]"] = itertools.count(1)
    kills: ClassVar[int] = 0
    label: ClassVar[object] = None

    def __init__(self) -> None:
        super().__init__()
        if self.drive.process is None or self.drive.process.poll() is not None:
            self.drive.end()
            self.drive.mount(*MOUNT_FLAGS)
        self.box = b"box-%d" % next(self.counter)
        self.tops = [os.fsencode(where) + b"/" + self.box for where in (self.drive.point, self.plain)]
        self.places = [Place(top + b"/x/y/root") for top in self.tops]
        for place in self.places:
            os.makedirs(place.root)
            os.chmod(place.root, 0o777)
        self.mounted, self.beside = self.places
        self.next_number = 1
        self.listings: dict[int, Listing] = {}
        self.before = self.look()
        self.durable: Things = everything(self.tops[1])
        self.failed = False
        self.timed = True  # whether times are compared after this call

    def teardown(self) -> None:
        try:
            if not self.failed:
                self.same_everything("at the end")
        finally:
            for place in self.places:
                place.close_all()
            for top in self.tops:
                shutil.rmtree(top)
            tally.add("examples of mounted operations", 1)

    # Both at once

    def look(self) -> tuple[Glance, Glance]:
        return glance(self.mounted, self.tops[0]), glance(self.beside, self.tops[1])

    def both(self, user: User, call: Callable[..., Answer], *args: Any) -> Answer:
        """The call in both places: the answers are the same, and so is all that stat tells afterwards."""
        return self.each(user, [(call, args), (call, args)])

    def with_files(self, user: User, call: Callable[..., Answer], number: int, *args: Any) -> Answer:
        return self.each(user, [(call, (place.files[number], *args)) for place in self.places])

    def each(self, user: User, work: list[tuple[Callable[..., Answer], tuple[Any, ...]]]) -> Answer:
        self.failed = True
        answers: list[Answer] = []
        moments: list[Moment] = []
        for place, (call, args) in zip(self.places, work, strict=True):
            begin_ns = next_tick()
            answers.append(place.do(user, call, *args))
            moments.append(Moment(glance(place, self.tops[len(moments)]), begin_ns, time.time_ns()))
        assert answers[0] == answers[1], f"mounted: {brief(answers[0])}, plain: {brief(answers[1])}"
        wrong = list(different(moments[0], moments[1], self.before, self.timed))
        assert not wrong, "\n".join([f"after {brief(answers[0])}:", *wrong])
        self.before = (moments[0].seen, moments[1].seen)
        for listing in self.listings.values():
            self.follow(listing)
        self.failed = False
        tally.add("mounted operations compared", 1, seed=self.label)
        return answers[0]

    def same_everything(self, when: str) -> None:
        self.failed = True
        wrong = differences(everything(self.tops[0]), everything(self.tops[1]))
        assert not wrong, "\n".join([f"{when}, mounted and plain:", *wrong])
        self.failed = False

    def file(self, number: int) -> int:
        open_now = sorted(self.mounted.files)
        return open_now[number % len(open_now)]

    # Listings that go on while things change

    def names_in(self, number: int) -> set[bytes]:
        seen = self.before[0]
        return set(seen.names.get(seen.facts[b"#%d" % number].st_ino, ()))

    def follow(self, listing: Listing) -> None:
        names = self.names_in(listing.number)
        listing.always &= names
        listing.ever |= names


def next_tick() -> int:
    """Waits until the kernel's coarse clock, by which it sets times, has gone on. Returns its time."""
    begin = time.clock_gettime_ns(COARSE_CLOCK)
    while (now := time.clock_gettime_ns(COARSE_CLOCK)) == begin:
        time.sleep(0.0005)
    return now


def brief(answer: Answer) -> str:
    text = repr(answer)
    return text if len(text) < 400 else f"{text[:400]}... ({len(text)} characters)"
