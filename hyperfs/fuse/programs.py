"""Which program a process is: its executable and its cgroup."""

import os
from pathlib import Path

from hyperfs.policy.scanning import Program

UNKNOWN = Program("", "")


def program_of(pid: int) -> Program:
    """UNKNOWN for a process that has ended, or that we can't see. Some 30 us."""
    if pid <= 0:
        return UNKNOWN
    try:
        executable = os.readlink(f"/proc/{pid}/exe")
        lines = Path(f"/proc/{pid}/cgroup").read_text(errors="replace").splitlines()
    except OSError:
        return UNKNOWN
    return Program(executable.removesuffix(" (deleted)"), lines[-1].partition("::")[2] if lines else "")
