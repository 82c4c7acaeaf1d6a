"""For want of space versions go before their time, then deleted things; named snapshots and what keeps all never do."""

import random

from hyperfs.policy.attributes import KEEP
from hyperfs.values import ROOT_INO
from hyperfs.volume import keys
from hyperfs.volume.content import Room
from hyperfs.volume.making_room import LEAVE_SETTING, SHARE_SETTING, bytes_wanted, make_room, may_want_room
from hyperfs.volume.retaining import retain
from hyperfs.volume.volume import Volume

from .conftest import Store, damage, inode_of, make_folder, unlink, write_file

DAY = 24 * 3600.0
KIB = 1 << 10


def quiet(what: str, done: int, of: int) -> None:
    """Nobody watches."""


async def past(store: Store, volume: Volume, days: int = 60, each: int = 100 * KIB) -> None:
    """A version a day, with bytes of its own; every fifth day something is deleted."""
    for day in range(days):
        store.clock.forward(DAY)
        await write_file(volume, b"f", random.Random(day).randbytes(each))
        await volume.commit()
        if day % 5 == 0:
            store.clock.forward(3)
            inode = await write_file(volume, b"gone %d" % day, random.Random(1000 + day).randbytes(each))
            await volume.commit()
            store.clock.forward(3)
            unlink(volume, b"gone %d" % day)
            volume.forgotten(inode.ino)
            await volume.commit()
    await retain(volume, False, quiet)


async def test_no_more_goes_than_is_needed_and_deleted_things_last(store: Store) -> None:
    async with store.opened() as volume:
        await past(store, volume)
        pins = len(volume.versions.offers.pins)
        assert pins >= 5
        announced = await make_room(volume, 300 * KIB, True, quiet)
        kept = len(list(volume.versions.all()))
        assert announced.step == 1
        done = await make_room(volume, 300 * KIB, False, quiet)
        assert abs(done.pruned.bytes - announced.pruned.bytes) <= 0.05 * done.pruned.bytes
        assert done.pruned.bytes >= 300 * KIB
        assert len(list(volume.versions.all())) < kept
        assert len(volume.versions.offers.pins) >= pins
        assert "versions, of 20" in done.went
        assert damage(volume) == []
        done = await make_room(volume, 100 << 20, False, quiet)
        assert not volume.versions.offers.pins
        assert "deleted things ('gone " in done.went
        assert len([f for f in volume.versions.all() if f.second]) == 1
        assert done.pruned.bytes < done.wanted
        assert done.holds == "the present"
        assert damage(volume) == []


async def test_the_oldest_deleted_things_go_first(store: Store) -> None:
    async with store.opened() as volume:
        await past(store, volume)
        pins = {pin.name: pin.deleted_ns for pin in volume.versions.offers.pins}
        everything = await make_room(volume, 100 << 20, True, quiet)
        await make_room(volume, everything.pruned.bytes - 250 * KIB, False, quiet)
        left = {pin.name for pin in volume.versions.offers.pins}
        assert 0 < len(left) < len(pins)
        assert min(pins[name] for name in left) > max(when for name, when in pins.items() if name not in left)


async def test_named_snapshots_and_what_keeps_all_never_go(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"all")
        volume.xattrs.set(inode_of(volume, b"all"), KEEP, b"all")
        states = []
        for number in range(4):
            store.clock.forward(DAY)
            await write_file(volume, b"all/f", b"%d" % number * 9000)
            await write_file(volume, b"g", b"%d" % number * 9000)
            states.append((await volume.commit()).version)
        named = (await volume.make_snapshot(ROOT_INO, b"name")).version
        await past(store, volume, days=5)
        done = await make_room(volume, 100 << 20, False, quiet)
        assert done.holds == "the present and the snapshots name and '/all', which keeps all"
        assert all(volume.versions.is_kept(version) for version in [*states, named])
        assert volume.versions.tree(states[0]).inode(inode_of(volume, b"g").ino) is None
        assert volume.versions.tree(named).inode(inode_of(volume, b"g").ino) is not None
        assert damage(volume) == []


async def test_history_has_its_share_and_the_last_of_the_disk_is_left(store: Store) -> None:
    async with store.opened() as volume:
        await past(store, volume)
        logs = sum(log.size_on_disk() for log in volume.parts.logs.values())
        assert not may_want_room(volume, Room(1 << 30, 2 << 30))
        assert await bytes_wanted(volume, Room(1 << 30, 2 << 30), quiet) == 0
        short = await bytes_wanted(volume, Room(logs, 2 * logs), quiet)
        assert short == 0  # the present is no history
        assert await bytes_wanted(volume, Room(logs, logs), quiet) > 0
        assert await bytes_wanted(volume, Room(0, 100 * logs), quiet) == 5 * logs
        volume.overlay.set_fact(keys.setting_key(SHARE_SETTING), b"10%")
        assert await bytes_wanted(volume, Room(logs, 2 * logs), quiet) > short
        volume.overlay.set_fact(keys.setting_key(LEAVE_SETTING), b"0")
        assert await bytes_wanted(volume, Room(0, 100 * logs), quiet) == 0
