"""What a process asked of its kernel, out of strace's record: which files were written and not synced at a moment. The
moment is told by how many bytes had been sent."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

CALLS = "write,pwrite64,ftruncate,fsync,fdatasync,rename,sendto,sendmsg"
TRACE = ("strace", "-D", "-f", "-yy", "-s", "0", "-e", f"trace={CALLS}")

_CALL = re.compile(r"(\d+) +(\w+)\((.*)")
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)")
_RESULT = re.compile(r".*\) += (-?\d+)")
_PATH = re.compile(r"\d+<([^>]*)>")
_RENAME = re.compile(r'"([^"]*)", "([^"]*)"')


class Call(NamedTuple):
    """`begun` and `done`: lines of the record, so their order is that of the kernel."""

    begun: int
    done: int
    name: str
    arguments: str
    result: int


def calls(record: str) -> Iterator[Call]:
    """In the order in which they were done."""
    unfinished: dict[tuple[str, str], tuple[int, str]] = {}
    for number, line in enumerate(record.splitlines()):
        if resumed := _RESUMED.match(line):
            thread, name, rest = resumed.groups()
            begun, arguments = unfinished.pop((thread, name))
            text = arguments + rest
        elif found := _CALL.match(line):
            thread, name, text = found.groups()
            begun = number
            if "<unfinished ...>" in text:
                unfinished[thread, name] = number, text.replace("<unfinished ...>", "")
                continue
        else:
            continue
        if result := _RESULT.match(text):
            yield Call(begun, number, name, text, int(result[1]))


def has_ended(record: str, process: int) -> bool:
    return re.search(rf"^{process} +\+\+\+ exited", record, re.M) is not None


def unsynced_when_sent(record: str, folder: Path, sent_bytes: int) -> list[str]:
    """Files and folders below `folder` that were changed and not synced since, when the byte `sent_bytes` of the
    connection was handed to the kernel. Every write that was begun by then counts, and only a sync that was done.

    One write to `heads` after its sync is the second copy of the head, which needs none (log/heads.py).
    """
    found = list(calls(record))
    sent, moment = 0, None
    for call in found:
        if call.name in ("sendto", "sendmsg") and "<TCP:" in call.arguments:
            sent += max(0, call.result)
            if sent >= sent_bytes:
                moment = call.begun
                break
    assert moment is not None, f"only {sent} bytes were sent"
    dirty: dict[str, list[int]] = {}
    for call in sorted(found):
        if call.begun >= moment or call.result < 0:
            continue
        if call.name == "rename":
            names = _RENAME.search(call.arguments)
            assert names is not None
            _note(dirty, str(Path(names[2]).parent), folder, call.done)
        elif (path := _PATH.match(call.arguments)) is None:
            continue
        elif call.name in ("write", "pwrite64", "ftruncate"):
            _note(dirty, path[1], folder, call.done)
        elif call.name in ("fsync", "fdatasync") and call.done < moment and path[1] in dirty:
            dirty[path[1]] = [written for written in dirty[path[1]] if written > call.begun]
    return sorted(path for path, writes in dirty.items() if len(writes) > _unsynced_most(Path(path).name))


def _unsynced_most(name: str) -> int:
    return {"heads": 1, "lock": 9}.get(name, 0)


def _note(dirty: dict[str, list[int]], path: str, folder: Path, when: int) -> None:
    if Path(path).is_relative_to(folder):
        dirty.setdefault(path, []).append(when)
