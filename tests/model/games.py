"""What several processes do at once to the same names and files, and what each of them can then say for sure."""

import errno
import fcntl
import os
import random
import zlib
from collections.abc import Callable
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from typing import Any

from tests.model import calls
from tests.mount.test_alike import Program, answer

NOREPLACE = 1
EXCHANGE = 2
BEATEN = {errno.EEXIST, errno.ENOENT, errno.ENOTEMPTY}
WAIT_SECONDS = 120

Facts = dict[str, Any]


def play(game: str, number: int, folder: str, rounds: int, seed: int, barrier: Barrier, said: "Queue[Facts]") -> None:
    """Runs in a process of its own; what it says ends with its facts, or with the error."""
    try:
        os.chdir(folder)
        facts = GAMES[game](number, rounds, random.Random(f"{seed} {number}"), barrier)
        os.chdir("/")
        said.put({"number": number, **facts})
    except BaseException as error:
        said.put({"number": number, "error": repr(error)})
        raise


# Names that only one can have


def create(name: str, own: str) -> None:
    fd = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    os.write(fd, own.encode())
    os.close(fd)


def rename_to(name: str, own: str) -> None:
    create(own, own)
    calls.rename(own.encode(), name.encode(), NOREPLACE)


def link_to(name: str, own: str) -> None:
    create(own, own)
    os.link(own, name)


def take_away(name: str, own: str) -> None:
    os.rename(f"there-{name}", own)


def rename_folder_over_empty(name: str, own: str) -> None:
    """A folder may replace an empty one, so of several full ones the first stays."""
    os.mkdir(own)
    create(f"{own}/full", own)
    os.rename(own, f"empty-{name}")


ATTEMPTS: dict[str, Callable[[str, str], None]] = {
    "create": create,
    "mkdir": lambda name, _: os.mkdir(name),
    "symlink": lambda name, own: os.symlink(own, name),
    "mkfifo": lambda name, _: os.mkfifo(name),
    "rename": rename_to,
    "link": link_to,
    "unlink": lambda name, _: os.unlink(f"there-{name}"),
    "rmdir": lambda name, _: os.rmdir(f"empty-{name}"),
    "take": take_away,
    "replace": rename_folder_over_empty,
}


def one_wins(number: int, rounds: int, rng: random.Random, barrier: Barrier) -> Facts:
    """All try the same at once. Says which attempts were its own to succeed."""
    wins = []
    for round_number in range(rounds):
        for attempt, call in ATTEMPTS.items():
            name = f"{attempt}-{round_number}"
            if number == 0:
                with open(f"there-{name}", "w"):
                    os.mkdir(f"empty-{name}")
            barrier.wait(WAIT_SECONDS)
            try:
                call(name, f"{name}-own-{number}")
                wins.append(name)
            except OSError as error:
                if error.errno not in BEATEN:
                    raise
    return {"wins": wins}


# One file, many hands


def append(number: int, rounds: int, rng: random.Random, barrier: Barrier) -> Facts:
    """Lines of many lengths by one O_APPEND descriptor each."""
    fd = os.open("log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    barrier.wait(WAIT_SECONDS)
    for serial in range(rounds):
        filling = bytes([97 + number]) * rng.choice([0, 10, 1000, 5000, 70_000 if serial % 20 == 0 else 300])
        line = b"%d %d %d %s\n" % (number, serial, zlib.crc32(filling), filling)
        assert os.write(fd, line) == len(line)
        if serial % 50 == 49:
            os.fsync(fd)
    os.close(fd)
    return {"lines": rounds}


def count_under_lock(number: int, rounds: int, rng: random.Random, barrier: Barrier) -> Facts:
    """A counter that is read and written under a record lock, or a lock of the whole file."""
    fds = [os.open(name, os.O_CREAT | os.O_RDWR) for name in ("counter-fcntl", "counter-flock")]
    barrier.wait(WAIT_SECONDS)
    for _ in range(rounds):
        for fd, lock in zip(fds, (fcntl.lockf, fcntl.flock), strict=True):
            lock(fd, fcntl.LOCK_EX)
            value = int(os.pread(fd, 20, 0) or b"0")
            os.pwrite(fd, b"%020d" % (value + 1), 0)
            lock(fd, fcntl.LOCK_UN)
    return {"counted": rounds}


def replace_and_read(number: int, rounds: int, rng: random.Random, barrier: Barrier) -> Facts:
    """Some save by rename, the others always find the name, and a whole state behind it."""
    if number == 0:
        save("config", b"first", 0)
    barrier.wait(WAIT_SECONDS)
    found = 0
    for serial in range(rounds):
        if number % 2 == 0:
            save("config", rng.randbytes(rng.choice([10, 600, 5000, 200_000])), number)
        else:
            with open("config", "rb") as file:
                head, _, body = file.read().partition(b"\n")
            assert int(head) == zlib.crc32(body), (serial, head, len(body))
            found += 1
    return {"found": found}


def save(name: str, body: bytes, number: int) -> None:
    with open(f"{name}.new-{number}", "wb") as file:
        file.write(b"%d\n%s" % (zlib.crc32(body), body))
    os.rename(f"{name}.new-{number}", name)


# One tree, many hands


def move_folders(number: int, rounds: int, rng: random.Random, barrier: Barrier) -> Facts:
    """Folders into each other, by paths that may be gone: none is lost, none becomes its own ancestor."""
    if number == 0:
        for name in range(12):
            os.mkdir(f"f{name}")
    barrier.wait(WAIT_SECONDS)
    moved = 0
    for _ in range(rounds):
        folders = [folder for folder, _, _ in os.walk(".") if folder != "."]
        if not folders:
            continue
        one, other = rng.choice(folders), rng.choice([".", *folders])
        try:
            if rng.random() < 0.3:
                calls.rename(one.encode(), rng.choice(folders).encode(), EXCHANGE)
            else:
                calls.rename(one.encode(), os.path.join(other, os.path.basename(one)).encode(), NOREPLACE)
            moved += 1
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.EINVAL, errno.EEXIST}:
                raise
    return {"moved": moved}


def link_and_unlink(number: int, rounds: int, rng: random.Random, barrier: Barrier) -> Facts:
    """Names of one file come and go by all hands. Says how many of its own it left."""
    if number == 0:
        create("file", "0")
    barrier.wait(WAIT_SECONDS)
    mine: list[str] = []
    for serial in range(rounds):
        if mine and rng.random() < 0.5:
            os.unlink(mine.pop(rng.randrange(len(mine))))
        else:
            mine.append(f"name-{number}-{serial}")
            os.link("file", mine[-1])
    return {"left": len(mine)}


def alone(number: int, rounds: int, rng: random.Random, barrier: Barrier) -> Facts:
    """Any operations in a folder of its own, and the same in a plain one, to which the name `plain` leads."""
    roots = [os.path.join(os.fsencode(os.path.realpath(top)), b"own-%d/" % number) for top in (".", "plain")]
    for root in roots:
        os.mkdir(root)
    barrier.wait(WAIT_SECONDS)
    program = Program(rng)
    for serial in range(rounds):
        step = program.step()
        answers = [answer(step, place, root) for place, root in enumerate(roots)]
        assert answers[0] == answers[1], (serial, answers)
    program.close_all()
    return {"operations": rounds}


GAMES: dict[str, Callable[[int, int, random.Random, Barrier], Facts]] = {
    "one_wins": one_wins,
    "append": append,
    "count_under_lock": count_under_lock,
    "replace_and_read": replace_and_read,
    "move_folders": move_folders,
    "link_and_unlink": link_and_unlink,
    "alone": alone,
}
