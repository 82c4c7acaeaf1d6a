"""hyperfs beside npm's hyperdrive, whose idea it is built on.

    python -m tests.bench.side_by_side.hyperdrive [--rounds 3] [--mib 256] [--entries 20000]

NODE_MODULES in the environment names the folder where `npm install hyperdrive corestore` put it. hyperfs is used as a
user does, through a mount, and everything is synced before its time is taken; hyperdrive by its own interface, which
spares it the kernel. What is stored is `du` of each store, without the reserve that hyperfs keeps for a full disk.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Final

from tests.bench.side_by_side.inputs import Inputs
from tests.bench.side_by_side.rows import piped, run, seconds
from tests.cli.machine import Machine

SCRIPT: Final = Path(__file__).with_name("hyperdrive.mjs")
MIB: Final = 1 << 20
EDIT: Final = 4096


def stored(store: Path) -> int:
    """Bytes on the disk."""
    names = [path for path in store.rglob("*") if path.name != "reserve" and path.is_file()]
    return sum(path.stat().st_blocks * 512 for path in names)


def hyperdrive(base: Path, inputs: Inputs) -> dict[str, float]:
    store = base / "hyperdrive"
    command = ["node", SCRIPT, store, inputs.tree, inputs.blob, str(inputs.entries)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1]) | {"stored MiB": stored(store) / MIB}


def hyperfs(base: Path, inputs: Inputs) -> dict[str, float]:
    folder = base / "hyperfs"
    folder.mkdir()
    machine = Machine(folder)
    try:
        machine.mount()
        return _on_mount(machine, inputs)
    finally:
        machine.end()


def _on_mount(machine: Machine, inputs: Inputs) -> dict[str, float]:
    point, found = machine.point, {}

    def synced(*command: str | Path) -> float:
        return seconds(lambda: (run(*command), sync_all(point)))

    found["import a tree"] = synced("cp", "-a", inputs.tree, point / "tree")
    found["a large file in"] = synced("dd", f"if={inputs.blob}", f"of={point / 'blob'}", "bs=1M", "conv=fsync")
    (point / "many").mkdir()
    for number in range(inputs.entries):
        os.close(os.open(point / "many" / f"f{number}", os.O_CREAT | os.O_WRONLY))
    machine.unmount()
    found["open"] = seconds(lambda: (machine.mount(), os.stat(point / "blob")))
    found["list a folder"] = seconds(lambda: piped(f"ls -f {point / 'many'}", "cat"))
    found["a large file out"] = seconds(lambda: run("dd", f"if={point / 'blob'}", "of=/dev/null", "bs=1M"))
    sync_all(point)
    before = stored(machine.store)
    found["stored MiB"] = before / MIB
    with (point / "blob").open("r+b") as file:
        file.seek(inputs.blob.stat().st_size // 2)
        file.write(os.urandom(EDIT))
    sync_all(point)
    found["an edit of 4 KiB, KiB stored"] = (stored(machine.store) - before) / 1024
    machine.unmount()
    return found


def sync_all(point: Path) -> None:
    """A snapshot is a version that is durable."""
    name = point / ".versions" / "synced"
    name.mkdir()
    name.rmdir()


def main() -> int:
    parser = argparse.ArgumentParser("python -m tests.bench.side_by_side.hyperdrive", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mib", type=int, default=256, help="of the large file")
    parser.add_argument("--entries", type=int, default=20_000)
    parser.add_argument("--tree", type=Path, default=Path(sysconfig.get_paths()["stdlib"]))
    chosen = parser.parse_args()
    found: dict[str, dict[str, list[float]]] = {"hyperdrive": defaultdict(list), "hyperfs": defaultdict(list)}
    with tempfile.TemporaryDirectory(prefix="hyperfs-bench-") as folder:
        inputs = Inputs(Path(folder), chosen.mib / 512, chosen.tree)
        inputs.entries = chosen.entries
        for number in range(chosen.rounds):
            base = Path(folder) / f"round-{number}"
            base.mkdir()
            for name, work in (("hyperdrive", hyperdrive), ("hyperfs", hyperfs)):
                for row, value in work(base, inputs).items():
                    found[name][row].append(value)
        for name, digest in inputs.digests().items():
            print(f"{digest}  {name}", file=sys.stderr)
    print("| row | hyperdrive | hyperfs |\n|---|---|---|")
    for row, values in found["hyperfs"].items():
        ours, others = statistics.median(values), found["hyperdrive"].get(row)
        theirs = statistics.median(others) if others else 0.0
        print(f"| {row} | {theirs:.3g} | {ours:.3g} ({theirs / ours:.1f}x) |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
