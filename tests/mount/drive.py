"""A drive of the tests: its store, its mount point, and the process that serves it."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from tests.waiting import readable

DAEMON = Path(__file__).with_name("daemon_main.py")
READY_SECONDS = 30.0
END_SECONDS = 60.0
LONG = os.environ.get("HYPERFS_ALL") == "1"
"""The long runs: more kills, more rounds, larger trees."""

T = TypeVar("T")


def why_no_mount() -> str:
    """Why nothing can be mounted on this machine; empty where it can."""
    if not os.path.exists("/dev/fuse"):
        return "there is no /dev/fuse"
    if shutil.which("fusermount3") is None:
        return "fusermount3 is not installed"
    return ""


def until(what: str, look: Callable[[], T], seconds: float = 20.0) -> T:
    """Looks again and again until the answer is true; fails past the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


class Drive:
    """One store and one mount point below `folder`. `end` takes all away, whatever has happened."""

    daemon = DAEMON
    """The program that serves it."""

    def __init__(self, folder: Path, as_user: Sequence[str] = ()) -> None:
        """`as_user` is the command that runs the daemon as somebody else."""
        self.folder = folder
        self.store = folder / "store"
        self.point = folder / "mnt"
        self.log = folder / "daemon.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._as_user = list(as_user)
        self.point.mkdir(exist_ok=True)

    def mount(self, *flags: str) -> "Drive":
        """Returns when the mount answers."""
        process = self.start(*flags)
        assert process.stdout is not None
        said = process.stdout.readline() if readable([process.stdout], READY_SECONDS) else b"nothing"
        if said != b"ready\n":
            self.end()
            raise AssertionError(f"the daemon said {said!r}:\n{self.log.read_text()[-4000:]}")
        return self

    def start(self, *flags: str) -> subprocess.Popen[bytes]:
        """Only starts the daemon: `mount` waits for it too."""
        assert self.process is None, "it is mounted"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self._as_user, sys.executable, str(self.daemon), str(self.store), str(self.point), *flags],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd="/",
                start_new_session=True,
            )
        return self.process

    def unmount(self) -> None:
        """As `fusermount3 -u`, then waits for the daemon, which must end well."""
        assert self.process is not None
        command = [*self._as_user, "fusermount3", "-u", str(self.point)]
        # The drive's own child that has the kernel write back may hold it for a moment (docs/file-managers.md).
        until("nobody holds the mount", lambda: not _says_busy(command), END_SECONDS)
        code = self.process.wait(END_SECONDS)
        self._close()
        assert code == 0, f"the daemon ended with {code}:\n{self.log.read_text()[-4000:]}"

    def remount(self, *flags: str) -> "Drive":
        self.unmount()
        return self.mount(*flags)

    def kill(self) -> None:
        """SIGKILL, and the dead mount is taken away."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(END_SECONDS)
        self._detach()
        self._close()

    def end(self) -> None:
        """Takes the mount away and ends the process, even if neither answers any more."""
        if self.process is None:
            return
        process = self.process
        try:
            self._abort()
            self._detach()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
        finally:
            process.kill()
            process.wait(END_SECONDS)
            self._close()

    def _close(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None

    def _detach(self) -> None:
        subprocess.run(
            [*self._as_user, "fusermount3", "-u", "-z", str(self.point)],
            stderr=subprocess.DEVNULL,
            timeout=END_SECONDS,
            check=False,
        )

    def _abort(self) -> None:
        """Every request that waits for the daemon fails, so nothing of ours hangs. Only root may."""
        number = self.device_number()
        if number is not None:
            with contextlib.suppress(OSError):
                Path(f"/sys/fs/fuse/connections/{number}/abort").write_text("1")

    def device_number(self) -> int | None:
        """The minor device number of the mount, from the mount table: asking the mount itself may hang."""
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            fields = line.split()
            if fields[4] == str(self.point):
                return int(fields[2].partition(":")[2])
        return None

    # Versions

    def versions(self, folder: Path | None = None) -> Path:
        return (folder or self.point) / ".versions"

    def entries(self, folder: Path | None = None) -> list[str]:
        """The entries of a folder's `.versions` that are times, oldest first."""
        return sorted(name for name in os.listdir(self.versions(folder)) if name.startswith("20"))

    def snapshot(self, name: str, folder: Path | None = None) -> Path:
        """Keeps the present under a name: by mkdir, after the kernel has sent what it holds."""
        sync_filesystem(self.point)
        path = self.versions(folder) / name
        path.mkdir()
        return path


def sync_filesystem(path: Path) -> None:
    """sync(1) of one filesystem: what programs wrote has reached the daemon when it returns."""
    subprocess.run(["sync", "-f", str(path)], check=True, timeout=END_SECONDS)


def _says_busy(command: list[str]) -> bool:
    """Runs it; True where the mount is in use. Any other failure is raised."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=END_SECONDS)
    assert not done.returncode or "busy" in done.stderr, done.stderr
    return done.returncode != 0
