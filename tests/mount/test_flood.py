"""A mount whose requests never end: all else in its process goes on."""

import os
import subprocess
import sys

from .drive import Drive, until

ASK = """
import ctypes, os, sys
statx, buffer, path = ctypes.CDLL(None).statx, ctypes.create_string_buffer(256), os.fsencode(sys.argv[1])
print("asking", flush=True)
while not statx(-100, path, 0x2000, 0x7FF, buffer):  # past the kernel's cache
    pass
"""
PROGRAMS = 3


def test_versions_are_made_while_requests_never_end(drive: Drive) -> None:
    (drive.point / "folder").mkdir()
    command = [sys.executable, "-c", ASK, str(drive.point / "folder")]
    programs = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(PROGRAMS)]
    try:
        for program in programs:
            assert program.stdout is not None
            assert program.stdout.readline()
        before = len(drive.entries())
        (drive.point / "file").write_bytes(b"bytes")
        until("a version", lambda: len(drive.entries()) > before)
        fd = os.open(drive.point / "file", os.O_RDWR)
        os.fsync(fd)  # by worker threads
        os.close(fd)
        assert all(program.poll() is None for program in programs)
    finally:
        for program in programs:
            program.kill()
            program.communicate()
    drive.unmount()
