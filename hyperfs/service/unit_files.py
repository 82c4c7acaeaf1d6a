"""The files of services where systemd looks for them: the unit, and beside it in UNIT.d the drop-in that is ours."""

import os
from importlib import resources
from pathlib import Path
from typing import Final

from hyperfs.errors import Corrupt
from hyperfs.service.kinds import TEMPLATES, Service

DROP_IN: Final = "hyperfs.conf"
SYSTEM: Final = Path("/etc/systemd/system")
_MODE: Final = 0o644
_BYTES_MOST: Final = 1 << 20


def of_user(environment: dict[str, str] | os._Environ[str]) -> Path:
    """Where a user's own units are."""
    home = Path(environment.get("HOME") or os.path.expanduser("~"))
    return Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "systemd/user"


def template(name: str) -> str:
    """A unit as it stands in systemd/."""
    return resources.files("hyperfs.service").joinpath("units", name).read_text()


def write(folder: Path, service: Service, drop_in: str) -> Path | None:
    """Both files, each whole or not at all. A unit that was there and differs is kept beside, and its path returned."""
    folder.mkdir(parents=True, exist_ok=True)
    unit, wanted = folder / service.template, template(service.template)
    kept = None
    if not unit.is_symlink() and unit.exists() and unit.read_text(errors="replace") != wanted:
        kept = unit.with_name(f"{unit.name}.old")
        unit.replace(kept)
    _replace(unit, wanted)
    beside = folder / f"{service.unit}.d"
    beside.mkdir(exist_ok=True)
    _replace(beside / DROP_IN, drop_in)
    return kept


def installed(folder: Path) -> list[Service]:
    """Those that `write` has written, by name."""
    found = []
    for path in sorted(folder.glob(f"hyperfs-*.d/{DROP_IN}")):
        try:
            service = Service.read(path.read_bytes()[:_BYTES_MOST].decode(errors="replace"))
        except Corrupt:
            continue
        if f"{service.unit}.d" == path.parent.name:
            found.append(service)
    return found


def remove(folder: Path, service: Service) -> None:
    """What `write` had written: the unit only with the last service that needs it, other drop-ins never."""
    beside = folder / f"{service.unit}.d"
    (beside / DROP_IN).unlink(missing_ok=True)
    if beside.is_dir() and not any(beside.iterdir()):
        beside.rmdir()
    if service.template in TEMPLATES and all(other.template != service.template for other in installed(folder)):
        (folder / service.template).unlink(missing_ok=True)


def _replace(path: Path, text: str) -> None:
    """A link is replaced, not written through: it may lead into somebody's checkout."""
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE)
    with open(fd, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(fd)
    beside.replace(path)
