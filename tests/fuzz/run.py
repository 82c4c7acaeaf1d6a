"""Coverage-guided fuzzing with atheris: `python -m tests.fuzz.run NAME --seconds N`; without NAME every target in turn.

Needs `pip install -e '.[fuzz]'`. What is found lies as `crash-...` in the folder `--found`; `trial` says what counts.
Each run ends with a line of what was tried. Exit code 1 when anything was found.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tracemalloc
from pathlib import Path
from typing import Final, NamedTuple

MOST_INPUT_BYTES: Final = 4096
MOST_MEMORY_MIB: Final = 1024
_DONE: Final = re.compile(rb"^#(\d+)\s+DONE\s+cov: (\d+).*?corp: (\d+)", re.MULTILINE)


class Campaign(NamedTuple):
    """What a run did: inputs tried, edges of our code reached, inputs kept for reaching something new."""

    inputs: int
    edges: int
    corpus: int
    trouble: str
    """What was found, in words; empty where nothing was."""


def campaign(name: str, seconds: int, found: Path) -> Campaign:
    """A process of its own for one target; then what it kept is tried again with memory and time measured."""
    with tempfile.TemporaryDirectory(prefix="hyperfs-fuzz-") as corpus:
        command = [sys.executable, "-m", "tests.fuzz.run", name, "--seconds", str(seconds), "--inside", corpus]
        # Through a shell that forks: the kernel counts the memory of who called exec to the new program's highest, and
        # a test process may have had more than libFuzzer allows.
        through = ["sh", "-c", '"$@"; exit $?', "sh", *command, "--found", str(found)]
        done = subprocess.run(through, capture_output=True, check=False)
        said = done.stdout + done.stderr
        match = _DONE.search(said)
        trouble = "" if done.returncode == 0 and match else said.decode(errors="replace")[-4000:]
        inputs, edges, kept = map(int, match.groups()) if match else (0, 0, 0)
        return Campaign(inputs, edges, kept, trouble or _measured(name, Path(corpus)))


def _measured(name: str, corpus: Path) -> str:
    from .targets import BY_NAME
    from .trial import Hangs, give_measured, watched

    tracemalloc.start()
    with watched():
        for path in sorted(corpus.iterdir()):
            data = path.read_bytes()
            try:
                give_measured(BY_NAME[name], data)
            except (Exception, Hangs) as error:  # noqa: BLE001  # whatever it is, it is what was looked for
                return f"{type(error).__name__}: {error}: {data.hex()}"
    tracemalloc.stop()
    return ""


def _fuzz(name: str, seconds: int, corpus: Path, found: Path) -> None:
    """Does not return: libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=["hyperfs"]):
        from .targets import BY_NAME
        from .trial import give

    target = BY_NAME[name]
    for number, data in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(data)

    def try_one(data: bytes) -> None:
        give(target, data)

    options = {
        "max_total_time": seconds,
        "timeout": 30,
        "rss_limit_mb": MOST_MEMORY_MIB,
        "max_len": MOST_INPUT_BYTES,
        "artifact_prefix": f"{found}/",
    }
    atheris.Setup([sys.argv[0], *(f"-{key}={value}" for key, value in options.items()), str(corpus)], try_one)
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="?")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--found", type=Path, default=Path(tempfile.gettempdir()) / f"hyperfs-found-{os.getuid()}")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.found.mkdir(exist_ok=True)
    if given.inside is not None:
        _fuzz(given.name, given.seconds, given.inside, given.found)
    from .targets import BY_NAME

    bad = 0
    for name in [given.name] if given.name else BY_NAME:
        result = campaign(name, given.seconds, given.found)
        print(f"{name}: {result.inputs:,} inputs, {result.edges:,} edges, {result.corpus:,} kept", flush=True)
        if result.trouble:
            bad = 1
            print(result.trouble, flush=True)
    return bad


if __name__ == "__main__":
    sys.exit(main())
