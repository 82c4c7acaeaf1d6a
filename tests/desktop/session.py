"""A user's desktop session on a machine of a test's own: a message bus with gvfs and, where wanted, a screen."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tests.cli.machine import NOBODY, Machine

ALL = os.environ.get("HYPERFS_ALL") == "1"
SCREENSHOTS_VARIABLE = "HYPERFS_SCREENSHOTS"
"""Names a folder that gets a picture of the screen after every step, for whoever wants to see with own eyes."""
SERVICES = Path("/usr/share/dbus-1/services")
SCREEN = "1280x900x24"
SECONDS = 60.0

_AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=-all"]
_ACCESSIBLE = Path(__file__).with_name("accessible.py")

T = TypeVar("T")
Done = subprocess.CompletedProcess[str]


def until(what: str, look: Callable[[], T], seconds: float = SECONDS) -> T:
    """Looks again and again until the answer is true; fails past the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.1)


def has(program: str) -> bool:
    """A program by its name, or a service of the message bus by its longer one."""
    return shutil.which(program) is not None or (SERVICES / f"{program}.service").exists()


def has_gvfs() -> bool:
    """The trash's list, restoring and volumes are gvfs's; GLib alone copies, moves, watches and trashes."""
    return has("dbus-daemon") and has("org.gtk.vfs.Daemon")


class Session:
    """Programs of one user. What is started here ends with the machine at the latest."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.home = machine.folder
        self.drive = machine.point
        enter = machine.prefix[: machine.prefix.index("--") + 1] if machine.prefix else []
        # The drive's process may read all, so as to find its Python; what a user sees must not depend on that.
        self.prefix = [*enter, *_AS_NOBODY] if machine.prefix else []
        runtime = machine.folder / "run"
        runtime.mkdir(mode=0o700)
        if machine.prefix:
            os.chown(runtime, NOBODY, NOBODY)
        strangers = ("DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "AT_SPI_BUS_ADDRESS")
        self.environment = {name: value for name, value in machine.environment.items() if name not in strangers} | {
            "XDG_RUNTIME_DIR": str(runtime),
            "LC_ALL": "C.UTF-8",
            "GVFS_DISABLE_FUSE": "1",
            "GIO_USE_VFS": "local",
        }
        self._shots = 0
        self._started: list[subprocess.Popen[Any]] = []

    def end(self) -> None:
        """Ends all programs, newest first, and takes the drive away; however the test went."""
        for process in reversed(self._started):
            process.kill()
        self.machine.end()  # with what the bus has started
        for process in self._started:
            process.wait(20)

    def run(self, *command: str | bytes | Path, code: int = 0, stdin: str | None = None) -> Done:
        """A program to its end, which must be with that exit code."""
        done = subprocess.run(
            [*self.prefix, *(word if isinstance(word, bytes) else str(word) for word in command)],
            env=self.environment,
            cwd=self.home,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=120,
            check=False,
        )
        assert done.returncode == code, f"{command}\n{done.stdout}\n{done.stderr}"
        return done

    # The drive belongs to the user alone: what stands on it is asked of programs of theirs.

    def ask(self, expression: str, *arguments: str | Path) -> Any:
        """What a Python expression is there, with `os`, `Path` and the arguments as `a`; bytes as latin-1."""
        code = (
            "import json, os, sys; from pathlib import Path; a = sys.argv[1:];"
            f"print(json.dumps({expression}, default=lambda data: data.decode('latin-1')))"
        )
        return json.loads(self.run("/usr/bin/python3", "-c", code, *arguments).stdout)

    def write_file(self, path: Path, data: bytes) -> None:
        self.ask("Path(a[0]).write_bytes(bytes.fromhex(a[1]))", path, data.hex())

    def read_file(self, path: Path) -> bytes:
        return str(self.ask("Path(a[0]).read_bytes()", path)).encode("latin-1")

    def names_in(self, path: Path) -> list[bytes]:
        """Sorted, as they are on the disk."""
        return sorted(name.encode("latin-1") for name in self.ask("os.listdir(os.fsencode(a[0]))", path))

    def is_there(self, path: Path) -> bool:
        return bool(self.ask("os.path.lexists(a[0])", path))

    def start(self, *command: str | bytes | Path, log: str = "programs.log") -> subprocess.Popen[bytes]:
        """A program that goes on."""
        with (self.home / log).open("ab") as said:
            process = subprocess.Popen(
                [*self.prefix, *(word if isinstance(word, bytes) else str(word) for word in command)],
                env=self.environment,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
            )
        self._started.append(process)
        return process

    def start_bus(self) -> None:
        """A message bus, on which gvfs starts when it is asked for."""
        bus = self._said_by("dbus-daemon", "--session", "--nofork", "--print-address=1")
        self.environment["DBUS_SESSION_BUS_ADDRESS"] = bus
        del self.environment["GIO_USE_VFS"]

    def start_screen(self) -> None:
        """A display that nobody sees, a window manager, and what tells programs for the blind what is shown.

        Before the bus, whose programs must know the display.
        """
        number = self._said_by("Xvfb", "-displayfd", "1", "-screen", "0", SCREEN, "-nolisten", "tcp")
        self.environment |= {"DISPLAY": f":{number}", "GDK_BACKEND": "x11", "NO_AT_BRIDGE": "0"}
        self.start("openbox")

    def _said_by(self, *command: str) -> str:
        """The first line of a program that goes on."""
        process = subprocess.Popen(
            [*self.prefix, *command],
            env=self.environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._started.append(process)
        assert process.stdout is not None
        with process.stdout:
            line = process.stdout.readline().strip()
        assert line, f"{command} said nothing"
        return line

    # What is shown

    def shot(self, name: str) -> None:
        """A picture of the screen, where somebody wants to see."""
        folder = os.environ.get(SCREENSHOTS_VARIABLE)
        if folder:
            self._shots += 1
            path = Path(folder) / f"{self._shots:02}-{name}.png"
            with path.open("wb") as picture:
                subprocess.run(
                    [*self.prefix, "import", "-window", "root", "png:-"],
                    env=self.environment, stdout=picture, check=False, timeout=60,
                )  # fmt: skip

    def shown(self) -> list[dict[str, Any]]:
        """Everything that the programs show now: `role`, `name`, `text`, and where on the screen."""
        said = self.run("/usr/bin/python3", _ACCESSIBLE).stdout
        found: list[dict[str, Any]] = json.loads(said)
        return found

    def names(self, role: str) -> list[str]:
        """What the shown things of a kind say."""
        return [thing["name"] or thing["text"] for thing in self.shown() if thing["role"] == role]

    def window(self, title: str) -> str:
        """Waits for a window with that title, and gives its number. `title` is a regular expression."""
        return until(f"a window {title!r}", lambda: self._window(title))

    def has_window(self, title: str) -> bool:
        return bool(self._window(title))

    def _window(self, title: str) -> str:
        done = subprocess.run(
            [*self.prefix, "xdotool", "search", "--onlyvisible", "--name", title],
            env=self.environment, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        return done.stdout.split("\n")[0].strip()

    # What a user does

    def press(self, *keys: str) -> None:
        for key in keys:
            self.run("xdotool", "key", "--clearmodifiers", key)

    def write(self, text: str) -> None:
        """Types a text."""
        self.run("xdotool", "type", "--delay", "20", "--clearmodifiers", text)

    def click(self, x: int, y: int, button: int = 1) -> None:
        self.run("xdotool", "mousemove", "--sync", str(x), str(y), "click", str(button))
