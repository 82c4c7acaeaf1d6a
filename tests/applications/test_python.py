"""CPython's own tests of files, with everything that they make on a drive: none fails that passes on a disk."""

import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests import tally
from tests.mount.drive import LONG, Drive

QUICK = ["test_glob", "test_file", "test_filecmp", "test_stat"]
FILES = [
    *("test_os", "test_posix", "test_pathlib", "test_shutil", "test_tempfile", "test_mmap", "test_fcntl", "test_file"),
    *("test_io", "test_tarfile", "test_zipfile", "test_mailbox", "test_dbm", "test_dbm_dumb", "test_dbm_gnu"),
    *("test_dbm_ndbm", "test_sqlite3", "test_glob", "test_fileio", "test_largefile", "test_bz2", "test_gzip"),
    *("test_lzma", "test_compileall", "test_filecmp", "test_fileinput", "test_fnmatch", "test_genericpath"),
    *("test_posixpath", "test_py_compile", "test_shelve", "test_stat", "test_unicode_file"),
    *("test_unicode_file_functions", "test_zipimport", "test_import", "test_linecache", "test_pkgutil", "test_runpy"),
    *("test_logging", "test_file_eintr", "test_ioctl", "test_netrc", "test_configparser", "test_cmd_line_script"),
    *("test_bufio", "test_pickle", "test_marshal", "test_plistlib", "test_hashlib", "test_venv", "test_zipfile64"),
]
TESTS = os.environ.get("HYPERFS_PYTHON_TESTS", " ".join(FILES if LONG else QUICK)).split()
GROUPS = [TESTS[start::4] for start in range(4)] if LONG else [TESTS]

NOT_ON_A_DRIVE: dict[str, str] = {}
"""Tests that a drive may fail or skip though a disk does not, with the reason; docs/posix.md says it too."""


@pytest.fixture
def near_drive() -> Iterator[Drive]:
    """A drive with a short path: sockets are among what is made on it, and their addresses have at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="hyperfs-") as name:
        drive = Drive(Path(name))
        try:
            yield drive.mount()
        finally:
            drive.end()


def has_tests() -> bool:
    return (Path(sysconfig.get_path("stdlib")) / "test" / "test_os.py").exists()


def outcomes(folder: Path, tests: list[str], report: Path) -> dict[str, str]:
    """Each test's name, and `passed`, `skipped` or `failed`."""
    folder.mkdir()
    # A process for each file takes longer to start than the few of the quick run take.
    options = ["-j1", "-u", "largefile,extralargefile", "--timeout", "1200"] if LONG else []
    command: list[str | Path] = [sys.executable, "-m", "test", *options, "--tempdir", folder, *tests]
    done = subprocess.run(
        [*command, "--junit-xml", report],
        cwd=folder,
        env=os.environ | {"TMPDIR": str(folder), "HOME": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=3 * 3600,
        check=False,
    )
    assert report.exists(), done.stdout[-4000:] + done.stderr[-4000:]
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        kinds = {child.tag for child in case}
        verdict = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        found[str(case.get("name"))] = verdict
    return found


@pytest.mark.timeout(4 * 3600 if LONG else 300)
@pytest.mark.parametrize("tests", GROUPS, ids=lambda tests: f"{tests[0]}-and-{len(tests) - 1}-more")
def test_python_s_own_tests_of_files_end_as_they_do_on_a_disk(
    near_drive: Drive, tmp_path: Path, tests: list[str]
) -> None:
    if not has_tests():
        if LONG:
            pytest.fail("this Python came without its tests: libpython3-testsuite has them")
        pytest.skip("this Python came without its tests (libpython3-testsuite has them)")
    mount = outcomes(near_drive.point / "p", tests, tmp_path / "mount.xml")
    near = near_drive.folder / ("d" * len(near_drive.point.name))  # the same tests skip themselves for long paths
    near.mkdir()
    disk = outcomes(near / "p", tests, tmp_path / "disk.xml")
    assert len(disk) > 10
    worse = [
        f"{name}: {mount.get(name, 'absent')}, on the disk {verdict}"
        for name, verdict in disk.items()
        if verdict == "passed" and mount.get(name) != "passed" and name not in NOT_ON_A_DRIVE
    ]
    assert worse == []
    tally.add("files of CPython's own tests", len(tests))
    tally.add("CPython's own tests of files that pass on a drive", list(mount.values()).count("passed"))
    tally.add("CPython's own tests of files that pass on the disk", list(disk.values()).count("passed"))
