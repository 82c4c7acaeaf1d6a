"""What another user, a thief of the disk or a helpful program finds on a computer where a drive is mounted."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from hyperfs.crypto import wrap
from hyperfs.crypto.keys import DeviceKeys
from hyperfs.store.folder import SOCKET

from .machine import NOBODY, Machine

pytestmark = pytest.mark.mount

NAME, CONTENT = "Diary of Hortensia", b"nobody must read this line" * 50


def as_nobody(*command: str) -> "subprocess.CompletedProcess[bytes]":
    user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=-all"]
    return subprocess.run([*user, *command], capture_output=True, check=False)


def files_of(machine: Machine) -> list[Path]:
    """All but what is seen through the mount."""
    found = []
    for folder, folders, names in os.walk(machine.folder):
        if Path(folder) == machine.point:
            folders.clear()
            continue
        found += [Path(folder) / name for name in names]
    return [path for path in found if path.is_file() and not path.is_relative_to(machine.point)]


def secrets_of(machine: Machine, recovery: str) -> dict[str, bytes]:
    keys = DeviceKeys.from_bytes(wrap.unwrap((machine.store / "keys").read_bytes(), wrap.KIND_DEVICE))
    raw = keys.to_bytes()
    own = {f"device key {n}": raw[n : n + 32] for n in range(len(raw) % 32, len(raw), 32)}
    words = {"name": NAME.encode(), "content": CONTENT[:26]}
    return own | words | {"recovery key": recovery.encode(), "recovery key, bare": recovery.replace("-", "").encode()}


def test_attack_l01_no_key_and_no_name_is_in_sockets_caches_logs_or_proc(machine: Machine, fuse: None) -> None:
    """Without a passphrase the keys lie in two files for the user alone, and nowhere else."""
    machine.init()
    recovery = machine.facts("key", "show", machine.store)["recovery_key"]
    machine.mount()
    (machine.point / NAME).write_bytes(CONTENT)
    machine.run("sync", machine.point)
    machine.run("versions", machine.point / NAME)
    machine.run("restore", machine.point / "never there", "--at", "@1", code=1)  # and something for the log
    secrets = secrets_of(machine, recovery)

    pid = machine.drive_pid()
    proc = Path(f"/proc/{pid}")
    seen = {f"/proc/{pid}/{name}": (proc / name).read_bytes() for name in ("cmdline", "environ", "comm", "mountinfo")}
    seen |= {str(path): path.read_bytes() for path in files_of(machine)}
    seen["names of files"] = "\n".join(map(str, files_of(machine))).encode()
    found = {(what, where) for what, secret in secrets.items() for where, data in seen.items() if secret in data}
    assert {where for _, where in found} == {str(machine.store / "keys")}

    limits = (proc / "limits").read_text().splitlines()
    assert next(line for line in limits if line.startswith("Max core file size")).split()[4:6] == ["0", "0"]
    assert (proc / "mem").stat().st_uid == 0  # not dumpable: no other process of the user may look in either
    (root,) = (machine.folder / "config" / "hyperfs" / "roots").iterdir()
    private = [machine.store, root.parent, machine.store / "keys", machine.store / SOCKET, root]
    assert [oct(stat.S_IMODE(path.stat().st_mode)) for path in private] == ["0o700"] * 2 + ["0o600"] * 3
    for command in (["ls", machine.point], ["ls", machine.store], ["cat", proc / "mem"], ["cat", proc / "environ"]):
        assert as_nobody(*map(str, command)).returncode != 0
