"""A systemd of a user's own, for one test: in a mount namespace and a control group of its own. Needs root."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .listening import Ear

PROGRAM = Path("/lib/systemd/systemd")
GROUPS = [
    base for base in map(Path, ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"))
    if (base / "cgroup.procs").exists()
]  # fmt: skip
# It looks for this folder to see whether a systemd runs the machine; it gets one that nobody else sees.
START = """
mkdir -p /run/systemd && mount -t tmpfs none /run/systemd && mkdir /run/systemd/system || exit 1
for group; do echo $$ >"$group/cgroup.procs" || exit 1; done
exec /lib/systemd/systemd --user --log-target=console
"""


def why_not() -> str | None:
    """Why none can be started here."""
    if not PROGRAM.exists():
        return "systemd is not installed"
    if os.geteuid() != 0 or not GROUPS or not all(os.access(base, os.W_OK) for base in GROUPS):
        return "control groups can't be made here"
    return None


class OwnSystemd:
    def __init__(self, process: subprocess.Popen[bytes], environment: dict[str, str]) -> None:
        self._process = process
        self._environment = environment

    def run(self, *command: str | Path, code: int | None = 0) -> str:
        """A command where this systemd is the one that runs the machine."""
        done = subprocess.run(
            ["nsenter", f"--target={self._process.pid}", "--mount", "--", *map(str, command)],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert code is None or done.returncode == code, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def show(self, unit: str, name: str) -> str:
        return self.run("systemctl", "--user", "show", f"--property={name}", "--value", unit).strip()


@contextmanager
def started(folder: Path, environment: dict[str, str]) -> Iterator[OwnSystemd]:
    runtime = folder / "run"
    runtime.mkdir(mode=0o700)
    own = [base / f"hyperfs-test-{os.getpid()}-{folder.name}" for base in GROUPS]
    for group in own:
        group.mkdir()
    surroundings = environment | {"XDG_RUNTIME_DIR": str(runtime), "HOME": str(folder)}
    surroundings.pop("DBUS_SESSION_BUS_ADDRESS", None)
    command = ["unshare", "--mount", "--propagation=private", "sh", "-c", START, "sh", *map(str, own)]
    try:
        with Ear(folder / "notify", seconds=120) as ear, (folder / "systemd.log").open("wb") as log:
            process = subprocess.Popen(
                command, env=surroundings | {"NOTIFY_SOCKET": ear.address}, stdout=log, stderr=log
            )
            ear.hear_of("READY")
            try:
                yield OwnSystemd(process, surroundings)
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(timeout=120)
    finally:
        _end(own)


def _end(groups: list[Path]) -> None:
    """Whatever is left in them is killed."""
    for group in groups:
        folders = sorted((path.parent for path in group.rglob("cgroup.procs")), reverse=True)  # the inner ones first
        for folder in folders:
            for pid in (folder / "cgroup.procs").read_text().split():
                os.kill(int(pid), signal.SIGKILL)
        for folder in folders:
            try:
                folder.rmdir()
            except OSError:
                continue  # the kernel has not buried them all yet; an empty group costs nothing
