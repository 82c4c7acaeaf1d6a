"""hyperfs service: install, list, remove"""

import os
import sys
from pathlib import Path

import click

from hyperfs.cli import options
from hyperfs.cli.output import print_json, shown, table
from hyperfs.errors import BadRequest, Refused, Unreachable
from hyperfs.service import unit_files
from hyperfs.service.kinds import Service
from hyperfs.service.systemd import Systemd


@click.group("service")
def command() -> None:
    """Have systemd mount a drive, follow a folder or run a cloud peer, from now on.

    Example:  hyperfs service install ~/Hyper

    The page is docs/services.md.
    """


@command.command("install")
@click.argument("folder", metavar="[DIR|INTO]", default=".", type=click.Path(path_type=Path))
@click.option("--follow", "source", metavar="FOLDER", type=click.Path(path_type=Path), help="Follow it into INTO.")
@click.option("--peer", is_flag=True, help="A cloud peer, of the whole machine; needs root.")
@click.option("--store", type=click.Path(path_type=Path), help="The drive's store, or what the cloud peer keeps.")
@click.option("--listen", metavar="HOST:PORT", help="Where the cloud peer listens.")
@click.option("--public", metavar="HOST:PORT", help="What the cloud peer is called from outside.")
@click.option("--metrics", metavar="HOST:PORT", help="Where the cloud peer tells of its health.")
@click.option("--quota", metavar="SIZE", help="What one drive may take on the cloud peer.")
@click.option("--only-listed", is_flag=True, help="The cloud peer serves none but the drives' devices.")
@click.option("--lan", is_flag=True, help="The cloud peer announces itself on the local network.")
@click.option("--no-start", is_flag=True, help="From the next log-in or boot on.")
@options.passphrase_file
@options.as_json
def install(
    folder: Path,
    source: Path | None,
    peer: bool,
    store: Path | None,
    listen: str | None,
    public: str | None,
    metrics: str | None,
    quota: str | None,
    only_listed: bool,
    lan: bool,
    no_start: bool,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Set up a service and start it: the drive at DIR, mounted at each log-in.

    Example:  hyperfs service install ~/Hyper

    With --follow FOLDER, FOLDER is followed into INTO. With --peer --listen HOST:PORT, a cloud peer. What was installed
    before is written anew.
    """
    from hyperfs.cli import installing

    if peer == (listen is None) or (not peer and any((public, metrics, quota, only_listed, lan))):
        raise click.UsageError("--peer wants --listen; --public, --metrics, --quota, --only-listed, --lan want --peer")
    if source is not None and (peer or store is not None or passphrase_file is not None):
        raise click.UsageError("a follow is neither a cloud peer nor has a store or a passphrase of its own")
    program = this_program()
    if peer:
        words = installing.peer_options(listen, public, metrics, quota, {"--only-listed": only_listed, "--lan": lan})
        plan = installing.of_peer(program, store, words)
    elif source is not None:
        plan = installing.of_follow(program, source, folder)
    else:
        plan = installing.of_mount(program, store, folder, passphrase_file)
    facts = installing.carry_out(plan, units_of(peer), Systemd(not peer), start=not no_start)
    if as_json:
        print_json(facts)
    else:
        installing.tell(facts)
    if facts["why_not_started"] and not no_start and not facts["mounted_already"]:
        raise Unreachable(f"it is set up, and could not be started: {facts['why_not_started']}")


@command.command("list")
@options.as_json
def list_services(as_json: bool) -> None:
    """List what 'hyperfs service install' has set up, of this user and of the machine.

    Example:  hyperfs service list
    """
    found = [
        {**service.facts(), "active": state.active, "enabled": state.enabled, "status": state.status}
        for systemd, service in _all()
        for state in [systemd.state(service.unit)]
    ]
    if as_json:
        print_json(found)
    elif not found:
        click.echo("No service is set up: 'hyperfs service install DIR' has a drive mounted at log-in.")
    else:
        columns = ("unit", "active", "enabled", "folder")
        rows = [[shown(str(service[name])) or "?" for name in columns] for service in found]
        table([["UNIT", "ACTIVE", "ENABLED", "FOLDER"], *rows])


@command.command("remove")
@click.argument("what", metavar="UNIT|DIR")
@options.as_json
def remove(what: str, as_json: bool) -> None:
    """Stop a service and take its files away. Drives, keys and data stay.

    Example:  hyperfs service remove ~/Hyper
    """
    systemd, service = _named(what)
    if not systemd.is_user and os.geteuid() != 0:
        raise Refused(f"{service.unit} is of the whole machine: call this as root")
    unit_stopped = True
    try:
        systemd.stop(service.unit)
    except Unreachable:
        unit_stopped = False
    systemd.disable(service.unit)
    unit_files.remove(units_of(not systemd.is_user), service)
    if unit_stopped:
        systemd.reload()
    if as_json:
        print_json({"unit": service.unit, "removed": True, "stopped": unit_stopped})
    else:
        click.echo(f"Removed {service.unit}{'' if unit_stopped else ' (systemd could not be asked to stop it)'}")


def units_of(machine: bool) -> Path:
    return unit_files.SYSTEM if machine else unit_files.of_user(os.environ)


def _all() -> list[tuple[Systemd, Service]]:
    return [
        (Systemd(not machine), service)
        for machine in (False, True)
        for service in unit_files.installed(units_of(machine))
    ]


def _named(what: str) -> tuple[Systemd, Service]:
    place = os.path.abspath(what)
    for systemd, service in _all():
        if what in (service.unit, service.unit.removesuffix(".service")) or place == service.folder:
            return systemd, service
    raise BadRequest(f"{what} is no service that 'hyperfs service install' has set up: 'hyperfs service list' tells")


def this_program() -> tuple[str, ...]:
    """What was called, as an absolute command: the script, else this Python with what the script does."""
    script = Path(sys.argv[0])
    if script.name == "hyperfs" and script.is_absolute() and os.access(script, os.X_OK):
        return (str(script),)
    beside = Path(sys.executable).with_name("hyperfs")
    if os.access(beside, os.X_OK) and script.name not in ("-c", "-m"):
        return (str(beside),)
    return (sys.executable, "-c", "from hyperfs.cli.main import main; main()")
