"""The peers of a drive, as it remembers them: a setting `peer:NAME` in the tree, so that whoever recovers or clones the
drive finds them; and how much may go.

    peer:NAME    -> address SP nanoseconds since 1970, when it was added (decimal digits)
    peer-limits  -> "up=" bytes " down=" bytes " metered=" ("auto" | "yes" | "no"), bytes a second, 0: no limit

What follows is ignored: a later version may add some.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from hyperfs.cold import settings as cold_settings
from hyperfs.errors import BadRequest, InvalidArgument, Refused
from hyperfs.policy.storage import LOCAL_ONLY, PLACES_MOST
from hyperfs.replication import address
from hyperfs.replication.address import Address
from hyperfs.volume import keys
from hyperfs.volume.volume import Volume

PREFIX: Final = b"peer:"
LIMITS: Final = b"peer-limits"
METERED: Final = ("auto", "yes", "no")


class Known(NamedTuple):
    """A peer. `added_ns`: when it was added."""

    name: str
    address: Address
    added_ns: int

    def encode(self) -> bytes:
        return f"{self.address} {self.added_ns}".encode()

    @classmethod
    def decode(cls, name: str, value: bytes) -> "Known":
        """BadRequest for what is none."""
        where, _, rest = value.decode(errors="replace").partition(" ")
        added = rest.split(" ")[0]
        return cls(name, address.parse(where), int(added) if re.fullmatch(r"[0-9]{1,20}", added, re.ASCII) else 0)


class Limits(NamedTuple):
    """Bytes a second over all peers, 0 for no limit; `metered`: auto asks the system; `lan`: whether peers are listened
    for on the local network."""

    up: int = 0
    down: int = 0
    metered: str = "auto"
    lan: str = "no"

    def encode(self) -> bytes:
        return f"up={self.up} down={self.down} metered={self.metered} lan={self.lan}".encode()

    @classmethod
    def decode(cls, value: bytes) -> "Limits":
        """What is not understood is as if it was never set."""
        found = dict(part.split("=", 1) for part in value.decode(errors="replace").split(" ") if "=" in part)
        metered = found.get("metered", "auto")
        return cls(
            _number(found.get("up")),
            _number(found.get("down")),
            metered if metered in METERED else "auto",
            "yes" if found.get("lan") == "yes" else "no",
        )


def _number(text: str | None) -> int:
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,15}", text, re.ASCII) else 0


def read_rate(text: str) -> int:
    """Bytes a second, as 500K or 2M; 0 or "none" for no limit. Raises InvalidArgument."""
    found = re.fullmatch(r"([0-9]{1,9})([KMG]?)", text, re.ASCII)
    if text == "none":
        return 0
    if found is None:
        raise InvalidArgument(f"{text!r} is no rate: write, for example, 500K or 2M (bytes a second), or none")
    return int(found[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[found[2]]


def known(volume: Volume) -> dict[str, Known]:
    """By name. A setting that is not understood is left out: a later hyperfs may have written it."""
    prefix = keys.setting_key(PREFIX)
    found: dict[str, Known] = {}
    for key, value in sorted(volume.overlay.live.facts(prefix).items()):
        name = key[len(prefix) :].decode(errors="replace")
        try:
            found[name] = Known.decode(name, value)
        except BadRequest:
            continue
    return found


def limits(volume: Volume) -> Limits:
    value = volume.overlay.live.fact(keys.setting_key(LIMITS))
    return Limits() if value is None else Limits.decode(value)


async def remember(volume: Volume, name: str, peer: Known | None) -> None:
    """Durable when it returns; None forgets the peer."""
    await _set(volume, PREFIX + name.encode(), None if peer is None else peer.encode())


async def remember_limits(volume: Volume, value: Limits) -> None:
    await _set(volume, LIMITS, value.encode())


async def _set(volume: Volume, name: bytes, value: bytes | None) -> None:
    volume.check_writable()
    volume.overlay.set_fact(keys.setting_key(name), value)
    volume.settled()
    await volume.fsync(None)


def taken_names(volume: Volume) -> set[str]:
    """Of peers and cold stores: they are all places."""
    return {*known(volume), *cold_settings.urls(volume)}


def name_for(where: Address, taken: Iterable[str]) -> str:
    """A name for a peer that was given none: the first label of its host."""
    used = set(taken)
    host = where.endpoint.host
    label = host.split(".")[0] if not re.fullmatch(r"[0-9.]+|.*:.*", host) else ""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", label).strip("-._")[:60] or "cloud"
    candidates = [plain, *(f"{plain}-{number}" for number in range(2, PLACES_MOST + 2))]
    return next(name for name in candidates if name not in used and name != LOCAL_ONLY)


def check_new(volume: Volume, name: str, where: Address) -> None:
    """Raises Refused where the name or the peer is another's, or there are too many; InvalidArgument for a name that
    policies could not use."""
    cold_settings.check_name(name)
    peers = known(volume)
    for other in peers.values():
        if other.address.key == where.key and other.name != name:
            raise Refused(f"that is the peer {other.name} already: a second name would count its copy twice")
    if name in cold_settings.urls(volume):
        raise Refused(f"{name} is a cold store: give --name, policies call places by their names")
    if name in peers and peers[name].address.key != where.key:
        raise Refused(f"{name} is another peer, {peers[name].address}: give --name, or remove that one first")
    if name not in peers and len(taken_names(volume)) >= PLACES_MOST:
        raise Refused(f"a drive has up to {PLACES_MOST} peers and cold stores")
