"""What can be run as a service, and what is written of it: the drop-in that goes beside the unit. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final, Self

from hyperfs.errors import Corrupt
from hyperfs.service.quoting import command_line, escaped_path, unit_name

MOUNT: Final = "hyperfs-mount@.service"
FOLLOW: Final = "hyperfs-follow@.service"
PEER: Final = "hyperfs-peer.service"
TEMPLATES: Final = (MOUNT, FOLLOW, PEER)
PEER_USER: Final = "hyperfs-peer"
PEER_STORE: Final = "/var/lib/hyperfs-peer"
"""What `StateDirectory=` of its unit makes."""

_FACTS: Final = "# hyperfs: "
_HEADER: Final = "# Written by 'hyperfs service install', each time anew: changes of yours belong into another file."


@dataclass(frozen=True)
class Service:
    """One that is to be set up, or is. `folder`: where the drive is mounted, INTO, or what a cloud peer keeps."""

    kind: str
    """`mount`, `follow` or `peer`."""
    unit: str
    folder: str
    command: tuple[str, ...]

    @property
    def template(self) -> str:
        return {"mount": MOUNT, "follow": FOLLOW, "peer": PEER}[self.kind]

    def facts(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def read(cls, drop_in: str) -> Self:
        """What `drop_in` had been made from. Raises Corrupt for what is none of ours."""
        line = next((line for line in drop_in.splitlines() if line.startswith(_FACTS)), "")
        try:
            facts = json.loads(line.removeprefix(_FACTS))
            found = cls(facts["kind"], facts["unit"], facts["folder"], tuple(facts["command"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            raise Corrupt("this file was not written by 'hyperfs service install'") from None
        if found.kind not in ("mount", "follow", "peer") or not isinstance(found.unit, str):
            raise Corrupt("this file was written by a later hyperfs")
        return found


def mount(program: Sequence[str], store: str, folder: str, passphrase_file: str | None) -> Service:
    """A drive at log-in. All paths are absolute."""
    secret = () if passphrase_file is None else ("--passphrase-file", passphrase_file)
    command = (*program, "mount", "--foreground", *secret, store, folder)
    return Service("mount", unit_name(MOUNT, escaped_path(folder)), folder, command)


def follow(program: Sequence[str], source: str, into: str) -> Service:
    """A folder, followed into another at log-in."""
    command = (*program, "follow", source, into)
    return Service("follow", unit_name(FOLLOW, escaped_path(into)), into, command)


def peer(program: Sequence[str], store: str, options: Sequence[str]) -> Service:
    """A cloud peer at boot. `options`: of `hyperfs peer serve`, without the store."""
    return Service("peer", PEER, store, (*program, "peer", "serve", "--store", store, *options))


def drop_in(service: Service, program: Sequence[str], drive_at: str | None = None) -> str:
    """The file beside the unit. `drive_at`: for a follow, where the drive is mounted that it works in."""
    sections: dict[str, list[str]] = {"Unit": [], "Service": []}
    if drive_at is not None:
        sections["Unit"] = [f"After={unit_name(MOUNT, escaped_path(drive_at))}"]
    sections["Service"] = list(_SETTINGS[service.kind](service, program))
    lines = [_HEADER, _FACTS + json.dumps(service.facts())]
    return "\n".join([*lines, *_written(sections)]) + "\n"


def _written(sections: Mapping[str, Sequence[str]]) -> list[str]:
    return [line for name, found in sections.items() if found for line in (f"[{name}]", *found)]


def _of_mount(service: Service, program: Sequence[str]) -> list[str]:
    return [
        "ExecStartPre=",
        f"ExecStartPre=-{command_line(['/usr/bin/env', 'mkdir', '-p', service.folder])}",
        "ExecStart=",
        f"ExecStart={command_line(service.command)}",
        "ExecStop=",
        f"ExecStop=-{command_line([*program, 'unmount', '--wait', service.folder])}",
    ]


def _of_follow(service: Service, program: Sequence[str]) -> list[str]:
    return ["EnvironmentFile=", "ExecStart=", f"ExecStart={command_line(service.command)}"]


def _of_peer(service: Service, program: Sequence[str]) -> list[str]:
    elsewhere = [] if service.folder == PEER_STORE else [f"ReadWritePaths={_path(service.folder)}"]
    return ["ExecStart=", f"ExecStart={command_line(service.command)}", *elsewhere]


def _path(path: str) -> str:
    """As the settings take it that are lists of paths: quoted, with specifiers, without variables."""
    return command_line([path])


_SETTINGS: Final = {"mount": _of_mount, "follow": _of_follow, "peer": _of_peer}
