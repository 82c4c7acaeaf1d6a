"""Building on a drive: make of a C project, and pip into a virtual environment."""

import csv
import os
import random
import shutil
import sys
import zipfile
from base64 import urlsafe_b64encode
from hashlib import sha256
from pathlib import Path

import pytest

from tests import tally
from tests.mount.drive import LONG, Drive

from .programs import hashes, need, need_source, run

UNITS = 200 if LONG else 12

MAKEFILE = """
CFLAGS = -O1
OBJECTS = $(patsubst %.c,%.o,$(wildcard *.c))
program: $(OBJECTS)
\t$(CC) -o $@ $(OBJECTS)
%.o: %.c
\t$(CC) $(CFLAGS) -MMD -c -o $@ $<
clean:
\trm -f program *.o *.d
-include *.d
"""
GIT_OPTIONS = ["NO_CURL=1", "NO_EXPAT=1", "NO_GETTEXT=1", "NO_TCLTK=1", "NO_OPENSSL=1", "CFLAGS=-O1"]


def make_project(folder: Path) -> int:
    """A program of many units; returns what it prints."""
    rng = random.Random(9)
    folder.mkdir()
    values = [rng.randrange(1000) for _ in range(UNITS)]
    (folder / "Makefile").write_text(MAKEFILE)
    for number, value in enumerate(values):
        (folder / f"u{number}.h").write_text(f"#define VALUE{number} {value}\nint f{number}(void);\n")
        body = f"int f{number}(void) {{ return VALUE{number}; }}\n"
        (folder / f"u{number}.c").write_text(f'#include "u{number}.h"\n{body}')
    includes = "".join(f'#include "u{number}.h"\n' for number in range(UNITS))
    total = " + ".join(f"f{number}()" for number in range(UNITS))
    (folder / "main.c").write_text(f'#include <stdio.h>\n{includes}int main(void) {{ printf("%d\\n", {total}); }}\n')
    return sum(values)


def test_make_builds_all_then_nothing_then_what_has_changed(drive: Drive) -> None:
    need("make")
    need("gcc")
    folder = drive.point / "project"
    expected = make_project(folder)
    run("make", "-j4", cwd=folder, seconds=600)
    assert run("./program", cwd=folder) == f"{expected}\n"
    assert "is up to date" in run("make", cwd=folder)
    drive.remount()  # times to the nanosecond outlive it, so still nothing has to be made
    assert "is up to date" in run("make", cwd=folder)
    (folder / "u3.h").write_text("#define VALUE3 5000000\nint f3(void);\n")
    made = run("make", "-j4", cwd=folder)
    assert sorted(word for line in made.splitlines() for word in line.split()[-1:] if word.endswith(".c")) == [
        "main.c",
        "u3.c",
    ]
    assert int(run("./program", cwd=folder)) > 5_000_000
    run("make", "clean", cwd=folder)
    assert not list(folder.glob("*.o"))
    tally.add("units of C compiled on a drive", UNITS + 3)


@pytest.mark.timeout(7200)
def test_git_is_built_from_its_source(drive: Drive, tmp_path: Path) -> None:
    source = need_source("GIT_SOURCE", "git's build on a drive")
    if not LONG:
        pytest.skip("git's build takes minutes: HYPERFS_ALL=1")
    need("make")
    need("gcc")
    run("git", "-c", "safe.directory=*", "-C", source, "archive", "-o", tmp_path / "git.tar", "HEAD")
    built = {}
    for place in (drive.point / "git", tmp_path / "git"):
        place.mkdir()
        run("tar", "-xf", tmp_path / "git.tar", "-C", place)
        run("make", "-j2", *GIT_OPTIONS, "GIT_VERSION=2.0", "git", cwd=place, seconds=3000)
        built[place] = {name: value for name, value in hashes(place).items() if name.endswith(".o") or name == "git"}
    on_drive, on_disk = built.values()
    assert on_drive == on_disk
    # What is made anew each time, git's own lists of flags, is so on a disk too: nothing else is to be.
    wanted = [run("make", "-n", *GIT_OPTIONS, "GIT_VERSION=2.0", "git", cwd=place) for place in built]
    assert wanted[0] == wanted[1], "make would compile something again"
    tally.add("units of C compiled on a drive", len(on_drive))


def make_wheel(folder: Path) -> Path:
    """A package of one module, one data file and one command, in the form that pip installs without a network."""
    files = {
        "greeting/__init__.py": b"from importlib.resources import files\n"
        b"def main():\n    print(files('greeting').joinpath('data.txt').read_text())\n",
        "greeting/data.txt": b"from the drive",
        "greeting-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n",
        "greeting-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "greeting-1.0.dist-info/entry_points.txt": b"[console_scripts]\ngreeting = greeting:main\n",
    }
    record = "".join(f"{name},{digest(data)},{len(data)}\n" for name, data in files.items())
    path = folder / "greeting-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, data in files.items():
            wheel.writestr(name, data)
        wheel.writestr("greeting-1.0.dist-info/RECORD", record + "greeting-1.0.dist-info/RECORD,,\n")
    return path


def digest(data: bytes) -> str:
    return "sha256=" + urlsafe_b64encode(sha256(data).digest()).rstrip(b"=").decode()


def installed_as_recorded(site_packages: Path) -> int:
    """Compares every installed file with what its package's RECORD says; how many."""
    count = 0
    for record in site_packages.glob("*.dist-info/RECORD"):
        for name, expected, _ in csv.reader(record.read_text().splitlines()):
            if expected:
                assert digest((site_packages / name).read_bytes()) == expected, name
                count += 1
    return count


@pytest.mark.timeout(1800)
def test_pip_installs_into_an_environment_on_the_drive(drive: Drive, tmp_path: Path) -> None:
    place = drive.point / "environment"
    run(sys.executable, "-m", "venv", *([] if LONG else ["--without-pip"]), place, seconds=600)
    python = place / "bin" / "python"
    pip = [python, "-m", "pip"] if LONG else [sys.executable, "-m", "pip", "--python", python]
    quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "TMPDIR": str(drive.point), "PIP_CACHE_DIR": str(drive.point / "c")}
    run(*pip, "install", "--no-index", make_wheel(tmp_path), environment=quiet, seconds=600)
    if LONG:
        run(*pip, "install", "rich", "lmdb", "cryptography", "mypy", environment=quiet, seconds=900)
        run(*pip, "check", environment=quiet)
    assert run(place / "bin" / "greeting") == "from the drive\n"
    packages = next((place / "lib").glob("python3*/site-packages"))
    count = installed_as_recorded(packages)
    drive.snapshot("installed")
    drive.kill()
    drive.mount()
    assert installed_as_recorded(packages) == count
    assert run(place / "bin" / "greeting") == "from the drive\n"
    run(*pip, "uninstall", "-y", "greeting", environment=quiet)
    assert not (packages / "greeting").exists()
    old = drive.versions() / "installed" / place.relative_to(drive.point) / "bin" / "greeting"
    assert os.access(old, os.X_OK)
    shutil.rmtree(place)
    tally.add("files that pip installed on a drive, as recorded", count)
