"""Fixtures of the wire's tests: what npm's packages answer."""

import json
from pathlib import Path
from typing import Any

import pytest

VECTORS = Path(__file__).parents[1] / "vectors"


@pytest.fixture(scope="session")
def npm() -> Any:
    """Known answers, made by tests/node/wire_vectors.js."""
    return json.loads((VECTORS / "wire.json").read_text())
