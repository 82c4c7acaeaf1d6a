"""What `hyperfs service install` looks at before, and does."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from hyperfs.cli import following
from hyperfs.cli.output import shown, size_of
from hyperfs.crypto import wrap
from hyperfs.daemon import mounts
from hyperfs.errors import BadRequest, HyperfsError, Refused, Unreachable
from hyperfs.replication.address import parse_endpoint
from hyperfs.service import kinds, unit_files
from hyperfs.service.kinds import Service
from hyperfs.service.systemd import Systemd
from hyperfs.store import folder as stores

HIDDEN_FROM_PEER = (Path("/home"), Path("/root"), Path("/run/user"))


@dataclass(frozen=True)
class Plan:
    service: Service
    program: Sequence[str]
    drive_at: str | None = None
    mounted_already: bool = False


def of_mount(program: Sequence[str], store: Path | None, folder: Path, passphrase_file: Path | None) -> Plan:
    """Raises BadRequest, Refused, NotAStore for what could not be mounted at a log-in."""
    directory = folder.absolute().resolve()
    found = mounts.containing(os.fsencode(directory)) if folder == Path() else mounts.at(directory)
    is_here = found is not None and found.is_hyperfs
    if found is not None and is_here:
        place, directory = found.store, Path(os.fsdecode(found.point))
    elif folder == Path():
        raise BadRequest("no drive is mounted here: name the folder at which it is to be mounted")
    else:
        place = (store or stores.default_store()).absolute().resolve()
    if store is not None and store.absolute().resolve() != place:
        raise BadRequest(f"the drive of {place} is mounted at {directory}, not that of {store}")
    if following.link_at(place) is None:  # else its keys are in the link, which the store keeps
        _check_keys(place, passphrase_file)
    secret = None if passphrase_file is None else str(_existing(passphrase_file))
    directory.mkdir(parents=True, exist_ok=True)
    service = kinds.mount(program, str(place), str(directory), secret)
    return Plan(service, program, mounted_already=is_here)


def of_follow(program: Sequence[str], source: Path, into: Path) -> Plan:
    """Raises BadRequest where there is nothing to follow, or nothing to follow it into."""
    if not source.is_dir():
        raise BadRequest(f"{source} is no folder")
    place = into.absolute().resolve()
    mount = mounts.containing(os.fsencode(place))
    if mount is None or not mount.is_hyperfs:
        raise BadRequest(f"{into} is in no mounted drive: mount it first")
    service = kinds.follow(program, str(source.absolute().resolve()), str(place))
    return Plan(service, program, drive_at=os.fsdecode(mount.point))


def peer_options(
    listen: str | None, public: str | None, metrics: str | None, quota: str | None, flags: dict[str, bool]
) -> list[str]:
    """As `hyperfs peer serve` takes them. Raises BadRequest, InvalidArgument."""
    words = []
    for name, value in (("--listen", listen), ("--public", public), ("--metrics", metrics)):
        if value is not None:
            words += [name, str(parse_endpoint(value))]
    if quota is not None:
        size_of(quota)
        words += ["--quota", quota]
    return [*words, "--json", *(flag for flag, is_set in flags.items() if is_set)]


def of_peer(program: Sequence[str], store: Path | None, options: Sequence[str]) -> Plan:
    """Raises Refused for whoever is not root, and for a program that the peer's user could not see."""
    if os.geteuid() != 0:
        raise Refused("a cloud peer is a service of the whole machine: call this as root (sudo)")
    place = Path(kinds.PEER_STORE) if store is None else store.absolute()
    for path in (Path(program[0]), Path(program[0]).resolve(), place, Path(unit_files.__file__)):
        hidden = next((home for home in HIDDEN_FROM_PEER if path.is_relative_to(home)), None)
        if hidden is not None:
            raise Refused(
                f"the cloud peer runs as a user of its own who can't see {hidden}, and {path} is there. Install "
                "hyperfs in a place like /opt/hyperfs, and keep the peer's folder outside of homes too"
            )
    return Plan(kinds.peer(program, str(place), options), program)


def carry_out(plan: Plan, units: Path, systemd: Systemd, start: bool) -> dict[str, Any]:
    """Writes, enables, starts; returns the facts. Where systemd can't be asked, what is written holds from its next
    start on. Raises HyperfsError when what was started failed."""
    service = plan.service
    text = kinds.drop_in(service, plan.program, plan.drive_at)
    if service.kind == "peer":
        _make_peer_user(Path(service.folder))
    kept = unit_files.write(units, service, text)
    systemd.enable(service.unit)
    started, why_not = False, "it was not asked for" if not start else None
    try:
        systemd.reload()
        if plan.mounted_already:
            why_not = "the drive is mounted already: systemd mounts it from the next log-in on"
        elif start:
            systemd.restart(service.unit)
            started = True
    except Unreachable as error:
        why_not = str(error)
    return {
        **service.facts(),
        "started": started,
        "why_not_started": why_not,
        "mounted_already": plan.mounted_already,
        "kept": None if kept is None else str(kept),
    }


def tell(facts: dict[str, Any]) -> None:
    when = "boot" if facts["kind"] == "peer" else "log-in"
    click.echo(f"{facts['unit']} is set up: from each {when} on, for {shown(facts['folder'])}")
    if facts["kept"]:
        click.echo(f"What was there as its unit is kept as {shown(facts['kept'])}")
    if facts["started"]:
        click.echo("It is started.")
    elif facts["why_not_started"]:
        click.echo(f"It is not started now: {facts['why_not_started']}", err=True)
    if facts["kind"] == "mount":
        click.echo("For a drive that is there without anybody logged in: loginctl enable-linger")
    if facts["kind"] == "peer":
        click.echo(f"Invite a drive:  sudo -u {kinds.PEER_USER} hyperfs peer invite --store {shown(facts['folder'])}")


def _check_keys(store: Path, passphrase_file: Path | None) -> None:
    stores.inspect(store)
    if passphrase_file is None and wrap.is_wrapped((store / stores.KEYS).read_bytes()[: wrap.MAX_FILE_BYTES]):
        raise Refused(
            "the drive's keys are wrapped by a passphrase, and at a log-in nobody is there to be asked: "
            "give it in a file, with --passphrase-file"
        )


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise BadRequest(f"there is no file {path}")
    return path.absolute().resolve()


def _make_peer_user(store: Path) -> None:
    """The peer's own user, and its folder where systemd doesn't make it."""
    try:
        pwd.getpwnam(kinds.PEER_USER)
    except KeyError:
        _add_user()
    if str(store) == kinds.PEER_STORE or store.exists():
        return
    store.mkdir(mode=0o700, parents=True)
    shutil.chown(store, kinds.PEER_USER, kinds.PEER_USER)


def _add_user() -> None:
    command = [
        "useradd", "--system", "--user-group", "--no-create-home", "--home-dir", kinds.PEER_STORE,
        "--shell", "/usr/sbin/nologin", "--comment", "hyperfs cloud peer", kinds.PEER_USER,
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except OSError as error:
        raise HyperfsError(f"the user {kinds.PEER_USER} could not be made: {error}") from None
    if done.returncode != 0:
        raise HyperfsError(f"the user {kinds.PEER_USER} could not be made: {done.stderr.strip()}")
