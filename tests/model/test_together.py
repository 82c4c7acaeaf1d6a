"""Several processes at once, in the same folder: who may win does, nobody else, and nothing is lost or torn."""

import multiprocessing
import os
import zlib
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from tests import tally
from tests.model.beside import MOUNT_FLAGS
from tests.model.games import ATTEMPTS, play  # by the name that new processes know it by
from tests.mount.drive import Drive, until
from tests.mount.test_alike import assert_same, tree_of

ALL = os.environ.get("HYPERFS_ALL") == "1"
MORE = int(os.environ.get("HYPERFS_TOGETHER", "20" if ALL else "1"))
"""How many times as many rounds as in the quick setting."""
SEED = int(os.environ.get("HYPERFS_SEED", "1"))
PROCESSES = 4
LIMIT_SECONDS = 3600 if ALL else 240

pytestmark = pytest.mark.timeout(LIMIT_SECONDS + 60)


def all_play(game: str, folder: Path, rounds: int) -> list[dict[str, Any]]:
    """What each process says, by its number."""
    context = multiprocessing.get_context("spawn")
    barrier, said = context.Barrier(PROCESSES), context.Queue()
    rounds *= MORE
    players = [
        context.Process(target=play, args=(game, number, os.fspath(folder), rounds, SEED, barrier, said))
        for number in range(PROCESSES)
    ]
    for player in players:
        player.start()
    try:
        until("all have ended", lambda: said.qsize() == PROCESSES or not all(map(alive, players)), LIMIT_SECONDS)
        facts = [said.get(timeout=20) for _ in players]
    finally:
        for player in players:
            player.join(20)
            player.kill()
            player.join()
            player.close()
        said.close()
        said.join_thread()
    assert [fact for fact in facts if "error" in fact] == []
    tally.add(f"rounds of {PROCESSES} processes at once", rounds, seed=SEED)
    return sorted(facts, key=lambda fact: fact["number"])


def alive(player: BaseProcess) -> bool:
    """Whether it goes on, or has ended well."""
    return player.exitcode in (None, 0)


@pytest.fixture
def folder(drive: Drive, request: pytest.FixtureRequest) -> Path:
    made: Path = drive.point / request.node.name
    made.mkdir()
    return made


def test_of_several_who_want_a_name_one_gets_it(folder: Path) -> None:
    facts = all_play("one_wins", folder, 10)
    wins = sorted(name for fact in facts for name in fact["wins"])
    assert wins == sorted(f"{attempt}-{number}" for attempt in ATTEMPTS for number in range(10 * MORE))
    for fact in facts:
        for name in fact["wins"]:
            own = f"{name}-own-{fact['number']}"
            if name.startswith(("create", "rename", "link")):
                assert (folder / name).read_text() == own
            elif name.startswith("symlink"):
                assert os.readlink(folder / name) == own
            elif name.startswith("replace"):
                assert (folder / f"empty-{name}" / "full").read_text() == own


def test_appends_of_several_are_all_there_and_whole(folder: Path, drive: Drive) -> None:
    facts = all_play("append", folder, 150)
    data = (folder / "log").read_bytes()
    serials: dict[int, int] = {}
    for line in data.splitlines():
        number, serial, checksum, filling = line.split(b" ")
        assert zlib.crc32(filling) == int(checksum)
        assert int(serial) == serials.get(int(number), -1) + 1
        serials[int(number)] = int(serial)
    assert serials == {fact["number"]: fact["lines"] - 1 for fact in facts}
    drive.remount(*MOUNT_FLAGS)
    assert (folder / "log").read_bytes() == data


def test_locks_keep_a_counter(folder: Path) -> None:
    facts = all_play("count_under_lock", folder, 150)
    for name in ("counter-fcntl", "counter-flock"):
        assert int((folder / name).read_text()) == sum(fact["counted"] for fact in facts)


def test_a_name_that_is_saved_over_is_always_there_and_whole(folder: Path) -> None:
    all_play("replace_and_read", folder, 100)
    assert os.listdir(folder) == ["config"]


def test_folders_that_are_moved_about_by_several_are_never_lost(folder: Path, drive: Drive) -> None:
    all_play("move_folders", folder, 50)
    check_folders(folder)
    drive.remount(*MOUNT_FLAGS)
    check_folders(folder)


def check_folders(folder: Path) -> None:
    found = [(path, names) for path, names, _ in os.walk(folder)]
    assert sorted(name for _, names in found for name in names) == sorted(f"f{number}" for number in range(12))
    for path, names in found:
        assert os.stat(path).st_nlink == 2 + len(names)
        assert os.stat(os.path.join(path, "..")).st_ino == os.stat(os.path.dirname(path)).st_ino


def test_links_are_counted_right_by_several(folder: Path, drive: Drive) -> None:
    facts = all_play("link_and_unlink", folder, 60)
    left = sum(fact["left"] for fact in facts)
    for _ in range(2):
        assert os.stat(folder / "file").st_nlink == left + 1
        assert len(os.listdir(folder)) == left + 1
        drive.remount(*MOUNT_FLAGS)


def test_each_in_a_folder_of_its_own_sees_what_it_would_see_alone(folder: Path, plain: Path, drive: Drive) -> None:
    (folder / "plain").symlink_to(plain)
    all_play("alone", folder, 200)
    (folder / "plain").unlink()
    assert_same(tree_of(os.fsencode(folder) + b"/"), tree_of(os.fsencode(plain) + b"/"), "live")
    drive.remount(*MOUNT_FLAGS)
    assert_same(tree_of(os.fsencode(folder) + b"/"), tree_of(os.fsencode(plain) + b"/"), "mounted again")
