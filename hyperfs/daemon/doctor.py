"""What a drive needs of a machine, and how to mend what is missing. Looks only."""

import ctypes.util
import importlib
import os
import re
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from hyperfs.crypto import wrap
from hyperfs.daemon import mounts
from hyperfs.errors import HyperfsError
from hyperfs.store import folder

LIBRARIES: Final = ("pyfuse3", "trio", "nacl", "cryptography", "blake3", "pyfastcdc", "zstandard", "rocksdict")
LITTLE_BYTES: Final = 1 << 30
BUILT_IN: Final = 1_760_000_000
"""October 2025, in seconds since 1970: a clock before it is wrong, for this program is younger."""


class Finding(NamedTuple):
    """`good`: None for what is worth knowing and stops nothing. `mend` is empty where there is nothing to do."""

    what: str
    good: bool | None
    found: str
    mend: str = ""


def examine(store: Path) -> list[Finding]:
    """Everything, in the order in which it matters. The store need not exist yet."""
    checks: list[Callable[[], Iterator[Finding]]] = [
        fuse,
        _allow_other,
        _libraries,
        _clock,
        lambda: store_findings(store),
        lambda: _space(store),
        _dead_mounts,
        _indexers,
    ]
    return [finding for check in checks for finding in check()]


def fuse(device: Path = Path("/dev/fuse")) -> Iterator[Finding]:
    if not device.exists():
        mend = "'modprobe fuse' as root; a container is started with --device /dev/fuse --cap-add SYS_ADMIN"
        yield Finding("FUSE", False, f"there is no {device}", mend)
    else:
        yield Finding("FUSE", True, f"{device} is there")
    program = shutil.which("fusermount3")
    if program is None:
        good = None if os.geteuid() == 0 else False
        yield Finding("fusermount3", good, "not found", "install the package fuse3 ('apt install fuse3')")
    elif not os.stat(program).st_mode & stat.S_ISUID and os.geteuid() != 0:
        yield Finding("fusermount3", False, f"{program} is not setuid root", f"'chmod u+s {program}' as root")
    else:
        yield Finding("fusermount3", True, program)


def _allow_other(configuration: Path = Path("/etc/fuse.conf")) -> Iterator[Finding]:
    if os.geteuid() == 0:
        return
    text = configuration.read_text(errors="replace") if configuration.exists() else ""
    if re.search(r"^\s*user_allow_other\s*$", text, re.MULTILINE):
        yield Finding("--allow-other", True, f"{configuration} allows it")
    else:
        mend = f"put a line 'user_allow_other' into {configuration}, if others are to use your mounts"
        yield Finding("--allow-other", None, "only root may use it here", mend)


def _libraries() -> Iterator[Finding]:
    missing = []
    for name in LIBRARIES:
        try:
            importlib.import_module(name)
        except ImportError as error:
            missing.append(f"{name} ({error})")
    if missing:
        yield Finding("libraries", False, f"missing: {', '.join(missing)}", "run packaging/setup again")
    else:
        version = ".".join(map(str, sys.version_info[:3]))
        yield Finding("libraries", True, f"all {len(LIBRARIES)} load, with Python {version}")
    if ctypes.util.find_library("fuse3") is None and "pyfuse3" in " ".join(missing):
        yield Finding("libfuse", False, "not found", "install libfuse3 ('apt install libfuse3-3')")


def _clock() -> Iterator[Finding]:
    now = time.time()
    shown = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now))
    if now < BUILT_IN:
        yield Finding("clock", False, shown, "set it: versions carry its time")
    else:
        yield Finding("clock", True, shown)


def _nearest(path: Path) -> Path:
    """The path or the nearest folder above that exists."""
    while not path.exists():
        path = path.parent
    return path


