"""Units that `hyperfs service` sets up: where no systemd runs, and under a real one."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hyperfs.cli import installing
from hyperfs.cli.peer_serving import serve
from hyperfs.errors import BadRequest
from tests.service import own_systemd
from tests.service.own_systemd import OwnSystemd

from .machine import AS_NOBODY, COMMAND, Machine


@pytest.fixture
def no_bus(machine: Machine) -> Machine:
    """A machine with a drive on which no systemd of the user can be asked."""
    if shutil.which("systemctl") is None:
        pytest.skip("systemd is not installed")
    machine.environment["XDG_RUNTIME_DIR"] = str(machine.folder / "nothing")
    machine.environment.pop("DBUS_SESSION_BUS_ADDRESS", None)
    machine.init()
    return machine


def units(machine: Machine) -> Path:
    return machine.folder / "config/systemd/user"


def test_a_drive_is_set_up_where_no_systemd_runs(no_bus: Machine) -> None:
    place = no_bus.folder / "My %h $HOME"
    facts = no_bus.facts("service", "install", place, "--store", no_bus.store, "--no-start")
    assert (facts["kind"], facts["folder"], facts["started"]) == ("mount", str(place), False)
    unit = facts["unit"]
    assert (units(no_bus) / "default.target.wants" / unit).is_symlink()
    done = subprocess.run(
        ["systemd-analyze", "--user", "verify", unit],
        env=no_bus.environment | {"SYSTEMD_UNIT_PATH": f"{units(no_bus)}:", "XDG_RUNTIME_DIR": str(no_bus.folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [service["unit"] for service in no_bus.facts("service", "list")] == [unit]
    assert no_bus.facts("service", "remove", place) == {"unit": unit, "removed": True, "stopped": False}
    assert no_bus.facts("service", "list") == []
    assert [path for path in units(no_bus).rglob("*") if not path.is_dir()] == []


def test_whoever_wants_it_started_hears_that_it_was_not(no_bus: Machine) -> None:
    done = no_bus.run("service", "install", no_bus.point, "--store", no_bus.store, code=4)
    assert "could not be started" in done.stderr
    assert len(no_bus.facts("service", "list")) == 1


def test_what_could_not_be_mounted_at_a_log_in_is_refused(no_bus: Machine) -> None:
    assert "no drive is mounted here" in no_bus.run("service", "install", code=2).stderr
    nothing = no_bus.folder / "nothing"
    no_bus.run("service", "install", no_bus.point, "--store", nothing, code=1)
    (secret := no_bus.folder / "secret").write_text("correct horse")
    files = json.loads((Path(__file__).parents[1] / "vectors" / "keyfile.json").read_text())["files"]
    wrapped = next(file["file"] for file in files if "wrapped" in file["name"])
    (no_bus.store / "keys").write_bytes(bytes.fromhex(wrapped))
    install = ("service", "install", no_bus.point, "--store", no_bus.store, "--no-start")
    assert "nobody is there to be asked" in no_bus.run(*install, code=5).stderr
    assert "--passphrase-file" in no_bus.facts(*install, "--passphrase-file", secret)["command"]


def test_a_follow_needs_a_drive(no_bus: Machine) -> None:
    (source := no_bus.folder / "plain").mkdir()
    done = no_bus.run("service", "install", "--follow", source, no_bus.folder / "copy", code=2)
    assert "in no mounted drive" in done.stderr
    assert no_bus.facts("service", "list") == []


@pytest.mark.parametrize(
    "words", [("--peer",), ("--listen", "x:1"), ("--quota", "1G"), ("--peer", "--listen", "x:1", "--follow", "y")]
)
def test_options_that_do_not_go_together(machine: Machine, words: tuple[str, ...]) -> None:
    machine.run("service", "install", machine.point, *words, code=2)


def test_a_cloud_peer_is_a_matter_of_root(machine: Machine) -> None:
    machine.prefix = AS_NOBODY if os.geteuid() == 0 else []
    done = machine.run("service", "install", "--peer", "--listen", "0.0.0.0:4780", code=5, cwd=Path("/"))
    assert "call this as root" in done.stderr


def test_a_cloud_peers_options_are_those_of_serve() -> None:
    words = installing.peer_options("[::]:4780", "x.org:1", None, "20G", {"--only-listed": True, "--lan": False})
    assert words == ["--listen", "[::]:4780", "--public", "x.org:1", "--quota", "20G", "--json", "--only-listed"]
    serve.make_context("serve", ["--store", "/s", *words])
    with pytest.raises(BadRequest):
        installing.peer_options("x.org", None, None, None, {})


def test_what_is_no_service_is_not_removed(machine: Machine) -> None:
    machine.run("service", "remove", "ssh.service", code=2)


@pytest.fixture
def systemd(machine: Machine, fuse: None) -> Iterator[OwnSystemd]:
    if os.environ.get("HYPERFS_ALL") != "1":
        pytest.skip("a systemd of its own takes ten seconds: HYPERFS_ALL=1")
    if why := own_systemd.why_not():
        pytest.skip(why)
    machine.environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    with own_systemd.started(machine.folder, machine.environment) as systemd:
        yield systemd


def test_a_real_systemd_mounts_follows_restarts_and_ends(machine: Machine, systemd: OwnSystemd) -> None:
    def hyperfs(*words: str | Path) -> dict[str, str]:
        return dict(json.loads(systemd.run(*COMMAND, *words, "--json")))

    place = machine.folder / 'My %h $HOME "drive"'
    (source := machine.folder / "plain").mkdir()
    (source / "file").write_text("followed")
    machine.init()
    mount = hyperfs("service", "install", place, "--store", machine.store)
    assert mount["started"]
    assert systemd.show(mount["unit"], "StatusText") == f"Mounted at {place}"
    systemd.run("mountpoint", "-q", place)  # started is mounted

    follow = hyperfs("service", "install", "--follow", source, place / "copy")
    assert follow["started"]
    systemd.run("timeout", "60", "sh", "-c", 'until test -s "$0"; do sleep 0.1; done', place / "copy/file")

    pid = int(systemd.show(mount["unit"], "MainPID"))
    os.kill(pid, signal.SIGKILL)
    restarts = 'systemctl --user show --property=NRestarts --value "$0"'
    systemd.run("timeout", "120", "sh", "-c", f'until test "$({restarts})" = 1; do sleep 0.1; done', mount["unit"])
    systemd.run("systemctl", "--user", "start", mount["unit"])  # returns when it has been started again
    # The kill may have come before the copy was durable: then it is made again.
    systemd.run("timeout", "60", "sh", "-c", 'until test -s "$0"; do sleep 0.1; done', place / "copy/file")
    assert systemd.run("cat", place / "copy/file") == "followed"

    for unit in (follow["unit"], mount["unit"]):
        assert hyperfs("service", "remove", unit)["stopped"]
        assert systemd.show(unit, "Result") == "success"
    systemd.run("mountpoint", "-q", place, code=32)
    assert machine.facts("status", machine.store)["files"] == 1
