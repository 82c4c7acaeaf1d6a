"""A machine of a test's own: folders for data and configuration, and the command as a user runs it."""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

MNT_DETACH = 2
NOBODY = 65534
# The tests' Python may lie below root's home: reading it is allowed to the ordinary user of these tests, nothing else.
AS_NOBODY = [
    "setpriv",
    f"--reuid={NOBODY}",
    f"--regid={NOBODY}",
    "--clear-groups",
    "--inh-caps=-all,+dac_read_search",
    "--ambient-caps=-all,+dac_read_search",
]
# /dev/fuse is for everybody on most machines and for root alone in some containers: so in these tests it is a node of
# their own that everybody may open, in a mount namespace of their own.
OPEN_FUSE = "mknod -m 666 fuse c 10 229 && mount --bind fuse /dev/fuse && echo ready && exec sleep infinity"
COMMAND = [sys.executable, "-c", "from hyperfs.cli.main import main; main()"]

Done = subprocess.CompletedProcess[str]


class Machine:
    """Everything that a test mounts or starts here is gone after `end`, however the test went."""

    def __init__(self, folder: Path, ordinary_user: bool = False) -> None:
        self.folder = folder
        self.prefix: list[str] = []
        self.patience_seconds = 120.0
        self._namespace: subprocess.Popen[bytes] | None = None
        if ordinary_user:
            self._namespace = subprocess.Popen(
                ["unshare", "-m", "sh", "-c", OPEN_FUSE], cwd=folder, stdout=subprocess.PIPE
            )
            assert self._namespace.stdout is not None
            assert self._namespace.stdout.readline() == b"ready\n"
            self.prefix = ["nsenter", f"--target={self._namespace.pid}", "--mount", "--", *AS_NOBODY]
        self.store = folder / "store"
        self.point = folder / "mount"
        self.point.mkdir()
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("HYPERFS", "XDG", "MALLOC"))
        } | {
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_DATA_HOME": str(folder / "data"),
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "TZ": "UTC",
        }
        if ordinary_user:
            for path in (folder, self.point):
                os.chown(path, NOBODY, NOBODY)

    def run(
        self,
        *arguments: str | bytes | Path,
        code: int = 0,
        stdin: str | None = None,
        cwd: Path | None = None,
        **environment: str,
    ) -> Done:
        """A command that must end with that exit code, and never with a traceback."""
        done = subprocess.run(
            [*self.prefix, *COMMAND, *(a if isinstance(a, bytes) else str(a) for a in arguments)],
            env=self.environment | environment,
            cwd=cwd or self.folder,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=self.patience_seconds,
            check=False,
        )
        said = f"{arguments}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in said, said
        assert done.returncode == code, said
        return done

    def facts(self, *arguments: str | bytes | Path, code: int = 0, stdin: str | None = None) -> Any:
        """What a command prints with --json."""
        return json.loads(self.run(*arguments, "--json", code=code, stdin=stdin).stdout)

    def init(self, *options: str | Path) -> None:
        self.run("init", self.store, *options)

    def mount(self, *options: str | Path, code: int = 0) -> Done:
        return self.run("mount", self.store, self.point, *options, code=code)

    def unmount(self, *options: str) -> Done:
        return self.run("unmount", self.point, *options)

    def program(self, *command: str | Path) -> str:
        """What another program of the same user prints; it must succeed."""
        done = subprocess.run([*self.prefix, *map(str, command)], check=True, capture_output=True, text=True)
        return done.stdout

    def has_mounted(self, point: Path) -> bool:
        """Whether a mount point is one, as the machine's user sees it."""
        return any(line.split()[4] == str(point) for line in self.program("cat", "/proc/self/mountinfo").splitlines())

    def drive_pid(self) -> int:
        """Of the process that has the store open."""
        return int((self.store / "lock").read_text())

    def end(self) -> None:
        """Detaches what is mounted below the folder, ends what serves it, removes it all."""
        processes = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if self._is_ours(pid)]
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            point = line.split()[4]
            if point.startswith(f"{self.folder}/"):
                ctypes.CDLL(None).umount2(os.fsencode(point.replace("\\040", " ")), MNT_DETACH)
                if os.geteuid() != 0:
                    subprocess.run(["fusermount3", "-uz", point], check=False, capture_output=True)
        # Supervisors first, or they would start again what is killed.
        for pid in sorted(processes):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if self._namespace is not None:
            self._namespace.kill()
            self._namespace.communicate()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _is_ours(self, pid: int) -> bool:
        try:
            words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return False
        return f"XDG_DATA_HOME={self.environment['XDG_DATA_HOME']}".encode() in words
