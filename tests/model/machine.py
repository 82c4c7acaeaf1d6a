"""The state machine: any calls in any order, on the drive and on a plain folder, with remounts and kills in between."""

import os
import shutil
import stat
import subprocess
from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests import tally
from tests.mount.drive import sync_filesystem

from .beside import MOUNT_FLAGS
from .calls import User
from .files import FileRules
from .names import NameRules
from .seen import Things, differences, everything, glance, times
from .vocabulary import SHORT, numbers, seldom, sizes, users


class Machine(NameRules, FileRules):
    """All rules, and the ends of the drive's process."""

    def close_files(self) -> None:
        self.listings.clear()
        for place in self.places:
            place.close_all()
        self.before = self.look()

    @rule(really=seldom, flush=st.booleans())
    def mount_again(self, really: bool, flush: bool) -> None:
        if not really:
            return
        self.close_files()
        if flush:
            sync_filesystem(self.drive.point)
        self.ended(self.drive.unmount, "remounts")

    @rule(really=seldom)
    def kill_after_snapshot(self, really: bool) -> None:
        """What a snapshot holds is on the disk: all of it is there after a kill, with every time."""
        if not really:
            return
        self.close_files()
        type(self).kills += 1
        self.drive.snapshot(f"kill-{self.kills}")
        self.ended(self.drive.kill, "kills behind a snapshot")

    def ended(self, end: Callable[[], None], what: str) -> None:
        self.failed = True
        before = times(self.before[0])
        end()
        self.drive.mount(*MOUNT_FLAGS)
        after = times(glance(self.mounted, self.tops[0]))
        wrong = differences(before, after)
        assert not wrong, "\n".join([f"times, before and after {what}:", *wrong])
        self.same_everything(f"after {what}")
        self.before = self.look()
        tally.add(what, 1, seed=self.label)

    @rule(really=seldom, user=users, path=st.sampled_from(SHORT), seed=numbers, size=sizes)
    def kill_after_fsync(self, really: bool, user: User, path: bytes, seed: int, size: int) -> None:
        """An fsync makes one file's bytes durable, and all names and attributes; not other files' bytes."""
        if not really:
            return
        self.open(user, path, os.O_CREAT | os.O_RDWR | os.O_NONBLOCK, 0o666)
        number = self.next_number - 1
        if number not in self.mounted.files:
            return
        self.pwrite(user, len(self.mounted.files) - 1, 0, size, seed)
        name = self.name_of(number)
        os.fsync(self.mounted.files[number])
        self.failed = True
        wanted = everything(self.tops[1])
        self.drive.kill()
        for place in self.places:
            place.close_all()
        self.listings.clear()
        self.drive.mount(*MOUNT_FLAGS)
        found = everything(self.tops[0])
        wrong = differences(without_bytes(found, name), without_bytes(wanted, name))
        assert not wrong, "\n".join(["after an fsync and a kill, mounted and plain:", *wrong])
        self.take_over()
        self.failed = False
        tally.add("kills behind an fsync", 1, seed=self.label)

    def name_of(self, number: int) -> bytes:
        facts = self.before[0].facts
        wanted = facts[b"#%d" % number].st_ino
        return min(path for path, found in facts.items() if found.st_ino == wanted and not path.startswith(b"#"))

    def take_over(self) -> None:
        """The plain folder follows what the kill has left."""
        shutil.rmtree(self.tops[1])
        subprocess.run(["cp", "-a", "--sparse=never", *self.tops], check=True, timeout=60)
        self.before = self.look()


def without_bytes(things: Things, but: bytes) -> Things:
    """All but sizes and bytes of files, of which only `but` keeps its own."""
    return {
        path: entry if path == but or not isinstance(entry[3], bytes) or not is_file(entry) else loose(entry)
        for path, entry in things.items()
    }


def is_file(entry: tuple[object, ...]) -> bool:
    shown = entry[0]
    return isinstance(shown, tuple) and stat.S_ISREG(shown[0])


def loose(entry: tuple[object, ...]) -> tuple[object, ...]:
    shown = entry[0]
    assert isinstance(shown, tuple)
    return (*shown[:4], *entry[1:3])
