"""What was heard of on the local network, as far as it is worth a try. Pure: times are given."""

import json
from collections import OrderedDict
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final, NamedTuple

from hyperfs.errors import Corrupt
from hyperfs.lan.mdns import HOSTS_MOST

PLACES_MOST: Final = 8
"""Of one peer: whoever repeats its name can fill them, and then the peer's address is as good as ever."""
LEAST_PORT: Final = 1024
TEXT_CHARACTERS_MOST: Final = 255
SHUNNED_SECONDS: Final = 3600.0
SHUNNED_MOST: Final = 256
_PRIVATE: Final = {
    4: [ip_network(network) for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")],
    6: [ip_network("fc00::/7")],
}


class Heard(NamedTuple):
    """An announcement: a name, without the service's, and where it leads."""

    name: str
    host: str
    port: int


def parse(line: bytes) -> tuple[list[Heard], str]:
    """A line of the child: what was heard, and the name that was taken back, "" for none. Raises Corrupt."""
    try:
        facts = json.loads(line)
        if not isinstance(facts, dict):
            raise TypeError
        if "gone" in facts:
            return [], _text(facts["gone"])
        name, port, hosts = _text(facts["name"]), facts["port"], facts["hosts"]
        if type(port) is not int or not isinstance(hosts, list) or len(hosts) > HOSTS_MOST:
            raise TypeError
        return [Heard(name, _text(host), port) for host in hosts], ""
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Corrupt("a line about the local network is none") from None


def _text(found: object) -> str:
    if not isinstance(found, str) or len(found) > TEXT_CHARACTERS_MOST:
        raise TypeError
    return found


class Nearby:
    """Places of one peer."""

    def __init__(self, allow_loopback: bool = False) -> None:
        """`allow_loopback`: for tests on one machine."""
        self._allow_loopback = allow_loopback
        self._places: OrderedDict[tuple[str, int], str] = OrderedDict()  # by which name each was heard, oldest first
        self._shunned: OrderedDict[tuple[str, int], float] = OrderedDict()

    def hear(self, heard: Heard, names: Iterable[str], now: float) -> bool:
        """Whether it is worth a try, and new. `names`: those of the peer just now."""
        place = heard.host, heard.port
        if heard.name not in names or not self.is_near(heard.host) or not LEAST_PORT <= heard.port <= 65_535:
            return False
        if self._shunned.get(place, now) > now:
            return False
        is_new = place not in self._places
        self._places[place] = heard.name
        self._places.move_to_end(place)
        if len(self._places) > PLACES_MOST:
            self._places.popitem(last=False)
        return is_new

    def places(self) -> list[tuple[str, int]]:
        """The newest first."""
        return list(reversed(self._places))

    def gone(self, name: str) -> None:
        """It was taken back, by whomever."""
        for place in [place for place, known in self._places.items() if known == name]:
            del self._places[place]

    def lose(self, place: tuple[str, int]) -> None:
        """Nobody answered there."""
        self._places.pop(place, None)

    def shun(self, place: tuple[str, int], now: float) -> None:
        """Somebody else answered there."""
        self._places.pop(place, None)
        self._shunned[place] = now + SHUNNED_SECONDS
        self._shunned.move_to_end(place)
        if len(self._shunned) > SHUNNED_MOST:
            self._shunned.popitem(last=False)

    def is_near(self, host: str) -> bool:
        """Whether an address can be one of a network that this machine is in."""
        try:
            found = ip_address(host)
        except ValueError:
            return False
        if found.is_loopback:
            return self._allow_loopback
        if found.is_multicast or found.is_unspecified or found.is_reserved:
            return False
        return found.is_link_local or _is_private(found)


def _is_private(address: IPv4Address | IPv6Address) -> bool:
    """Home networks, and nothing that a standard has set apart for something else."""
    return any(address in network for network in _PRIVATE[address.version])