def store_findings(store: Path) -> Iterator[Finding]:
    if not store.exists():
        there = _nearest(store)
        good = os.access(there, os.W_OK)
        mend = "" if good else f"choose a store below a folder that you may write to, or change the owner of {there}"
        yield Finding("store", good, f"{store} is not there yet; it would be made in {there}", mend)
        return
    try:
        info = folder.inspect(store)
    except (HyperfsError, OSError) as error:
        yield Finding("store", False, str(error))
        return
    yield Finding("store", True, f"{store}, drive {info.drive_id.hex()[:16]}...")
    yield from _modes([store, store / folder.KEYS, folder.root_key_path(info.drive_id)])
    yield from _key_file(store / folder.KEYS)
    if not folder.root_key_path(info.drive_id).exists():
        yield Finding("root key", None, "not on this machine: what needs it asks for the recovery key")


def _key_file(path: Path) -> Iterator[Finding]:
    try:
        is_wrapped = wrap.is_wrapped(path.read_bytes())
    except (HyperfsError, OSError) as error:
        yield Finding("key file", False, str(error))
        return
    if not is_wrapped:
        mend = "'hyperfs key passphrase' wraps it; a disk that is encrypted as a whole does as well"
        yield Finding("key file", None, "no passphrase wraps it: whoever has this disk can read the drive", mend)


def _modes(paths: list[Path]) -> Iterator[Finding]:
    for path in paths:
        if path.exists() and path.stat().st_mode & 0o077:
            yield Finding("permissions", False, f"others may use {path}", f"'chmod go= {path}'")
        if path.exists() and path.stat().st_uid != os.geteuid():
            yield Finding("permissions", None, f"{path} belongs to user {path.stat().st_uid}, not to you")


def _space(store: Path) -> Iterator[Finding]:
    there = _nearest(store)
    stats = os.statvfs(there)
    free = stats.f_bavail * stats.f_frsize
    found = f"{free >> 20} MiB free on the disk of {there}"
    if free < LITTLE_BYTES:
        yield Finding("space", False, found, "make room: a full disk takes no writes")
    else:
        yield Finding("space", True, found)
    if stats.f_flag & os.ST_RDONLY:
        yield Finding("space", False, f"the disk of {there} is mounted read-only", "remount it, or use --read-only")


def _dead_mounts() -> Iterator[Finding]:
    for mount in mounts.mount_points():
        point = Path(os.fsdecode(mount.point))
        if mount.is_hyperfs and mounts.is_dead(point):
            mend = f"'hyperfs mount {mount.store} {point}' mounts it again; 'fusermount3 -uz {point}' only detaches it"
            yield Finding("mount", False, f"the process of {point} has died", mend)


def _indexers(configuration: Path = Path("/etc/updatedb.conf")) -> Iterator[Finding]:
    """Programs that read every file of every filesystem, day after day."""
    if configuration.exists():
        yield updatedb(configuration)
    home = Path.home()
    points = [Path(os.fsdecode(mount.point)) for mount in mounts.mount_points() if mount.is_hyperfs]
    for program, mend in (
        ("localsearch-3", "take the folder out of Settings > Search, or put a file .nomedia or .trackerignore into it"),
        ("tracker-miner-fs-3", "take the folder out of Settings > Search, or put a file .trackerignore into it"),
        ("baloo_file", "'balooctl6 config add excludeFolders FOLDER'"),
    ):
        walked = [point for point in points if point.is_relative_to(home)]
        if walked and _runs(program):
            found = f"{program} runs and reads every new file in {', '.join(map(str, walked))}"
            yield Finding("indexer", None, found, mend)


def updatedb(configuration: Path) -> Finding:
    text = configuration.read_text(errors="replace")
    match = re.search(r'^\s*PRUNEFS\s*=\s*"([^"]*)"', text, re.MULTILINE)
    kinds = match[1].split() if match else []
    if mounts.FSTYPE in kinds:
        return Finding("updatedb", True, f"{configuration} passes hyperfs by")
    mend = f"add {mounts.FSTYPE} to PRUNEFS in {configuration}, or all names end up in its list, unencrypted"
    return Finding("updatedb", None, "locate's nightly updatedb walks mounted drives", mend)


def _runs(program: str) -> bool:
    wanted = program[:15]  # the kernel cuts the name
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if (process / "comm").read_text().strip() == wanted:
                    return True
            except OSError:
                continue
    return False
