"""Asking systemd, by systemctl: the user's own or the machine's."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import Final

from hyperfs.errors import HyperfsError, Unreachable

SECONDS_MOST: Final = 900.0
"""A drive may take five minutes for its last commit, and as long until it answers."""
_FILES_ALONE: Final = {"SYSTEMCTL_INSTALL_CLIENT_SIDE": "1"}
"""Links are made by systemctl itself: so it works where systemd can't be asked, too."""
_NO_BUS: Final = ("Failed to connect to bus", "has not been booted with systemd", "Failed to get D-Bus connection")


@dataclass(frozen=True)
class State:
    """Of a unit: `active` as `active`, `failed`, `inactive`; empty where systemd can't be asked."""

    active: str
    enabled: str
    status: str


@dataclass(frozen=True)
class Systemd:
    is_user: bool

    def enable(self, unit: str) -> None:
        """At each log-in or boot from now on. Works where no systemd runs."""
        self._call("enable", "--quiet", unit)

    def disable(self, unit: str) -> None:
        self._call("disable", "--quiet", unit)

    def reload(self) -> None:
        """Has it read the files again. Raises Unreachable where it doesn't run."""
        self._call("daemon-reload")

    def restart(self, unit: str) -> None:
        """Started, or started again with what the files say now. Returns when it is ready. Raises HyperfsError."""
        self._call("reset-failed", unit, may_fail=True)
        try:
            self._call("restart", unit)
        except Unreachable:
            raise
        except HyperfsError:
            scope = "--user " if self.is_user else ""
            raise HyperfsError(
                f"{unit} did not start: 'journalctl {scope}--unit {unit}' tells why, most often in its last lines"
            ) from None

    def stop(self, unit: str) -> None:
        self._call("stop", unit)

    def state(self, unit: str) -> State:
        try:
            told = self._call("show", "--property=ActiveState,UnitFileState,StatusText", unit)
        except HyperfsError:
            return State("", "", "")
        facts = dict(line.split("=", 1) for line in told.splitlines() if "=" in line)
        return State(facts.get("ActiveState", ""), facts.get("UnitFileState", ""), facts.get("StatusText", ""))

    def _call(self, verb: str, *words: str, may_fail: bool = False) -> str:
        program = shutil.which("systemctl")
        if program is None:
            raise Unreachable("this machine has no systemd (there is no systemctl)")
        scope = ["--user"] if self.is_user else []
        try:
            done = subprocess.run(
                [program, *scope, "--no-pager", verb, *words],
                capture_output=True,
                text=True,
                timeout=SECONDS_MOST,
                check=False,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **(_FILES_ALONE if verb in ("enable", "disable") else {})},
            )
        except subprocess.TimeoutExpired:
            raise Unreachable(f"systemd has not answered for {SECONDS_MOST / 60:.0f} minutes") from None
        if done.returncode == 0 or may_fail:
            return done.stdout
        words_of_it = done.stderr.strip()
        if any(sign in words_of_it for sign in _NO_BUS):
            whose = "of this user" if self.is_user else "of this machine"
            raise Unreachable(f"the systemd {whose} does not run, or can't be reached from here ({words_of_it})")
        raise HyperfsError(f"systemctl {verb} {' '.join(words)}: {words_of_it or 'failed'}")
