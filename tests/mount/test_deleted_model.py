"""`.versions/.deleted` on a mount, against a plain model: what the kernel keeps must never be told instead."""

import os
import random
import shutil

import pytest

from tests import tally
from tests.volume.deleted_model import NAMES, File, Folder, Model, Thing

from .drive import LONG, Drive

SEEDS = range(20) if LONG else range(1)
VERSIONS = 30


@pytest.mark.parametrize("seed", SEEDS)
def test_deleted_is_what_a_model_says_at_every_step(drive: Drive, seed: int) -> None:
    chance, model, root = random.Random(seed), Model(), os.fsencode(drive.point)
    drive.remount("only-told")  # the model knows nothing of versions that the clock makes
    kept: list[Thing] = []
    compared = 0
    drive.snapshot("begin")
    model.note()
    for number in range(VERSIONS):
        for _ in range(chance.randint(1, 5)):
            step(root, model, chance, kept)
        drive.snapshot(f"s{number}")
        model.note()
        for path, folder in model.folders():
            found = listed(root + path + b"/.versions/.deleted")
            wanted = [held if isinstance(held, bytes) else None for _, held in model.deleted(folder)]
            assert sorted(map(repr, found.values())) == sorted(map(repr, wanted))
            assert {name for name, _ in model.deleted(folder)} <= found.keys()
            compared += len(wanted)
    tally.add("deleted things looked at through a mount", compared, seed=seed)


def listed(deleted: bytes) -> dict[bytes, bytes | None]:
    """The entries with their bytes; a folder has none."""
    found: dict[bytes, bytes | None] = {}
    for name in os.listdir(deleted):
        path = deleted + b"/" + name
        found[name] = None if os.path.isdir(path) else read(path)
    return found


def read(path: bytes) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def step(root: bytes, model: Model, chance: random.Random, kept: list[Thing]) -> None:
    path, folder = chance.choice(model.folders())
    name = chance.choice(NAMES)
    full, there = root + path + b"/" + name, folder.names.get(name)
    match chance.randrange(6):
        case 0 | 1 if there is None or isinstance(there, File):
            data = chance.randbytes(8)
            with open(full, "wb") as file:
                file.write(data)
            if there is None:
                folder.names[name] = File(data)
            else:
                there.data = data
        case 2 if there is None:
            os.mkdir(full)
            folder.names[name] = Folder()
        case 3 | 4 if there is not None:
            shutil.rmtree(full) if isinstance(there, Folder) else os.unlink(full)
            del folder.names[name]
        case 5 if there is not None:
            to, target = chance.choice(model.folders())
            new = chance.choice(NAMES)
            if (root + to + b"/").startswith(full + b"/") or new in target.names:
                return
            os.rename(full, root + to + b"/" + new)
            del folder.names[name]
            target.names[new] = there
    kept += folder.names.values()  # so that no id is given twice
