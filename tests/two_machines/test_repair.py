"""What is damaged on the laptop is taken from the cloud peer, metadata and contents."""

import os
from pathlib import Path

import pytest

from .conftest import Pair

pytestmark = [pytest.mark.mount, pytest.mark.timeout(300)]


def damage(path: Path) -> None:
    with open(path, "r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(os.urandom(64))


@pytest.mark.parametrize("with_metadata", [False, True])
def test_damaged_logs_are_whole_again(pair: Pair, with_metadata: bool) -> None:
    laptop = pair.laptop
    laptop.mount()
    invite = pair.cloud.invite()
    laptop.run("peer", "add", invite["code"], laptop.point, "--i-have-the-key")
    wanted = {f"f{number}": os.urandom(50_000) for number in range(20)}
    for name, data in wanted.items():
        (laptop.point / name).write_bytes(data)
    laptop.run("sync", laptop.point, "--wait")
    laptop.unmount()
    logs = sorted(laptop.store.glob("logs/*/blocks"), key=lambda path: path.stat().st_size)
    for blocks in logs if with_metadata else logs[1:]:
        damage(blocks)
    assert laptop.facts("verify", laptop.store, code=3)["damage"]
    # Where the newest root is damaged, the list of peers is too.
    named = ("--peer", invite["address"]) if with_metadata else ()
    report = laptop.facts("verify", laptop.store, "--repair", *named)
    assert report["damage"] == []
    assert {found["what"] for found in report["repaired"]} == {"its bytes came from another place"}
    assert len(report["repaired"]) == 1 + with_metadata
    laptop.mount()
    assert {name: (laptop.point / name).read_bytes() for name in wanted} == wanted
