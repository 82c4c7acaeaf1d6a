"""Where a peer is and who it is, as one line of text: `hyperfs://KEY@HOST:PORT`.

The key is the peer's Ed25519 public key: whoever answers at that place with another one is somebody else. It stays when
the place changes. An IPv6 address stands in brackets.
"""

import re
from typing import Final, NamedTuple

from hyperfs.errors import BadRequest

KEY_BYTES: Final = 32
MOST_HOST_CHARACTERS: Final = 253
_MOST_PORT: Final = 65_535
_ADDRESS: Final = re.compile(r"hyperfs://([0-9a-fA-F]{64})@([^/@]+)/?")
_ENDPOINT: Final = re.compile(r"(?:\[([0-9a-fA-F:.]+(?:%[A-Za-z0-9_.-]+)?)\]|([^\s\[\]:/@]+)):([0-9]{1,5})")


class Endpoint(NamedTuple):
    """Of TCP. `host` is a name or an address, an IPv6 address without its brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Address(NamedTuple):
    """`key` is the peer's Ed25519 public key."""

    key: bytes
    endpoint: Endpoint

    def __str__(self) -> str:
        return f"hyperfs://{self.key.hex()}@{self.endpoint}"


def parse(text: str) -> Address:
    """BadRequest for what is no address."""
    found = _ADDRESS.fullmatch(text.strip())
    if found is None:
        raise BadRequest(
            f"{text[:80]!r} is no address of a peer: they look like hyperfs://KEY@HOST:PORT, "
            "where KEY has 64 hex digits"
        )
    return Address(bytes.fromhex(found[1]), parse_endpoint(found[2]))


def parse_endpoint(text: str, least_port: int = 1) -> Endpoint:
    """HOST:PORT. BadRequest for anything else. `least_port` 0: where the system may choose one."""
    found = _ENDPOINT.fullmatch(text.strip())
    if found is None:
        raise BadRequest(f"{text[:80]!r} is not HOST:PORT (an IPv6 address stands in brackets: [::1]:4780)")
    host, port = found[1] or found[2], int(found[3])
    if not least_port <= port <= _MOST_PORT:
        raise BadRequest(f"{port} is no port: they go from {least_port} to {_MOST_PORT}")
    if len(host) > MOST_HOST_CHARACTERS or not host.isprintable():
        raise BadRequest(f"{host[:80]!r} is no host")
    return Endpoint(host, port)
