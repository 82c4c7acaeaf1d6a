"""Retention in the background: what it does in a turn, on a real volume with a clock that tests wind."""

import errno
import random
from pathlib import Path

import pytest
import trio

from hyperfs.daemon.drive import Drive
from hyperfs.daemon.retention import Clocks, Retention
from hyperfs.policy.retention import DAY_NS, HOUR_NS
from hyperfs.volume import brake_record
from hyperfs.volume.brake_record import ON, BrakeRecord
from hyperfs.volume.content import Room
from hyperfs.volume.creating import create_store
from hyperfs.volume.volume import Volume
from tests.volume.conftest import DRIVE, Clock, Store, write_file
from tests.volume.faults import Faults

HOUR = 3600.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store", Clock())
    create_store(store.path, DRIVE, b"no key file is read here", store.options())
    return store


def retention_of(store: Store, volume: Volume, counted: Clock | None = None) -> Retention:
    """`counted`: else the clock that counts goes as the wall clock does."""
    return Retention(Drive(volume, store.path), Clocks(store.clock, counted or store.clock))


def failing_punch(operation: str, path: str) -> None:
    if operation == "punch":
        raise OSError(errno.EIO, "no", path)


async def edits(store: Store, volume: Volume, hours: int) -> None:
    for number in range(3 * hours):
        store.clock.forward(HOUR / 3)
        await write_file(volume, b"f", random.Random(number).randbytes(9000))
        await volume.commit()


def listed(volume: Volume) -> int:
    return sum(1 for found in volume.versions.all() if found.second)


async def test_a_turn_lets_go_of_what_is_due_and_frees_it_once_a_day(store: Store) -> None:
    async with store.opened() as volume:
        retention = retention_of(store, volume)
        await edits(store, volume, 6)
        before = listed(volume)
        await retention.turn()
        assert listed(volume) < before - 8
        freed = volume.parts.catalog.collected()
        assert freed is not None  # the first time there is nothing to wait for
        await edits(store, volume, 3)
        await retention.turn()
        assert volume.parts.catalog.collected() == freed
        store.clock.forward(24 * HOUR)
        await retention.turn()
        assert volume.parts.catalog.collected() != freed
        assert volume.parts.catalog.cleared.ranges(volume.parts.metadata_number)
        assert "retention" not in volume.warnings


async def test_while_the_brake_is_on_nothing_goes_for_age_or_want_of_space(store: Store) -> None:
    async with store.opened() as volume:
        await edits(store, volume, 6)
        brake = BrakeRecord(ON, store.clock(), 2, 9, 1, 600, 600, 600, b"")
        volume.overlay.set_fact(brake_record.KEY, brake_record.encode(brake))
    async with store.opened() as volume:
        before = listed(volume)
        retention = retention_of(store, volume)
        await retention.turn()
        await retention.look_for_room(Room(0, 1 << 30))
        assert listed(volume) == before
        await volume.brake.release()
        await retention.turn()
        assert listed(volume) < before


async def test_what_is_in_use_waits(store: Store) -> None:
    async with store.opened() as volume:
        retention = retention_of(store, volume)
        await edits(store, volume, 6)
        version = next(f.version for f in volume.versions.all() if f.second)
        with volume.reads(version + 2):
            volume.look(version + 3)
            await retention.turn()
            assert volume.versions.is_kept(version + 2)
            assert volume.versions.is_kept(version + 3)


async def test_attack_d03_a_clock_that_was_set_forward_lets_nothing_go(store: Store) -> None:
    async with store.opened() as volume:
        counted = Clock()
        retention = retention_of(store, volume, counted)
        await edits(store, volume, 2)
        counted.forward(2 * HOUR)
        before = listed(volume)
        store.clock.now_ns += 400 * DAY_NS
        await retention.turn()
        assert listed(volume) == before
        assert "was set forward by 9600 hours" in volume.warnings["retention-clock"]
        store.clock.now_ns += 24 * HOUR_NS
        counted.forward(24 * HOUR)
        await retention.turn()
        assert "retention-clock" not in volume.warnings
        assert listed(volume) < before


async def test_a_disk_that_is_nearly_full_makes_more_go_and_status_says_what(store: Store) -> None:
    async with store.opened() as volume:
        retention = retention_of(store, volume)
        await edits(store, volume, 40)
        await retention.turn()
        before = listed(volume)
        await retention.look_for_room(Room(10 << 30, 20 << 30))
        assert listed(volume) == before
        await retention.look_for_room(Room(0, 2 << 20))
        assert listed(volume) < before
        assert "versions, of 20" in volume.warnings["history-room"]
        assert "was nearly full" in volume.warnings["history-room"]


async def test_it_stands_aside_for_a_prune_by_hand(store: Store) -> None:
    async with store.opened() as volume:
        drive = Drive(volume, store.path)
        retention = drive.background = Retention(drive, Clocks(store.clock, store.clock))
        await edits(store, volume, 6)
        async with volume.collecting:
            await retention.turn()  # does not wait
        async with trio.open_nursery() as nursery:
            nursery.start_soon(retention.turn)
            while not volume.collecting.locked():
                await trio.lowlevel.checkpoint()
            with trio.fail_after(60):
                await drive.have_whole()
            assert not volume.collecting.locked()
        assert not volume.parts.catalog.only_live
        await retention.turn()
        assert volume.parts.catalog.collected() is not None


async def test_a_drive_that_turned_read_only_is_left_alone(store: Store) -> None:
    async with store.opened() as volume:
        retention = retention_of(store, volume)
        await edits(store, volume, 6)
        volume.journaling.read_only_because = "a test says so"
        await retention.turn()
        assert volume.parts.catalog.collected() is None
        volume.journaling.read_only_because = None
        await retention.turn()
        assert volume.parts.catalog.collected() is not None


async def test_what_fails_is_a_warning_and_is_tried_again(store: Store) -> None:
    faults = Faults()
    store.disk = faults.disk
    async with store.opened() as volume:
        retention = retention_of(store, volume)
        await edits(store, volume, 6)
        faults.before = failing_punch
        await retention.turn()
        assert "could not be let go" in volume.warnings["retention"]
        faults.before = lambda operation, path: None
        await retention.turn()
        assert "retention" not in volume.warnings
