"""The scripts of packaging/: they parse, do nothing twice, and say what is wrong in words.

What a script calls (package manager, pip, pytest) is put before it as small programs on PATH or in .venv:
that is its seam. A real set-up on a bare system needs the network and is no unit test.
"""

import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = [
    *("packaging/setup", "packaging/suites", "packaging/mount"),
    *("packaging/remove", "packaging/test", ".ci/run", "packaging/samba/share"),
]
SOURCED = "packaging/shell.sh"


def program(path: Path, body: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command],
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the scripts need, under a name with a blank in it."""
    there = tmp_path / "a checkout"
    shutil.copytree(ROOT / "packaging", there / "packaging")
    shutil.copytree(ROOT / ".ci", there / ".ci")
    shutil.copy(ROOT / "pyproject.toml", there)
    return there


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A folder for PATH with the programs of every Debian and nothing of what setup looks for."""
    there = tmp_path / "bin"
    there.mkdir()
    for name in (
        "bash",
        "env",
        "id",
        "dirname",
        "basename",
        "flock",
        "cat",
        "cut",
        "sha256sum",
        "realpath",
        "rm",
        "ln",
    ):
        (there / name).symlink_to(str(shutil.which(name)))
    return there


@pytest.mark.parametrize("script", [*SCRIPTS, SOURCED])
def test_bash_can_parse_it(script: str) -> None:
    done = run("bash", "-n", ROOT / script)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("script", [*SCRIPTS, SOURCED])
def test_shellcheck_finds_nothing(script: str) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    done = run("shellcheck", "-x", "-P", ROOT, ROOT / script)
    assert done.stdout == ""


@pytest.mark.parametrize("script", SCRIPTS)
def test_it_can_be_run_and_stops_at_the_first_error(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)
    assert "set -euo pipefail" in (ROOT / script).read_text()


@pytest.mark.parametrize("script", [script for script in SCRIPTS if script not in ("packaging/test", ".ci/run")])
def test_wrong_usage_is_answered_with_the_usage_and_exit_code_2(script: str) -> None:
    done = run(ROOT / script, "--nonsense")
    assert done.returncode == 2
    assert done.stderr.startswith(f"usage: {script}")


def test_the_pins_are_versions_only_and_cover_what_the_project_names() -> None:
    lines = [line for line in (ROOT / "packaging/constraints.txt").read_text().splitlines() if line[0] != "#"]
    pin = r"[A-Za-z0-9_.-]+==[0-9][A-Za-z0-9.]*(; python_version [<>]=? \"3\.[0-9]+\")?"
    assert [line for line in lines if not re.fullmatch(pin, line)] == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = project["dependencies"] + project["optional-dependencies"]["test"]
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines}
    assert {re.split(r"[=<>[]", name)[0].lower() for name in named} <= pinned


def test_without_root_setup_names_the_packages_and_the_command(checkout: Path, bare_path: Path) -> None:
    program(bare_path / "apt-get", "echo must not be called; exit 9")
    (bare_path / "id").unlink()
    program(bare_path / "id", "echo 1000")
    done = run(checkout / "packaging/setup", PATH=str(bare_path))
    assert done.returncode == 1
    assert "needs root" in done.stderr
    assert "apt-get install fuse3" in done.stderr
    assert "must not be called" not in done.stdout


def test_without_apt_setup_names_the_packages(checkout: Path, bare_path: Path) -> None:
    done = run(checkout / "packaging/setup", PATH=str(bare_path))
    assert done.returncode == 1
    assert "please install these first" in done.stderr
    assert "fuse3" in done.stderr


def test_as_root_setup_installs_all_that_is_missing_to_build(checkout: Path, bare_path: Path) -> None:
    (bare_path / "id").unlink()
    program(bare_path / "id", "echo 0")
    asked = checkout / "asked"
    program(bare_path / "apt-get", f'echo "$*" >>"{asked}"; [[ $* != *install* ]]')
    done = run(checkout / "packaging/setup", PATH=str(bare_path))
    assert done.returncode == 1
    assert "could not install" in done.stderr
    assert asked.read_text().endswith(
        "python3 python3-venv python3-dev gcc libc6-dev pkg-config libfuse3-dev\n"
    )


def test_where_python_is_too_old_a_newer_one_is_installed_beside_it(checkout: Path, bare_path: Path) -> None:
    (bare_path / "id").unlink()
    program(bare_path / "id", "echo 0")
    program(bare_path / "python3", "exit 1")
    newer = f'ln -s "{sys.executable}" "{bare_path}/python3.11"'
    program(
        bare_path / "apt-get", f'[[ $* != *"install python3.11 python3.11-venv python3.11-dev" ]] || {newer}'
    )
    done = run(
        checkout / "packaging/setup", PATH=str(bare_path), PIP_NO_INDEX="1", PIP_CONFIG_FILE="/dev/null"
    )
    assert "Making .venv with Python 3." in done.stdout
    # Without an index nothing can be installed into it, which is said, and leaves no stamp.
    assert "could not install the Python libraries" in done.stderr
    assert list((checkout / ".venv").glob("stamp-*")) == []


def test_a_set_up_that_is_current_is_left_alone_quickly_and_without_network() -> None:
    if not (ROOT / ".venv" / "stamp-test").exists():
        pytest.skip("these tests do not run from the .venv of packaging/test")
    before = (ROOT / ".venv" / "stamp-test").stat().st_mtime_ns
    start = time.monotonic()
    done = run(ROOT / "packaging/setup", "--test", PIP_NO_INDEX="1", npm_config_offline="true")
    assert (done.returncode, done.stdout) == (0, "")
    assert (ROOT / ".venv" / "stamp-test").stat().st_mtime_ns == before
    assert time.monotonic() - start < 3


