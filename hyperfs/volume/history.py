"""The history of one file or folder, and of the drive: which versions made a difference, newest first.

A file's history follows the file across renames, and its name across saving by rename and across deletion: where
the inode was not there yet, what it replaced goes on, else what had the name before it.

Everything is a generator that does one version a step: whoever runs it in the event loop lets others run between.
Only versions that may have made a difference are looked at, by the rows of `changes`: ask `caught_up` first.
"""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from hyperfs.errors import NotFound
from hyperfs.values import ROOT_INO
from hyperfs.volume.compare import Difference, differences_below
from hyperfs.volume.difference_words import counted_in_words
from hyperfs.volume.file_history import file_versions
from hyperfs.volume.file_states import Spot
from hyperfs.volume.history_steps import FileVersion, Steps, tree_bytes
from hyperfs.volume.meanings import last_meaning
from hyperfs.volume.paths import Paths, parts_of
from hyperfs.volume.volume import Volume


class CommitSummary(NamedTuple):
    """A version and how many things differ from the one before it, of those that were asked for."""

    version: int
    time_ns: int
    second: int
    device: int
    name: bytes | None
    added: int
    removed: int
    moved: int
    changed: int
    attributes: int
    change: str  # the same in words, with some names


def versions_of(volume: Volume, path: bytes) -> Iterator[FileVersion]:
    """The distinct versions of what a path means, newest first. Raises NotFound when it never meant anything.

    A path that is no more is looked for in older versions, and its history begins with its deletion.
    """
    steps = Steps(volume, path)
    found = last_meaning(volume, path)
    if found is None:
        raise NotFound(f"no version has {path.decode(errors='replace')!r}")
    inode = volume.versions.whole_tree(found.version).inode(found.ino)
    spot = Spot(found.directory, (parts_of(path) or [b""])[-1])
    if inode is not None and inode.is_directory:
        return _folder_versions(steps, found.ino, found.version, spot)
    return file_versions(steps, spot, found.version)


def commits(volume: Volume, path: bytes = b"") -> Iterator[CommitSummary]:
    """The versions in which something at or below a path changed, newest first; all of them for the root."""
    steps = Steps(volume, path)
    place = last_meaning(volume, path)
    if place is None:
        raise NotFound(f"no version has {path.decode(errors='replace')!r}")
    for facts in steps.all_versions() if place.ino == ROOT_INO else steps.of_folder(place.ino, place.version):
        _, before, after = steps.pair(facts)
        found = _differences_below(before, after, place.ino)
        if found or place.ino == ROOT_INO:
            counts = Counter(difference.kind for difference in found)
            yield CommitSummary(
                facts.version,
                facts.time_ns,
                facts.second,
                volume.versions.commit(facts.version).device,
                steps.names.get(facts.version),
                counts["added"],
                counts["removed"],
                counts["moved"],
                counts["changed"],
                counts["attributes"],
                counted_in_words(found),
            )


# Folders


def _folder_versions(steps: Steps, ino: int, last: int, spot: Spot) -> Iterator[FileVersion]:
    """`last`: the last version that has the folder, under that name."""
    deleted = steps.kept_from(last + 1)
    if deleted is not None:
        yield steps.file_version(deleted, 0, "deleted")
        yield from (pinned for pinned in steps.pinned(spot) if pinned.version == last)
    size: int | None = None
    for facts in steps.of_folder(ino, last):
        _, before, after = steps.pair(facts)
        if size is None:
            size = tree_bytes(after.tree, ino)
        if before.tree.inode(ino) is None:
            yield steps.file_version(facts, size, "created")
            return
        found = _differences_below(before, after, ino)
        if found:
            yield steps.file_version(facts, size, _counted(found))
            size = _bytes_before(size, found)


def _differences_below(before: Paths, after: Paths, ino: int) -> list[Difference]:
    """What differs at or below an inode, which may have had another path then. Nothing is nowhere."""
    if _same_root(before, after):
        return []
    old_scope, new_scope = (_path_of(paths, ino) for paths in (before, after))
    nowhere = b"\0"
    return differences_below(
        before, after, nowhere if old_scope is None else old_scope, nowhere if new_scope is None else new_scope
    )


def _same_root(before: Paths, after: Paths) -> bool:
    a, b = before.tree.root, after.tree.root
    return a is b or (a is not None and b is not None and a.id == b.id)


def _path_of(paths: Paths, ino: int) -> bytes | None:
    inode = paths.tree.inode(ino)
    if inode is None:
        return None
    return paths.of(inode)[0]


def _counted(found: list[Difference]) -> str:
    counts = Counter(difference.kind for difference in found)
    words = [f"{counts[kind]} {kind}" for kind in ("added", "removed", "moved", "changed") if counts[kind]]
    if counts["attributes"]:
        words.append(f"{counts['attributes']} with other attributes")
    return ", ".join(words)


def _bytes_before(size: int, found: list[Difference]) -> int | None:
    """A folder's bytes one version earlier; None when they must be counted, for something was moved in or out."""
    if any(difference.kind == "moved" or difference.old_path is not None for difference in found):
        return None
    changed = (difference for difference in found if difference.kind != "attributes")
    return size + sum((difference.old_size or 0) - (difference.new_size or 0) for difference in changed)
