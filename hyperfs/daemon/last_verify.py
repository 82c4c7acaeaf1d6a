"""When a store was last verified on this machine, and how that went. Not in the store, which verifying leaves alone."""

import json
import time
from pathlib import Path
from typing import Any

import platformdirs

from hyperfs.daemon.times import iso_time
from hyperfs.store.files import Disk


def folder() -> Path:
    """Where this machine keeps what it knows of verifying."""
    return Path(platformdirs.user_state_dir("hyperfs")) / "verified"


def remember(store_name: str, version: int, damage: int) -> None:
    """`damage`: how many things were found. Raises OSError."""
    folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = {"time": iso_time(time.time_ns()), "version": version, "damage": damage}
    Disk(folder()).replace(f"{store_name}.json", json.dumps(facts).encode())


def recall(store_name: str) -> dict[str, Any] | None:
    """`time`, `version`, `damage`; None when it never was, or nobody can read when."""
    try:
        return decode((folder() / f"{store_name}.json").read_bytes())
    except OSError:
        return None


def decode(data: bytes) -> dict[str, Any] | None:
    """The facts in the file's bytes; None where they are not what `remember` wrote."""
    try:
        facts = json.loads(data)
    except (ValueError, RecursionError):
        return None
    match facts:
        case {"time": str(time_), "version": int(version), "damage": int(damage)}:
            return {"time": time_, "version": version, "damage": damage}
    return None
