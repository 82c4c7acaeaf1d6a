"""No decoder is forgotten: each function that reads bytes of others is reached by some target's examples."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import hyperfs

from .targets import TARGETS
from .trial import give

ROOT = Path(hyperfs.__file__).parent
NAMES = ("decode", "parse", "unpack", "unwrap", "read_records", "_decode", "_parse", "_unpack")
FROM = ("from_bytes", "from_text", "from_payload")
CALLS = {"unpack", "unpack_from", "iter_unpack", "loads", "fromhex", "b64decode", "frame_content_size", "decompress"}
NOT_READ_FROM_OTHERS = {
    "daemon/process.py Spec.decode": "a pipe from the process that wrote it",
    "daemon/server.py _is_ours": "the kernel's answer about a connection",
    "cli/cat.py command": "the drive's own answer",
    "cli/clone.py _drive_of": "what somebody typed, which must be 64 hex digits",
    "cli/diff.py _side": "as above",
    "lan/mdns.py announce": "a pipe from the process that started it",
    "peer/dropping.py asked": "names of records, which must be hex digits in pairs",
    "peer/folder_store.py FolderStore.drives": "names of folders, which must be hex digits in pairs",
    "peer/folder_store.py FolderStore.places": "as above",
    "fuse/listing.py _unpack": "what this process packed, in its memory",
    "fuse/warmer.py main": "a pipe from the process that wrote it",
    "service/kinds.py Service.read": "files among the user's own units, as trusted as the commands in them",
    "sharing/folder_store.py FolderStore.__init__": "a folder's name, which must be 32 hex digits",
    "sharing/folder_store.py FolderStore.ended_drive": "64 hex digits, or it says nothing",
    "store/rocksdb.py RocksIndex._check_markers": "compares the length first; tests/faults flips each bit of its files",
    "volume/remembered.py Remembered._recall": "only what a keyed hash of the drive's vouches for",
    "volume/survey_rows.py SurveyRows._head": "compares the length first; what it names has a keyed hash to fit",
    "volume/survey_rows.py decode": "only what a keyed hash of the drive's vouches for",
    "volume/remembered.py Reached.decode": "as above",
    "volume/remembered_groups.py Groups._recall": "as above",
    "volume/uses.py Uses.known": "compares the length first; any number is an hour",
    "volume/check_trees.py TreeCheck._branch": "hex digits that verify wrote itself",
    "volume/salvage.py range_of": "hex digits that the salvage wrote itself",
}


def _functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{prefix}{node.name}", node


def _reads(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    if function.name.startswith((*NAMES, *FROM)):
        return True
    calls = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
    return any(isinstance(call, ast.Attribute) and call.attr in CALLS for call in calls)


def decoders() -> dict[str, tuple[str, int]]:
    """`store/journal.py read_records` -> (file, line), as the code of the function has them."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        for name, function in _functions(ast.parse(path.read_text())):
            if _reads(function):
                first = min([function.lineno, *(node.lineno for node in function.decorator_list)])
                found[f"{path.relative_to(ROOT)} {name}"] = (str(path), first)
    return found


def _reached() -> set[tuple[str, int]]:
    codes: set[CodeType] = set()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            codes.add(frame.f_code)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        for target in TARGETS:
            for data in target.seeds():
                give(target, data)
    finally:
        sys.setprofile(before)
    return {(code.co_filename, code.co_firstlineno) for code in codes}


def test_every_decoder_is_reached_by_a_target() -> None:
    found, reached = decoders(), _reached()
    assert len(found) > 50, "the search for decoders finds next to none: has it gone blind?"
    missed = {name for name, place in found.items() if place not in reached}
    assert sorted(missed) == sorted(NOT_READ_FROM_OTHERS)
