"""Whatever is damaged: verify finds it or it is harmless, repair makes nothing worse, and what is left is isolated.

HYPERFS_REPAIRS says how many damaged stores are repaired (600 for the full run), HYPERFS_REPAIR_SEED which.
"""

import os
import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Final

import pytest
import trio
from sample_drive import Drive, Listing, Reading, Sample, compare, digest, put
from test_repair import mend

from hyperfs.errors import HyperfsError
from hyperfs.volume.check import Report, verify
from tests import tally

ALL: Final = os.environ.get("HYPERFS_ALL") == "1"
REPAIRS: Final = int(os.environ.get("HYPERFS_REPAIRS", "200" if ALL else "24"))
SEED: Final = int(os.environ.get("HYPERFS_REPAIR_SEED", "1"))
MOST_DAMAGES: Final = 4
BEYOND_REPAIR: Final = ("control", "keys")
"""Without these nothing can be proven or opened, and there is one copy of each."""


def damage_some(drive: Drive, rng: random.Random) -> list[str]:
    """Flips, zeros, cuts, and files that are gone; in words."""
    names = sorted(
        str(path.relative_to(drive.path))
        for path in drive.path.rglob("*")
        if path.is_file() and path.name not in ("lock", *BEYOND_REPAIR)
    )
    weights = [8 if name.endswith("blocks") else 3 if name.endswith("tree") else 1 for name in names]
    done = []
    for _ in range(rng.randint(1, MOST_DAMAGES)):
        name = rng.choices(names, weights)[0]
        path = drive.path / name
        if not path.exists() or not path.stat().st_size:
            continue
        done.append(f"{name}: {_damage(path, rng)}")
    return done


def _damage(path: Path, rng: random.Random) -> str:
    size = path.stat().st_size
    if path.parent.name == "journal":
        size = min(size, 60_000)  # the rest holds nothing
    offset = rng.randrange(size)
    how = rng.choices(("flip", "zeros", "noise", "cut", "missing"), (6, 3, 3, 1, 1))[0]
    if how == "missing":
        path.unlink()
        return how
    if how == "cut":
        os.truncate(path, offset)
        return f"cut to {offset}"
    length = 1 if how == "flip" else min(rng.randrange(1, 20_000), size - offset)
    with open(path, "r+b") as file:
        file.seek(offset)
        data = file.read(length)
        new = bytes(length) if how == "zeros" else rng.randbytes(length)
        if how == "flip":
            new = bytes([data[0] ^ (1 << rng.randrange(8))])
        file.seek(offset)
        file.write(new)
    return f"{how} of {length} at {offset}"


def look(drive: Drive, sample: Sample) -> Reading | None:
    """All that can be read without a change; None when the store can't be opened."""
    try:
        volume = drive.open(read_only=True)
    except (HyperfsError, OSError):
        return None
    try:
        return Reading.of(volume, sample.newest)
    finally:
        volume.parts.close()


def lost_since(before: Listing, after: Listing) -> list[bytes]:
    """Paths that could be read before and can't be now, or say otherwise."""
    return [
        path for path, facts in before.items() if not isinstance(facts, HyperfsError) and after.get(path) != facts
    ]


def worse(before: Reading, after: Reading) -> list[str]:
    wrong = []
    for version, listing in before.versions.items():
        if isinstance(listing, HyperfsError):
            continue
        now = after.versions.get(version)
        if not isinstance(now, dict):
            wrong.append(f"version {version} could be read before: {now}")
            continue
        wrong += [f"version {version} {path!r} could be read before" for path in lost_since(listing, now)]
    return wrong


def says_nothing_wrong(sample: Sample, after: Reading) -> list[str]:
    """What can be read of the present is what it was, in the end or in some version; of versions what they were."""
    found = compare(sample.expected, Reading({}, after.versions, after.facts, after.snapshots, after.warnings))
    wrong = [what for what in found.wrong if what.startswith("version ") and not what.startswith("version None")]
    states = [sample.expected.live, *(v for v in sample.expected.versions.values() if isinstance(v, dict))]
    for path, facts in after.live.items():
        if isinstance(facts, HyperfsError) or path.startswith(b"lost+found"):
            continue
        content = facts[-1], facts[5]
        if path == b"docs/letter" and facts[-1] == digest(b"Dear all, " * 200):
            continue  # as the first of its fsyncs left it
        were = [state.get(path) for state in states]
        if content not in [(was[-1], was[5]) for was in were if isinstance(was, tuple)]:
            wrong.append(f"the present {path!r} is what it never was")
    return wrong


def unlisted(after: Reading, report: Report) -> list[str]:
    """Versions with errors that verify does not list."""
    listed = {version for damage in report.damage for version in damage.versions}
    return [
        f"verify does not list version {version}"
        for version, listing in after.versions.items()
        if version not in listed
        and (isinstance(listing, HyperfsError) or any(isinstance(facts, HyperfsError) for facts in listing.values()))
    ]


async def write_more(drive: Drive) -> None:
    volume = drive.open()
    async with volume.running():
        root = volume.overlay.inode(1)
        new = await put(volume, root, b"written after", b"more " * 5000)
        await volume.commit()
        assert volume.files.read(new, 0, 5) == b"more "


def try_damage(drive: Drive, sample: Sample, rng: random.Random) -> tuple[str, list[str]]:
    """How it went, and what was wrong with it."""
    before = look(drive, sample)
    try:
        outcome = mend(drive)
    except HyperfsError as error:
        print(f"beyond repair: {error}")
        after = look(drive, sample)
        if before is None:
            return "beyond repair", []
        return "beyond repair", worse(before, after) if after is not None else ["could be opened before"]
    after = look(drive, sample)
    if after is None:
        return "worse", ["can't be opened after the repair"]
    wrong = (worse(before, after) if before is not None else []) + says_nothing_wrong(sample, after)
    wrong += unlisted(after, outcome.report)
    again = mend(drive)
    if again.repaired or [d.where for d in again.report.damage] != [d.where for d in outcome.report.damage]:
        wrong.append(f"a second repair did {again.repaired} and found {again.report.damage}")
    trio.run(write_more, drive)
    volume = drive.open(read_only=True)
    later = verify(volume.parts).damage
    volume.parts.close()
    if {d.where for d in later} - {d.where for d in outcome.report.damage}:
        wrong.append(f"after writing on there is more damage: {later}")
    if not outcome.repaired and not outcome.report.damage:
        return "harmless", wrong
    return "isolated" if outcome.report.damage else "repaired", wrong


@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("indexed", [False, True])
def test_a_damaged_store_is_not_made_worse(
    part: int, indexed: bool, request: pytest.FixtureRequest, fast_folder: Path
) -> None:
    sample: Sample = request.getfixturevalue("indexed_sample" if indexed else "sample")
    outcomes: Counter[str] = Counter()
    wrong = []
    for number in range(part, REPAIRS, 8):
        rng = random.Random(f"{SEED} {number} {indexed}")
        drive = sample.lay_out(fast_folder / "damaged")
        done = damage_some(drive, rng)
        print(number, done)
        try:
            how, found = try_damage(drive, sample, rng)
        except Exception as error:  # noqa: BLE001  # anything but an error of ours is what the test is looking for
            how, found = "crashed", [f"{type(error).__name__}: {error}"]
        finally:
            shutil.rmtree(drive.path)
        outcomes[how] += 1
        wrong += [f"{number} {done}: {what}" for what in found]
    for how, count in outcomes.items():
        tally.add(f"damaged stores that were {how}", count, seed=SEED)
    assert not wrong, f"{len(wrong)} wrong, the first: " + "\n".join(wrong[:10])
