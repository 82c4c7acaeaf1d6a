"""Fixtures of the log's tests: a real disk, a key pair, and Hypercore's own answers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hyperfs.crypto.keys import SigningKeyPair
from hyperfs.log.log import Log
from hyperfs.store.files import Disk

VECTORS = Path(__file__).parents[1] / "vectors"


@pytest.fixture(scope="session")
def hypercore() -> dict[str, Any]:
    """Known answers, made by npm's hypercore."""
    vectors: dict[str, Any] = json.loads((VECTORS / "hypercore_vectors.json").read_text())
    return vectors


@pytest.fixture(scope="session")
def block_of() -> Callable[[str, int], bytes]:
    """Block i of one of the kinds of logs in Hypercore's vectors."""

    def block(kind: str, i: int) -> bytes:
        if kind == "alpha":
            return bytes([97 + i % 26])
        if kind == "idx":
            return f"block #{i}".encode()
        return bytes([i & 255]) * (i * 37 % 300)

    return block


@pytest.fixture(scope="session")
def signer() -> SigningKeyPair:
    """The key pair of Hypercore's vectors."""
    return SigningKeyPair(b"\x01" * 32)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


@pytest.fixture
def reopen(disk: Disk, signer: SigningKeyPair) -> Callable[[Log], Log]:
    """Close a log of folder `log` and open it again."""

    def again(log: Log) -> Log:
        log.close()
        return Log.open(disk, "log", signer.public_key, signer)

    return again


@pytest.fixture
def log(disk: Disk, signer: SigningKeyPair) -> Log:
    return Log.create(disk, "log", signer)
