"""One byte flipped anywhere in the store is harmless or reported, and never gives wrong data.

Each position is flipped in a fresh copy of a killed store, which is then opened as a mount opens it and read
whole: the present with all that was fsynced, and every version. HYPERFS_FLIPS says how many positions are tried
(3000 for the full run), HYPERFS_FLIP_SEED which.
"""

import os
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import pytest
import trio
from sample_drive import Difference, Drive, Sample, compare, read_all

from hyperfs.errors import HyperfsError
from hyperfs.volume.check import verify

FLIPS: Final = int(os.environ.get("HYPERFS_FLIPS", "400"))
SEED: Final = int(os.environ.get("HYPERFS_FLIP_SEED", "1"))
JOURNAL_ZEROS_SHARE: Final = 0.1
"""Of the flips in the journal, those in the part that holds nothing yet."""

KINDS: Final = (
    "content/blocks",
    "content/tree",
    "content/heads",
    "metadata/blocks",
    "metadata/tree",
    "metadata/heads",
    "journal",
    "control",
    "keys",
    "hyperfs",
    "lock",
    "CACHEDIR.TAG",
    "index",
)


def is_of(sample: Sample, name: str, kind: str) -> bool:
    """Whether a file of the store is of a kind: of a log's files by the log, else the file or its folder."""
    if not name.startswith("logs/"):
        return name.split("/")[0] == kind
    log, file = name.split("/")[1:]
    return kind == f"{sample.log_kinds[log]}/{file}"


class Flip(NamedTuple):
    """`mask` is never 0, so the byte does change."""

    name: str
    offset: int
    mask: int


class Outcome(NamedTuple):
    """`how`: harmless, warned (harmless, and noticed), refused (at open) or unreadable (an error on reading)."""

    how: str
    wrong: list[str]


def positions(sample: Sample, kind: str, count: int) -> list[Flip]:
    """Spread evenly over the kind's files, each stretch of bytes with one position at random in it."""
    rng = random.Random(f"{SEED} {kind}")
    names = [name for name in sample.files if is_of(sample, name, kind) and sample.sizes[name]]
    used = sum(len(sample.files[name]) for name in names)
    flips = []
    for number in range(count):
        if kind == "journal" and rng.random() < JOURNAL_ZEROS_SHARE:
            name = rng.choice(names)
            offset = rng.randrange(len(sample.files[name]), sample.sizes[name])
        else:
            at = min(used - 1, int((number + rng.random()) * used / count))
            name, offset = locate(sample, names, at)
        flips.append(Flip(name, offset, rng.randrange(1, 256)))
    return flips


def locate(sample: Sample, names: list[str], at: int) -> tuple[str, int]:
    for name in names:
        if at < len(sample.files[name]):
            return name, at
        at -= len(sample.files[name])
    raise AssertionError(at)


def flip(folder: Path, where: Flip) -> None:
    with open(folder / where.name, "r+b") as file:
        file.seek(where.offset)
        byte = file.read(1)[0]
        file.seek(where.offset)
        file.write(bytes([byte ^ where.mask]))


def try_flip(sample: Sample, folder: Path, where: Flip) -> Outcome:
    drive = sample.lay_out(folder)
    try:
        flip(folder, where)
        return judge(sample, drive)
    finally:
        shutil.rmtree(folder)


def judge(sample: Sample, drive: Drive) -> Outcome:
    reading = None
    try:
        reading, _ = trio.run(read_all, drive, sample.newest)
    except* HyperfsError:
        pass  # a clear error at open is one of the two good ends
    if reading is None:
        return Outcome("refused", [])
    difference = compare(sample.expected, reading)
    if difference.errors:
        return Outcome("unreadable", difference.wrong + not_listed(drive, difference))
    return Outcome("warned" if reading.warnings else "harmless", difference.wrong)


def not_listed(drive: Drive, difference: Difference) -> list[str]:
    """Versions that gave an error when read, and that verify does not list as damaged."""
    volume = drive.open(read_only=True)
    try:
        report = verify(volume.parts)
    finally:
        volume.parts.close()
    listed = {version for damage in report.damage for version in damage.versions}
    missed = {version for version, _ in difference.errors if version is not None} - listed
    return [f"verify does not list version {version}" for version in sorted(missed)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_byte_is_harmless_or_reported(
    kind: str, request: pytest.FixtureRequest, fast_folder: Path, record_property: Callable[[str, object], None]
) -> None:
    sample: Sample = request.getfixturevalue("indexed_sample" if kind == "index" else "sample")
    outcomes: Counter[str] = Counter()
    wrong = []
    for where in positions(sample, kind, -(-FLIPS // len(KINDS))):
        try:
            outcome = try_flip(sample, fast_folder / "flip", where)
        except Exception as error:  # noqa: BLE001  # anything but an error of ours is what the test is looking for
            outcome = Outcome("crashed", [f"{type(error).__name__}: {error}"])
        outcomes[outcome.how] += 1
        wrong += [f"{where}: {what}" for what in outcome.wrong]
    record_property("outcomes", dict(outcomes))
    print(f"{kind}: {dict(outcomes)}")
    assert not wrong, f"{len(wrong)} wrong, the first: " + "\n".join(wrong[:10])


def test_the_sample_holds_what_was_fsynced_and_reads_without_an_error(sample: Sample) -> None:
    live = sample.expected.live
    assert {b"docs/letter", b"large", b"note three"} <= live.keys()
    assert not {b"docs/note 3", b"docs/note 4"} & live.keys()
    assert not any(isinstance(facts, HyperfsError) for facts in live.values())
    assert len(sample.expected.versions) > 15
