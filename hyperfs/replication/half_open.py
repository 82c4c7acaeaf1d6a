"""Connections on which nothing is exchanged yet, counted by address: who only connects gets no further than a few."""

from collections import Counter
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

MOST_HALF_OPEN: Final = 8
"""Of one address."""
MOST_HALF_OPEN_IN_ALL: Final = 256


class HalfOpen:
    def __init__(self) -> None:
        self._by_address: Counter[str] = Counter()

    @property
    def total(self) -> int:
        return self._by_address.total()

    @property
    def is_full(self) -> bool:
        """The oldest makes room for another: who means it is done with the handshake by then, however many don't."""
        return self.total >= MOST_HALF_OPEN_IN_ALL

    def may_begin(self, address: str) -> bool:
        return self._by_address[address] < MOST_HALF_OPEN

    def begin(self, address: str) -> None:
        self._by_address[address] += 1

    def settle(self, address: str) -> None:
        """One of that address is in use by now, or gone."""
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]


def network_of(address: str) -> str:
    """What is counted as one address: who has one of IPv6 has 2^64 of them."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address) and found.ipv4_mapped is None:
        return str(ip_network((found, 64), strict=False))
    return address