@pytest.fixture
def tested(checkout: Path) -> Path:
    """A checkout that is set up, in which all checks pass."""
    program(checkout / "packaging/setup", "")
    for name in ("ruff", "mypy", "lint-imports"):
        program(checkout / ".venv/bin" / name, f'echo "{name} $*"')
    program(checkout / ".venv/bin/pytest", 'echo "pytest $*"; echo coverage; echo "3 passed in 0.1s"')
    return checkout


def test_the_tests_end_with_pytest_s_own_line_after_the_summary(tested: Path) -> None:
    done = run(tested / ".ci/run", "-k", "a b")
    assert done.returncode == 0
    *_, coverage, summary, last = done.stdout.splitlines()
    assert coverage == "coverage"
    assert re.fullmatch(r"ruff passed \(\d s\), mypy passed \(\d s\), imports passed \(\d s\)", summary)
    assert last == "3 passed in 0.1s"
    assert "-k a b" in done.stdout


@pytest.mark.parametrize("name", ["ruff", "mypy", "lint-imports"])
def test_a_failed_check_fails_the_run_and_the_tests_run_all_the_same(tested: Path, name: str) -> None:
    program(tested / ".venv/bin" / name, "exit 1")
    done = run(tested / "packaging/test")
    assert done.returncode == 1
    assert "FAILED" in done.stdout.splitlines()[-2]
    assert done.stdout.splitlines()[-1] == "3 passed in 0.1s"


def test_pytest_s_exit_code_is_the_run_s(tested: Path) -> None:
    program(tested / ".venv/bin/pytest", "echo 1 failed in 0.1s; exit 3")
    done = run(tested / "packaging/test")
    assert done.returncode == 3
    assert done.stdout.splitlines()[-1] == "1 failed in 0.1s"


def test_mount_makes_the_folder_and_passes_options_on(checkout: Path, tmp_path: Path) -> None:
    if not Path("/dev/fuse").exists():
        pytest.skip("there is no /dev/fuse here")
    program(checkout / "packaging/setup", "")
    program(checkout / ".venv/bin/hyperfs", 'printf "[%s]" "$@"')
    folder = tmp_path / "my\nHyper"
    done = run(checkout / "packaging/mount", folder, "--read-only")
    assert done.returncode == 0, done.stderr
    assert f"[mount][{folder}][--read-only]" in done.stdout
    assert folder.is_dir()
    assert (checkout / ".venv/drives").read_text() == f"new:{folder}\0"


def test_mount_that_fails_hands_on_the_exit_code(checkout: Path, tmp_path: Path) -> None:
    if not Path("/dev/fuse").exists():
        pytest.skip("there is no /dev/fuse here")
    program(checkout / "packaging/setup", "")
    program(checkout / ".venv/bin/hyperfs", "exit 5")
    assert run(checkout / "packaging/mount", tmp_path / "Hyper").returncode == 5
    assert not (checkout / ".venv/drives").exists()


def test_remove_keeps_the_data_and_says_where_it_and_the_keys_are(checkout: Path, tmp_path: Path) -> None:
    store = tmp_path / "share/hyperfs/default"
    store.mkdir(parents=True)
    (store / "hyperfs").write_text("hyperfs store\nformat 1\n")
    (tmp_path / "config/hyperfs/roots").mkdir(parents=True)
    (made := tmp_path / "Hyper").mkdir()
    (kept := tmp_path / "Other").mkdir()
    (checkout / ".venv").mkdir()
    (checkout / ".venv/drives").write_text(f"new:{made}\0old:{kept}\0")
    done = run(
        checkout / "packaging/remove",
        XDG_DATA_HOME=str(tmp_path / "share"),
        XDG_CONFIG_HOME=str(tmp_path / "config"),
    )
    assert done.returncode == 0, done.stderr
    assert not (checkout / ".venv").exists()
    assert (store / "hyperfs").exists()
    assert f"data  {store} (" in done.stdout
    assert f"key   {store}/keys" in done.stdout
    assert f"key   {tmp_path}/config/hyperfs/roots" in done.stdout
    assert (made.exists(), kept.exists()) == (False, True)


def test_remove_takes_the_services_of_its_venv_out_of_systemd(checkout: Path, tmp_path: Path) -> None:
    program(checkout / ".venv/bin/hyperfs", f'echo "$@" >>"{tmp_path}/called"')
    units = tmp_path / "config/systemd/user"
    for name, venv in (("hyperfs-mount@me.service", checkout / ".venv"), ("hyperfs-mount@other.service", tmp_path)):
        (units / f"{name}.d").mkdir(parents=True)
        (units / f"{name}.d/hyperfs.conf").write_text(f'ExecStart="{venv}/bin/hyperfs" "mount"\n')
    (units / "hyperfs-peer.service.d").mkdir()
    done = run(checkout / "packaging/remove", XDG_CONFIG_HOME=str(tmp_path / "config"), XDG_DATA_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "called").read_text() == "service remove hyperfs-mount@me.service\n"


def test_remove_refuses_while_something_runs_from_the_venv(checkout: Path, tmp_path: Path) -> None:
    sleeper = checkout / ".venv/bin/sleeper"
    sleeper.parent.mkdir(parents=True)
    sleeper.symlink_to(str(shutil.which("sleep")))
    with subprocess.Popen([str(sleeper), "60"]) as process:
        done = run(checkout / "packaging/remove")
        process.kill()
    assert done.returncode == 1
    assert f"{process.pid} {sleeper} 60" in done.stderr
    assert sleeper.is_symlink()
