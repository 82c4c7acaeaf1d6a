"""What histories cost on the disk. Run by hand, in a quiet moment or not: nothing here is timed.

    python -m tests.bench.space [--git CLONE [--tags v2.20.0,v2.21.0] [--rewrite]] [--scale 0.1] [NAME ...]

NAME is git, image, photos, sqlite or small; without one all that can be done. Works on a volume in this process as
programs would through a mount, one version after each step. Counted is what the store's files take on the disk, in
1,000,000 bytes, the derived index too. Not counted are the reserve and, told apart, the journal: they are made in
advance, always as large, and what is in them is used again.
"""

import argparse
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from tests.bench import space_corpora as corpora
from tests.bench.drive import Drive, block_bytes, disk_bytes, run
from tests.bench.space_corpora import MIB, PAGE_BYTES, Sum

GIT_TAGS: Final = [f"v2.{number}.0" for number in range(20, 40)]
VERSIONS: Final = 10
Life = Callable[[Drive, Sum], Awaitable[str]]


def git(clone: str, tags: list[str], rewrite: bool) -> Life:
    """Releases of git, each rsynced over the last: what differs is saved by rename, what is gone is removed. With
    `rewrite` all files are saved, as `rsync -a` does where all times differ."""

    async def live(drive: Drive, total: Sum) -> str:
        old: dict[bytes, bytes] = {}
        size = 0
        for new in corpora.releases(clone, tags):
            for name, data in sorted(new.items()):
                total.add(name, data)
                size += len(data)
                if rewrite or old.get(name) != data:
                    await drive.save(name, data)
            for name in sorted(old.keys() - new.keys()):
                drive.unlink(name)
            await drive.volume.commit()
            old = new
        return f"{len(tags)} releases{', every file written anew' if rewrite else ''}, {size / 1e6:.0f} MB of trees"

    return live


def image(scale: float) -> Life:
    """A disk image in which pages change in place."""

    async def live(drive: Drive, total: Sum) -> str:
        size = int(512 * scale) * MIB
        changed = int(2.8 * scale * MIB / PAGE_BYTES)
        data = corpora.image(1, size)
        total.add(b"image", bytes(data))
        await drive.save(b"image", bytes(data))
        await drive.volume.commit()
        first = drive.volume.content.log.byte_length
        for version in range(1, VERSIONS):
            for offset, page in corpora.pages_changed(version, size, changed):
                total.add(b"%d" % offset, page)
                await drive.write_at(b"image", offset, page)
            await drive.volume.commit()
        grown = drive.volume.content.log.byte_length - first
        wrote = changed * PAGE_BYTES * (VERSIONS - 1)
        told = f"{first / 1e6:.1f} MB, then {grown / 1e6:.1f} for {wrote / 1e6:.1f} written"
        return f"{size // MIB} MiB; the first version {told}"

    return live


def photos(scale: float) -> Life:
    """Photos that move to another folder, and then get new headers."""

    async def live(drive: Drive, total: Sum) -> str:
        shots = corpora.photos(2, int(60 * scale) or 1, 3 * MIB)
        for name, data in shots.items():
            total.add(name, data)
            await drive.save(b"camera/" + name, data)
        await drive.volume.commit()
        for name, data in shots.items():
            await drive.save(b"2026/" + name, data)
            drive.unlink(b"camera/" + name)
        await drive.volume.commit()
        for number, (name, data) in enumerate(shots.items()):
            await drive.save(b"2026/" + name, corpora.with_header(data, number))
        await drive.volume.commit()
        size = sum(map(len, shots.values())) + 3000 * len(shots)
        return f"{len(shots)} photos, {size / 1e6:.1f} MB of distinct bytes"

    return live


def sqlite(scale: float) -> Life:
    """A database with 500 small updates a version."""

    async def live(drive: Drive, total: Sum) -> str:
        with tempfile.TemporaryDirectory() as folder:
            database = corpora.Database(Path(folder, "db"), 3, int(150_000 * scale))
            old = database.bytes()
            total.add(b"db", old)
            await drive.save(b"db", old)
            await drive.volume.commit()
            first, differ, pages = drive.used(), 0, 0
            for _ in range(VERSIONS):
                database.update(500)
                new = database.bytes()
                for offset in range(0, len(new), PAGE_BYTES):
                    was, now = old[offset : offset + PAGE_BYTES], new[offset : offset + PAGE_BYTES]
                    if was != now:
                        differ += sum(a != b for a, b in zip(was, now, strict=False))
                        pages += 1
                        total.add(b"%d" % offset, now)
                        await drive.write_at(b"db", offset, now)
                await drive.volume.commit()
                old = new
            cost = (drive.used() - first) / VERSIONS
        return (
            f"{len(old) / 1e6:.1f} MB; a version: {pages // VERSIONS} pages, {differ // VERSIONS} bytes differ, "
            f"{cost:.0f} stored"
        )

    return live


def small(scale: float) -> Life:
    """One small file of many changes by a few bytes: what a version costs in all."""

    async def live(drive: Drive, total: Sum) -> str:
        count = int(10_000 * scale)
        for number in range(count):
            data = b"%d\n" % number * 300
            total.add(b"", data)
            await drive.save(b"%02d/%05d" % (number % 40, number), data)
        await drive.volume.commit()
        before, parts = drive.used(), {number: log.byte_length for number, log in drive.volume.parts.logs.items()}
        for number in range(20):
            await drive.save(b"%02d/%05d" % (number, number), b"%d\n" % number * 300 + b"edited")
            await drive.volume.commit()
        logs = drive.volume.parts.logs
        grown = ", ".join(f"log {n}: {(logs[n].byte_length - size) // 20}" for n, size in parts.items())
        return f"{count} files; a version {(drive.used() - before) // 20} bytes ({grown})"

    return live


def measure(name: str, life: Life, folder: Path) -> None:
    total = Sum()
    told: list[str] = []
    blocks: dict[str, tuple[int, int]] = {}

    async def live(drive: Drive) -> None:
        told.append(await life(drive, total))
        blocks.update(block_bytes(drive.volume))

    store = folder / name
    run(store, live)
    parts = disk_bytes(store)
    journal = parts.pop("journal", 0)
    print(f"\n{name}: {told[0]}\n  SHA-256 of the corpus {total}")
    print(f"  store {sum(parts.values()) / 1e6:.2f} MB, and a journal of {journal / 1e6:.2f}")
    for kind, (number, size) in sorted(blocks.items()):
        print(f"    {kind:12} {number:8} blocks {size / 1e6:9.2f} MB")
    print(f"    {'index':12} {'':8}        {parts['index'] / 1e6:9.2f} MB")
    trees = sum(size for part, size in parts.items() if part.endswith("/tree"))
    print(f"    {'hash trees':12} {'':8}        {trees / 1e6:9.2f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--git", metavar="CLONE")
    parser.add_argument("--tags", default=",".join(GIT_TAGS))
    parser.add_argument("--rewrite", action="store_true")
    parser.add_argument("--scale", type=float, default=1.0)
    arguments = parser.parse_args()
    lives = {name: make(arguments.scale) for name, make in _MADE.items()}
    if arguments.git:
        lives["git"] = git(arguments.git, arguments.tags.split(","), arguments.rewrite)
    with tempfile.TemporaryDirectory(prefix="hyperfs-space-") as folder:
        for name in arguments.names or lives:
            measure(name, lives[name], Path(folder))


_MADE: Final[dict[str, Callable[[float], Life]]] = {"image": image, "photos": photos, "sqlite": sqlite, "small": small}


if __name__ == "__main__":
    main()
