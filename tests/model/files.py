"""Rules about open files and directories, with a name or without one by now."""

import os
import stat

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from . import calls
from .beside import Beside
from .calls import ANN, ROOT, UTIME_OMIT, User, bytes_of
from .listing import Listing
from .vocabulary import SIZES, flags, modes, numbers, owners, paths, sizes, users


class FileRules(Beside):
    """Calls that make or take a descriptor."""

    @initialize(seed=numbers)
    def begin(self, seed: int) -> None:
        """Some things to begin with, so that short examples already have something to work on."""
        self.both(ROOT, os.mkdir, b"a", 0o777)
        self.open(ANN, b"b", os.O_CREAT | os.O_RDWR, 0o666)
        self.pwrite(ANN, 0, 0, SIZES[seed % len(SIZES)], seed)

    @precondition(lambda self: len(self.mounted.files) < 6)
    @rule(user=users, path=paths, flags=flags, mode=modes)
    def open(self, user: User, path: bytes, flags: int, mode: int) -> None:
        number = self.next_number
        self.next_number += 1
        self.each(user, [(place.open, (number, path, flags, mode)) for place in self.places])

    @precondition(lambda self: self.mounted.files)
    @rule(number=numbers)
    def close(self, number: int) -> None:
        chosen = self.file(number)
        self.listings.pop(chosen, None)
        self.each(ROOT, [(place.close, (chosen,)) for place in self.places])

    @precondition(lambda self: self.mounted.files)
    @rule(user=users, number=numbers, offset=sizes, size=sizes, seed=numbers)
    def pwrite(self, user: User, number: int, offset: int, size: int, seed: int) -> None:
        data = bytes_of(seed, size)
        self.with_files(user, lambda fd: os.pwrite(fd, data, offset), self.file(number))

    @precondition(lambda self: self.mounted.files)
    @rule(user=users, number=numbers, size=sizes, seed=numbers)
    def write(self, user: User, number: int, size: int, seed: int) -> None:
        data = bytes_of(seed, size)
        self.with_files(user, os.write, self.file(number), data)

    @precondition(lambda self: self.mounted.files)
    @rule(number=numbers, size=sizes, offset=st.one_of(st.none(), sizes))
    def read(self, number: int, size: int, offset: int | None) -> None:
        if offset is None:
            self.with_files(ROOT, os.read, self.file(number), size)
        else:
            self.with_files(ROOT, os.pread, self.file(number), size, offset)

    @precondition(lambda self: self.mounted.files)
    @rule(number=numbers, offset=st.one_of(sizes, sizes.map(lambda size: -size)), whence=st.integers(0, 2))
    def seek(self, number: int, offset: int, whence: int) -> None:
        chosen = self.file(number)
        if not stat.S_ISDIR(os.fstat(self.mounted.files[chosen]).st_mode):
            self.with_files(ROOT, os.lseek, chosen, offset, whence)

    @precondition(lambda self: self.mounted.files)
    @rule(user=users, number=numbers, size=sizes)
    def ftruncate(self, user: User, number: int, size: int) -> None:
        self.with_files(user, os.ftruncate, self.file(number), size)

    @precondition(lambda self: self.mounted.files)
    @rule(number=numbers, offset=sizes, size=sizes, seed=numbers, flush=st.booleans())
    def map_and_write(self, number: int, offset: int, size: int, seed: int, flush: bool) -> None:
        data = bytes_of(seed, size)
        self.with_files(ROOT, calls.map_and_write, self.file(number), offset, data, flush)

    @precondition(lambda self: self.mounted.files)
    @rule(number=numbers)
    def map_and_read(self, number: int) -> None:
        self.with_files(ROOT, calls.map_and_read, self.file(number))

    @precondition(lambda self: self.mounted.files)
    @rule(number=numbers, other=numbers, count=sizes, at=sizes, to=sizes)
    def copy_range(self, number: int, other: int, count: int, at: int, to: int) -> None:
        source, target = self.file(number), self.file(other)
        self.each(
            ROOT,
            [(calls.copy_range, (p.files[source], p.files[target], count, at, to)) for p in self.places],
        )

    @precondition(lambda self: self.mounted.files)
    @rule(number=numbers, data_only=st.booleans())
    def sync(self, number: int, data_only: bool) -> None:
        self.with_files(ROOT, os.fdatasync if data_only else os.fsync, self.file(number))

    @precondition(lambda self: self.mounted.files)
    @rule(user=users, number=numbers, mode=modes, owner=owners)
    def change_open(self, user: User, number: int, mode: int, owner: int) -> None:
        """Attributes by descriptor, of things that may have no name any more."""
        chosen = self.file(number)
        self.with_files(user, os.fchmod, chosen, mode)
        self.with_files(user, os.fchown, chosen, owner, -1)
        self.with_files(user, calls.set_times, chosen, 10**15 + mode, UTIME_OMIT)
        self.next_number += 1
        self.with_files(user, os.setxattr, chosen, b"user.open", b"%d" % self.next_number)
        self.with_files(user, lambda fd: sorted(os.listxattr(fd)), chosen)

    # Listings while things change

    @precondition(lambda self: self.mounted.files)
    @rule(number=numbers, size=st.sampled_from([300, 600]))
    def list_some(self, number: int, size: int) -> None:
        chosen = self.file(number)
        fds = [place.files[chosen] for place in self.places]
        if not stat.S_ISDIR(os.fstat(fds[0]).st_mode):
            return
        listing = self.listings.get(chosen)
        if listing is None:
            for fd in fds:
                os.lseek(fd, 0, os.SEEK_SET)
            names = self.names_in(chosen)
            listing = self.listings[chosen] = Listing(chosen, set(names), set(names))
        ended = [self.list_more(listing, place, fd, size) for place, fd in enumerate(fds)]
        while any(ended) and not all(ended):
            ended = [done or self.list_more(listing, place, fds[place], size) for place, done in enumerate(ended)]
        if all(ended):
            del self.listings[chosen]
            for given in listing.given:
                assert listing.always <= set(given) <= listing.ever, (listing, given)
                assert all(given.count(name) == 1 for name in listing.always), (listing, given)

    def list_more(self, listing: Listing, place: int, fd: int, size: int) -> bool:
        """Whether the listing has come to its end. A removed directory's does at once."""
        try:
            some = calls.list_some(fd, size)
        except FileNotFoundError:
            some = None
        listing.given[place] += some or []
        return some is None
