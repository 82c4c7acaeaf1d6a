"""Random command lines, run one after the other in this process: `python -m tests.fuzz.arguments SEED COUNT FD`.

Works in the current folder, which must be a machine of a test's own: stores are made and restored there. Nothing is
ever mounted, for no folder in reach is fit for that. Writes each fault as a line of JSON to the open descriptor FD,
and at the end how many commands ended with which code.
"""

import json
import os
import random
import sys
import traceback
from collections import Counter
from pathlib import Path
from typing import Any, Final

import click

from hyperfs.cli.main import cli, run
from hyperfs.errors import HyperfsError, innermost

PATHS: Final = (
    *("store", "store/keys", "file", "folder", "folder/x", "gone", "gone/x", "new"),
    *(".", "..", "", "\udcff", "-"),
)
TEXTS: Final = (
    *("1", "@1", "0", "-1", "99999999999999999999", "1e9", "9" * 400, "nan", "None"),
    *("yesterday", "now", "2026-11-21", "2h ago", "release"),
    *("a\nb", "\x1b[2J", "\udcff\udcfe", "%s", "{}", "x" * 5000, "é" * 90, "--", "-h", "a/b", ".", ".."),
)
NEVER: Final = {"--foreground", "--wait"}
"""The one starts this process anew, the other may wait for ever."""
WITHOUT_END: Final = {"web"}
"""It serves any store until it is ended; tests/web starts it."""
CODES: Final = range(6)


def _commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    found: list[tuple[tuple[str, ...], click.Command]] = []
    with click.Context(group) as context:
        for name in sorted(set(group.list_commands(context)) - WITHOUT_END, key=group.list_commands(context).index):
            command = group.get_command(context, name)
            if isinstance(command, click.Group):
                found += _commands(command, (*path, name))
            elif command is not None:
                found.append(((*path, name), command))
    return found


def _value(parameter: click.Parameter, source: random.Random) -> str:
    if source.random() < 0.1:
        return source.choice((*PATHS, *TEXTS))
    if isinstance(parameter.type, click.Path):
        return source.choice(PATHS)
    if isinstance(parameter.type, click.Choice):
        return str(source.choice(parameter.type.choices))
    return source.choice(TEXTS)


def _line(commands: list[tuple[tuple[str, ...], click.Command]], source: random.Random) -> list[str]:
    names, command = source.choice(commands)
    words: list[str] = []
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            name = source.choice(parameter.opts)
            if name in NEVER or source.random() > (0.9 if parameter.required else 0.25):
                continue
            words += [name] if parameter.is_flag else [name, _value(parameter, source)]
        else:
            wanted = 1 + (source.random() < 0.2) - (source.random() < 0.1)
            words += [_value(parameter, source) for _ in range(wanted)]
    for _ in range(source.random() < 0.1):
        words.insert(source.randrange(len(words) + 1), source.choice((*TEXTS, "--json", "--no-such", "--name=", "-x")))
    if source.random() < 0.1:
        source.shuffle(words)
    return [*names, *words]


def _fault(words: list[str]) -> tuple[int | None, str | None]:
    """(exit code, what is wrong with it). An error that is neither ours nor the system's is a fault of the code."""
    try:
        code = run(words)
    except (HyperfsError, OSError):
        return None, None
    except BaseException as error:  # noqa: BLE001  # whatever it is, it is what is looked for
        inner = innermost(error)
        if isinstance(inner, HyperfsError | OSError):
            return None, None
        return None, "".join(traceback.format_exception(error))[-3000:]
    return code, None if code in CODES else f"exit code {code}"


def main(seed: str, count: int, fd: int) -> None:
    os.environ["HYPERFS_DEBUG"] = "1"  # errors come out of `run` as they are
    Path("folder/x").mkdir(parents=True)
    Path("file").write_text("correct horse\n")
    assert run(["init", "store", "--card", "card.txt"]) == 0
    source = random.Random(seed)
    commands = _commands(cli)
    codes: Counter[int | None] = Counter()
    with os.fdopen(fd, "w") as told:
        for number in range(count):
            words = _line(commands, source)
            code, fault = _fault(words)
            codes[code] += 1
            if fault is not None:
                _tell(told, {"number": number, "words": words, "fault": fault})
        _tell(told, {"codes": {str(code): found for code, found in codes.items()}})


def _tell(told: Any, message: dict[str, Any]) -> None:
    told.write(json.dumps(message) + "\n")
    told.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
