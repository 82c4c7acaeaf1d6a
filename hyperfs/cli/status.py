"""hyperfs status"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from hyperfs.cli import options
from hyperfs.cli.output import print_json, shown, size_text, time_text
from hyperfs.cli.session import locate, session
from hyperfs.daemon.times import duration_text, iso_time

_MOVING: Final = (("to_leave", "to leave"), ("to_return", "to come back"))


@click.command("status")
@options.drive_argument
@options.passphrase_file
@options.as_json
def command(where: Path, passphrase_file: Path | None, as_json: bool) -> None:
    """Tell how a drive is: sizes, newest version, warnings.

    Example:  hyperfs status ~/Hyper

    Without an argument: the drive that the current folder is in. A STORE that is not mounted is opened.
    """
    with session(locate(where), passphrase_file) as drive:
        facts = drive.request("status")
    if as_json:
        print_json(facts)
    else:
        _show(facts)


def _show(facts: dict[str, Any]) -> None:
    rows = [
        ("drive", f"{shown(facts['name'])}  ({facts['drive'][:16]}...)"),
        ("mounted at", shown(facts["mounted_at"]) if facts["mounted_at"] else "not mounted"),
        ("store", f"{shown(facts['store'])}, {size_text(facts['store_bytes'])} on disk"),
        ("version", f"{facts['version']} of {time_text(iso_time(facts['version_time_ns']))}"),
        ("contents", f"{facts['files']} files, {facts['directories']} folders, {size_text(facts['bytes'])}"),
        ("unwritten", size_text(facts["dirty_bytes"])),
        *_elsewhere(facts),
        *(("peer", _peer(peer)) for peer in facts["peers"]),
        *(("follows", _followed(found)) for found in [facts["following"]] if found is not None),
        ("verified", _verified(facts["last_verify"])),
        ("access", "read-only" if facts["read_only"] else "read and write"),
    ]
    for label, value in rows:
        click.echo(f"{label:<12}{value}")
    for warning in facts["warnings"]:
        click.echo(f"warning     {warning}")


def _elsewhere(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What is not here, and what is on its way, where there is any."""
    moving, budget = facts["moving"], facts["local_budget"]
    if facts["cold_bytes"] or budget is not None:
        here = f"{size_text(facts['resident_bytes'])} here"
        limit = f", at most {size_text(budget)}" if budget is not None else ""
        yield "elsewhere", f"{size_text(facts['cold_bytes'])}; {here}{limit}"
    transfer = facts["transfer"]
    if facts["cold_bytes"]:
        line = f"{transfer['mbit_per_second']} Mbit/s"
        yield "all back", f"{size_text(facts['cold_bytes'])} to fetch: {_lasts(transfer, 'all_back')} at {line}"
    if facts["freeable_bytes"]:
        yield "can go", f"{size_text(facts['freeable_bytes'])} here are safe elsewhere too"
    words = [
        f"{size_text(moving[f'{what}_bytes'])} {verb} ({_lasts(transfer, what)})"
        for what, verb in _MOVING
        if moving[f"{what}_bytes"]
    ]
    if words:
        yield "moving", ", ".join(words)


def _peer(peer: dict[str, Any]) -> str:
    """One line; what is wrong in full stands in `peer list`, and where it is loud, in the warnings."""
    from hyperfs.cli.peering import behind

    lag = behind(peer)
    seen = f"last receipt {time_text(peer['last_receipt'])}" if peer["last_receipt"] else "no receipt yet"
    how = "connected" if peer["connected"] else "not connected"
    return f"{shown(peer['name'])}, {how}, {'has everything' if lag == 'nothing' else f'behind by {lag}'}, {seen}"


def _followed(found: dict[str, Any]) -> str:
    whom = shown(found["writer"]) if found["writer"] else "whoever writes"
    how_far = f"version {found['version']} of {time_text(found['time'])}"
    if found["at"] is None:
        return f"{whom}, not connected: {how_far}"
    state = f"{found['behind_blocks']} blocks are coming" if found["behind_blocks"] else "nothing newer there"
    return f"{whom} by {shown(found['at'])}: {how_far}, {state}"


def _lasts(transfer: dict[str, Any], what: str) -> str:
    return duration_text(transfer[f"{what}_seconds"])


def _verified(last: dict[str, Any] | None) -> str:
    if last is None:
        return "never on this machine ('hyperfs verify')"
    found = f"{last['damage']} damages found" if last["damage"] else "no damage"
    return f"{time_text(last['time'])}, version {last['version']}: {found}"
