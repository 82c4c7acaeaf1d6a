"""Samba's own server and client on a mounted drive, with the share that `packaging/samba/share` prints."""

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import Final

PROGRAMS: Final = ("smbd", "smbclient", "smbpasswd", "findmnt")
SCRIPT: Final = Path(__file__).parents[2] / "packaging/samba/share"
SHARE: Final = "Hyper Drive"
PASSWORD: Final = "correct horse"
GLOBAL: Final = """[global]
    server role = standalone server
    disable netbios = yes
    disable spoolss = yes
    load printers = no
    printing = bsd
    interfaces = 127.0.0.1
    bind interfaces only = yes
    smb ports = {port}
    passdb backend = tdbsam:{folder}/passdb.tdb
    private dir = {folder}
    lock directory = {folder}
    state directory = {folder}
    cache directory = {folder}
    pid directory = {folder}
    ncalrpc dir = {folder}/ncalrpc
    log file = {folder}/log
"""


def why_not() -> str | None:
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"NOT RUN: {', '.join(missing)} missing here (packaging/suites installs samba and smbclient)"
    if not list(Path("/usr/lib").glob("*/samba/vfs/fruit.so")):
        return "NOT RUN: Samba's modules are missing here (packaging/suites installs samba-vfs-modules)"
    if os.geteuid() != 0:
        return "NOT RUN: smbd has to be started by root"
    return None


class Server:
    """A context manager. Everything of the server lies in its own folder; it listens on the loopback only."""

    def __init__(self, folder: Path, shared: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._port = _free_port()
        self._configuration = folder / "smb.conf"
        share = subprocess.run([SCRIPT, SHARE, shared], check=True, capture_output=True, text=True, env=environment)
        self.advice = share.stderr
        text = GLOBAL.format(folder=folder, port=self._port) + share.stdout
        self._configuration.write_text(text)

    def __enter__(self) -> "Server":
        subprocess.run(
            ["smbpasswd", "-L", "-c", self._configuration, "-a", "-s", "root"],
            input=f"{PASSWORD}\n{PASSWORD}\n", text=True, check=True, capture_output=True, env=self._environment,
        )  # fmt: skip
        with (self._folder / "said").open("wb") as said:
            self._process = subprocess.Popen(
                ["smbd", "--foreground", "--no-process-group", f"--configfile={self._configuration}"],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,  # it ends its whole process group when it is ended
            )
        while not _answers(self._port):
            assert self._process.poll() is None, (self._folder / "said").read_text()
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait(timeout=60)

    def run(self, *commands: str) -> str:
        """What smbclient prints for its commands, run one after the other."""
        done = subprocess.run(
            [
                "smbclient", f"//127.0.0.1/{SHARE}", f"--port={self._port}", f"--user=root%{PASSWORD}",
                f"--configfile={self._configuration}", "--command", "; ".join(commands),
            ],
            cwd=self._folder, capture_output=True, text=True, errors="surrogateescape", timeout=100, check=False,
            env=self._environment | {"LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        return done.stdout + done.stderr

    def get(self, path: str) -> bytes:
        """The bytes of a file as a client has them."""
        (self._folder / "got").unlink(missing_ok=True)
        said = self.run(f'get "{path}" got')
        assert (self._folder / "got").exists(), said
        return (self._folder / "got").read_bytes()

    def put(self, content: bytes, path: str) -> str:
        (self._folder / "to put").write_bytes(content)
        return self.run(f'put "to put" "{path}"')

    def versions(self, path: str) -> list[str]:
        """What "Previous Versions" lists, newest first."""
        return [line for line in self.run(f'allinfo "{path}"').splitlines() if line.startswith("@GMT-")]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True
