"""Programs that may bring back what they like: settings of the drive."""

import pytest

from hyperfs.errors import InvalidArgument, NoAttribute
from hyperfs.policy.scanning import MOST_FILES, Program
from hyperfs.volume import allowed

from .conftest import Store


async def test_what_is_allowed_is_no_scan_and_is_remembered(store: Store) -> None:
    program = Program("/usr/bin/rsync", "/user.slice")
    async with store.opened() as volume:
        await allowed.allow(volume, "rsync")
        await allowed.allow(volume, "/usr/bin/find")
    async with store.opened() as volume:
        for ino in range(MOST_FILES + 1):
            volume.scans.note(program, ino, 1, 0.0)
        assert volume.scans.is_scan(program, 0.0)
        allowed.load(volume)
        assert volume.scans.allowed == {"rsync", "/usr/bin/find"}
        assert not volume.scans.is_scan(program, 0.0)
        await allowed.allow(volume, "rsync", on=False)
        assert volume.scans.is_scan(program, 0.0)
        with pytest.raises(NoAttribute):
            await allowed.allow(volume, "rsync", on=False)
        for wrong in ("", "x" * 513):
            with pytest.raises(InvalidArgument):
                await allowed.allow(volume, wrong)
