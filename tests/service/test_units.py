"""The units in systemd/: whether systemd understands them, and how much the cloud peer's leaves open."""

import shutil
import subprocess
from pathlib import Path

import pytest

from hyperfs.service.kinds import FOLLOW, MOUNT, PEER

UNITS = Path(__file__).resolve().parents[2] / "systemd"
EXPOSURE_MOST = 1.5
"""Of 10, as systemd-analyze counts."""

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")


def analyze(runtime: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *map(str, words)],
        env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(runtime), "XDG_RUNTIME_DIR": str(runtime)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize(("name", "scope"), [(MOUNT, "--user"), (FOLLOW, "--user"), (PEER, "--system")])
def test_units_are_such_that_systemd_understands(tmp_path: Path, name: str, scope: str) -> None:
    done = analyze(tmp_path, scope, "verify", UNITS / name)
    # It answers 0 to lines that it ignores, and says so.
    assert (done.returncode, done.stderr) == (0, "")


def test_strangers_find_little_behind_the_cloud_peer(tmp_path: Path) -> None:
    """Only what it is for is open: the network, its folder."""
    threshold = f"--threshold={round(EXPOSURE_MOST * 10)}"
    done = analyze(tmp_path, "--offline=true", threshold, "security", UNITS / PEER)
    assert done.returncode == 0, done.stdout


def settings(name: str, key: str) -> list[str]:
    lines = (UNITS / name).read_text().splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{key}=")]


@pytest.mark.parametrize("name", [MOUNT, FOLLOW, PEER])
def test_each_is_ready_when_it_says_so_and_is_watched(name: str) -> None:
    assert settings(name, "Type") == ["notify"]
    assert settings(name, "NotifyAccess") == ["main"]
    assert len(settings(name, "WatchdogSec")) == 1
    assert settings(name, "LimitCORE") == ["0"]


def test_a_mounts_unit_lets_a_drive_go_that_others_have_unmounted() -> None:
    """systemd runs ExecStop then too, and takes its failure for one of the service, which it starts again."""
    assert settings(MOUNT, "ExecStop") == ["-/usr/bin/env hyperfs unmount --wait %f"]


def test_a_mounts_unit_keeps_fusermount_able_to_mount_and_the_drive_visible() -> None:
    hiding = ("NoNewPrivileges", "ProtectSystem", "PrivateTmp", "ProtectHome", "SystemCallFilter", "RestrictNamespaces")
    assert [key for key in hiding if settings(MOUNT, key)] == []
