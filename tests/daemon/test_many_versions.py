"""What is asked of a drive costs the same with many versions as with few, where the answer is the same. Counted, and
not timed: rows and keys of the index, and nodes of trees."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import trio

from hyperfs.daemon import requests
from hyperfs.daemon.drive import Drive
from hyperfs.store.index import KeyValue
from hyperfs.volume.opening import open_volume
from hyperfs.volume.options import Options
from tests import tally
from tests.bench import many_versions
from tests.bench.scale_corpus import NoSyncDisk

LONG = os.environ.get("HYPERFS_ALL") == "1"
MANY = int(os.environ.get("HYPERFS_VERSIONS", "100000" if LONG else "700"))
FEW = 100
MORE_MOST = 200
"""So much more may be looked at: folders in which something was deleted, deeper trees of the index."""
ASKED: list[tuple[str, dict[str, Any]]] = [
    ("status", {}),
    ("versions", {"path": "quiet/few.txt"}),
    ("versions", {"path": "quiet"}),
    ("versions", {"path": "busy/many.txt", "limit": 10}),
    ("versions", {"path": "", "limit": 10}),
    ("log", {"path": "", "limit": 10}),
    ("log", {"path": "quiet", "limit": 10}),
    ("diff", {"path": "", "old": "@NEWEST-1"}),
    ("find_deleted", {"path": "quiet"}),
    ("find_deleted", {"path": "quiet", "pattern": "*.txt"}),
    ("find_file", {"path": "quiet/few.txt", "when": "@MIDDLE"}),
    ("steps", {"path": "", "limit": 3}),
    ("steps", {"path": "quiet", "limit": 3}),
    ("undo", {"path": "", "dry_run": True}),
    ("undo", {"path": "quiet", "dry_run": True}),
    ("restore", {"path": "quiet/few.txt", "when": "@NEWEST-3", "dry_run": True}),
    ("moments", {"path": "", "after": "NEWEST-5"}),
    ("moments", {"path": "quiet", "after": 0}),
    ("snapshots", {"path": "quiet"}),
    ("folder", {"path": "folder-03", "limit": 10, "when": "@MIDDLE"}),
    ("written", {"versions": ["MIDDLE", "NEWEST"]}),
    ("space", {"path": "", "files": 100_000}),
    ("changes", {"path": "", "cursor": "NEWEST-3"}),
]


class CountingIndex:
    """An index that counts what is asked of it."""

    def __init__(self, index: KeyValue, counts: Counter[str]) -> None:
        self._index = index
        self._counts = counts

    def get(self, key: bytes) -> bytes | None:
        self._counts["keys"] += 1
        return self._index.get(key)

    def scan(self, prefix: bytes, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        self._counts["scans"] += 1
        for found in self._index.scan(prefix, start):
            self._counts["rows"] += 1
            yield found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._index, name)


async def tell(what: str, done: int, of: int) -> None:
    """Nobody listens."""


def meant(value: Any, newest: int) -> Any:
    """With the numbers of this drive."""
    if isinstance(value, list):
        return [meant(one, newest) for one in value]
    if not isinstance(value, str):
        return value
    words = {f"NEWEST-{back}": newest - back for back in (1, 3, 5)} | {"NEWEST": newest, "MIDDLE": newest // 2}
    if value.startswith("@"):
        return f"@{words[value[1:]]}"
    return value if value not in words else str(words[value]) if value == "NEWEST-3" else words[value]


def costs(folder: Path, count: int) -> dict[str, int]:
    """What each question costs a drive with so many versions, that has its rows and has been asked before."""
    keys = many_versions.make(folder, count)
    counts: Counter[str] = Counter()
    found = {}

    async def ask_all() -> None:
        async with open_volume(folder, keys, Options(disk=NoSyncDisk)).running() as volume:
            await volume.changes.caught_up()
            parts = volume.parts
            parts.catalog._index = CountingIndex(parts.catalog._index, counts)
            load = parts.nodes.load

            def counted_load(ref: Any) -> Any:
                counts["nodes"] += 1
                return load(ref)

            parts.nodes.load = counted_load  # type: ignore[method-assign]
            drive = Drive(volume, folder)
            newest = volume.versions.newest.version
            for name, params in ASKED:
                given = {key: meant(value, newest) for key, value in params.items()}
                await requests.answer(drive, name, given, tell)
                counts.clear()
                await requests.answer(drive, name, given, tell)
                found[f"{name} {params}"] = counts.total()

    trio.run(ask_all)
    return found


def test_a_question_costs_the_same_with_many_versions(tmp_path: Path) -> None:
    few, many = costs(tmp_path / "few", FEW), costs(tmp_path / "many", MANY)
    dearer = {asked: (few[asked], cost) for asked, cost in many.items() if cost > 2 * few[asked] + MORE_MOST}
    tally.add(f"questions asked of a drive of {MANY} versions", len(many))
    assert not dearer, dearer

