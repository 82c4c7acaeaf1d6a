"""The pictures of docs/web.md: a drive with a past of some weeks, and the page on it in a real Chromium.

    python -m tests.web.pictures FOLDER     makes FOLDER/store, and FOLDER/web-*.png
"""

import os
import random
import shutil
import sys
import time
from pathlib import Path
from typing import Final

import trio
from playwright.sync_api import Page, sync_playwright

from hyperfs.crypto.wrap import KIND_DEVICE
from hyperfs.daemon import key_files
from hyperfs.values import ROOT_INO
from hyperfs.volume.creating import create_store, new_secrets
from hyperfs.volume.opening import open_volume
from hyperfs.volume.options import Options
from hyperfs.volume.volume import Volume
from tests.bench.scale_corpus import SECOND_NS, Clock, NoSyncDisk
from tests.cli.machine import Machine

from .conftest import start

PROGRAMS: Final = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
WEEKS: Final = 5
HOUR_NS: Final = 3600 * SECOND_NS
LINES: Final = (
    "The boat leaves at seven.",
    "Bring the blue folder.",
    "Anna has the keys of the shed.",
    "Two chapters are still missing.",
    "Ask about the lamp.",
    "Paint the fence before the rain.",
)
WIDE: Final = {"width": 1100, "height": 640}
LOW: Final = {"width": 1100, "height": 420}
NARROW: Final = {"width": 360, "height": 740}


class Past:
    """Some weeks in which somebody wrote on working days, and deleted a thing or two."""

    def __init__(self, volume: Volume, clock: Clock) -> None:
        self._volume = volume
        self._clock = clock
        self._rng = random.Random(5)
        self._notes, self._trip = (volume.names.make(ROOT_INO, name, 0o40755, 0, 0).ino for name in (b"notes", b"trip"))
        self._files: dict[tuple[int, bytes], int] = {}

    async def write(self, folder: int, name: bytes, text: str) -> None:
        if (folder, name) not in self._files:
            self._files[folder, name] = self._volume.names.make(folder, name, 0o100644, 0, 0).ino
        ino = self._files[folder, name]
        await self._volume.files.resize(self._volume.overlay.inode(ino), 0)
        await self._volume.files.write(self._volume.overlay.inode(ino), 0, text.encode())
        await self._commit()

    async def delete(self, folder: int, name: bytes) -> None:
        gone = self._volume.names.unlink(folder, name)
        self._volume.unlinked(gone)
        self._volume.forgotten(gone.ino)
        del self._files[folder, name]
        await self._commit()

    async def _commit(self) -> None:
        await self._volume.commit(write_back=False)
        self._clock.now_ns += self._rng.randrange(20, 2400) * SECOND_NS

    async def weeks(self) -> None:
        lines = list(LINES[:3])
        for day in range(7 * WEEKS):
            begin = self._clock.now_ns
            for number in range(0 if day % 7 in (5, 6) else self._rng.randrange(1, 9)):
                lines[self._rng.randrange(len(lines))] = f"{self._rng.choice(LINES)} ({day + 1})"
                if number % 3 == 0:
                    lines.append(self._rng.choice(LINES))
                await self.write(self._notes, b"letter.txt", "".join(f"{line}\n" for line in lines))
                await self.write(self._notes, b"diary.txt", "".join(f"Day {d + 1}.\n" for d in range(day + 1)))
            if day % 9 == 4:
                await self.write(self._notes, b"list %d.txt" % day, "flour\nsalt\n" * day)
                await self.write(self._trip, b"route %d.txt" % day, "north, then east\n" * day)
            if day % 9 == 8:
                await self.delete(self._notes, b"list %d.txt" % (day - 4))
            self._clock.now_ns = begin + 24 * HOUR_NS
        await self.delete(self._trip, b"route 4.txt")


def make(machine: Machine) -> None:
    clock = Clock(time.time_ns() - (7 * WEEKS * 24 + 2) * HOUR_NS)
    options = Options(disk=NoSyncDisk, wall_ns=clock)
    drive = new_secrets("Hyper", "desk")
    create_store(machine.store, drive, key_files.wrapped(KIND_DEVICE, drive.device_keys.to_bytes(), None), options)

    async def fill() -> None:
        async with open_volume(machine.store, drive.device_keys, options).running() as volume:
            volume.xattrs.set(volume.overlay.inode(ROOT_INO), b"user.hyperfs.keep", b"all")
            await Past(volume, clock).weeks()

    trio.run(fill)


def take(visitor: Page, folder: Path, name: str) -> None:
    visitor.wait_for_load_state("networkidle")
    visitor.screenshot(path=folder / f"{name}.png")


def look_around(visitor: Page, folder: Path) -> None:
    """A folder as it was, wide and narrow, and two versions of a file in it."""
    visitor.get_by_role("link", name="notes").click()
    slider = visitor.get_by_role("slider", name="Version")
    slider.focus()
    for key in ("PageDown", "PageDown", *["ArrowRight"] * 5):
        before = visitor.locator(".moment").get_attribute("data-address")
        visitor.keyboard.press(key)
        visitor.wait_for_function("before => document.querySelector('.moment').dataset.address !== before", arg=before)
    slider.blur()
    take(visitor, folder, "web-files")
    visitor.emulate_media(color_scheme="dark")
    visitor.set_viewport_size(NARROW)
    take(visitor, folder, "web-narrow")
    visitor.emulate_media(color_scheme="light")
    visitor.set_viewport_size(WIDE)
    visitor.get_by_role("link", name="letter.txt").click()
    visitor.get_by_role("button", name="Compare the two").click()
    take(visitor, folder, "web-compare")


def put_back(visitor: Page, folder: Path) -> None:
    """Of all that was deleted, one thing."""
    visitor.set_viewport_size(LOW)
    visitor.goto(visitor.url.rpartition("/")[0] + "/deleted?p=")
    visitor.get_by_role("button", name="Put back notes/list 22.txt").first.click()
    visitor.get_by_role("status").wait_for()
    take(visitor, folder, "web-deleted")


def main(folder: Path) -> None:
    machine = Machine(folder)
    make(machine)
    page = start(machine, machine.store, enter=False)
    program = next(filter(None, map(shutil.which, PROGRAMS)))
    try:
        with sync_playwright() as play:
            running = play.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"])
            visitor = running.new_page(viewport=WIDE)
            visitor.set_default_timeout(120_000)
            visitor.goto(page.url)
            look_around(visitor, folder)
            put_back(visitor, folder)
            running.close()
    finally:
        page.end()


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    os.environ["TZ"] = "UTC"
    main(Path(sys.argv[1]))
