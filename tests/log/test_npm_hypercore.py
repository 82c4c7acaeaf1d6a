"""Hypercore's own code, from npm, checks a log of ours: tree, head, signature, and proofs byte for byte."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hyperfs.crypto.keys import SigningKeyPair
from hyperfs.log.log import Log
from hyperfs.log.merkle import Node
from hyperfs.log.proof import BlockRequest, HashRequest, Request, SeekRequest, TreeProof, UpgradeRequest
from hyperfs.store.files import Disk

NODE_FOLDER = Path(__file__).parents[1] / "node"


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """For node: where the packages are. Skips, with the reason, on a machine without them."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed: npm's hypercore can't check our logs")
    modules = Path(os.environ.get("HYPERFS_NODE_MODULES", NODE_FOLDER / "node_modules"))
    for package in ("hypercore", "hypercore-crypto"):
        wanted = json.loads((NODE_FOLDER / "package.json").read_text())["dependencies"][package]
        found = modules / package / "package.json"
        if not found.exists():
            pytest.skip(f"npm's {package} {wanted} is not in {modules}")
        assert json.loads(found.read_text())["version"] == wanted
    return {**os.environ, "NODE_PATH": str(modules)}


def node_json(node: Node) -> dict[str, Any]:
    return {"index": node.index, "size": node.size, "hash": node.hash.hex()}


def request_json(request: Request) -> dict[str, Any]:
    block, hash_, seek, upgrade = request
    return {
        "block": block and {"index": block.block, "nodes": block.nodes},
        "hash": hash_ and {"index": hash_.node, "nodes": hash_.nodes},
        "seek": seek and {"bytes": seek.bytes, "padding": seek.padding},
        "upgrade": upgrade and {"start": upgrade.start, "length": upgrade.length},
    }


def proof_json(proof: TreeProof) -> dict[str, Any]:
    block, hash_, seek, upgrade = proof[1:]

    def nodes(of: tuple[Node, ...]) -> list[dict[str, Any]]:
        return [node_json(node) for node in of]

    return {
        "fork": proof.fork,
        "block": block and {"index": block.block, "value": block.value.hex(), "nodes": nodes(block.nodes)},
        "hash": hash_ and {"index": hash_.node, "nodes": nodes(hash_.nodes)},
        "seek": seek and {"bytes": seek.bytes, "nodes": nodes(seek.nodes)},
        "upgrade": upgrade
        and {
            "start": upgrade.start,
            "length": upgrade.length,
            "nodes": nodes(upgrade.nodes),
            "additionalNodes": nodes(upgrade.additional),
            "signature": upgrade.signature.hex(),
        },
    }


def requests(log: Log) -> list[Request]:
    """Questions of every kind that a log of at least 600 blocks can answer."""
    length = log.length
    asked = [
        Request(BlockRequest(0, 0)),
        Request(BlockRequest(3, 5)),
        Request(BlockRequest(length - 1, 0)),
        Request(hash=HashRequest(1, 3)),
        Request(hash=HashRequest(4, 6)),
        Request(upgrade=UpgradeRequest(0, length)),
        Request(upgrade=UpgradeRequest(0, 100)),
        Request(upgrade=UpgradeRequest(77, 300)),
        Request(BlockRequest(90, 0), upgrade=UpgradeRequest(77, 300)),
        Request(BlockRequest(5, 4), upgrade=UpgradeRequest(77, length - 77)),
        Request(hash=HashRequest(181, 0), upgrade=UpgradeRequest(77, 300)),
        Request(seek=SeekRequest(log.block_range(200)[0] + 3), upgrade=UpgradeRequest(77, 300)),
        Request(seek=SeekRequest(log.block_range(200)[0]), upgrade=UpgradeRequest(0, length)),
    ]
    for block in (1, 6, 100, 127, 255):
        place = log.block_range(block)[0] + 1
        asked.append(Request(BlockRequest(block ^ 1, 8), seek=SeekRequest(place)))
        asked.append(Request(BlockRequest(block ^ 64, 7), seek=SeekRequest(place)))
    return asked


def check(log: Log, folder: Path, signer: SigningKeyPair, environment: dict[str, str], tmp_path: Path) -> Any:
    proofs = [{"request": request_json(request), "proof": proof_json(log.proof(request))} for request in requests(log)]
    question = tmp_path / "question.json"
    question.write_text(json.dumps({"folder": str(folder), "publicKey": signer.public_key.hex(), "proofs": proofs}))
    script = str(NODE_FOLDER / "verify_log.js")
    done = subprocess.run(
        ["node", script, str(question)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_npm_verifies_a_log_of_1000_blocks_before_and_after_a_truncate(
    tmp_path: Path, disk: Disk, signer: SigningKeyPair, environment: dict[str, str]
) -> None:
    log = Log.create(disk, "log", signer)
    for start in range(0, 1000, 100):
        log.append([b"block %d " % i + bytes([i & 255 | 1]) * (i * 37 % 300) for i in range(start, start + 100)])
        log.flush()

    found = check(log, tmp_path / "log", signer, environment, tmp_path)
    assert found["key"] == log.key.hex()
    assert found["discoveryKey"] == log.discovery_key.hex()
    assert found["treeHash"] == log.head().tree_hash.hex()
    assert (found["length"], found["fork"]) == (1000, 0)

    log.truncate(613)
    found = check(log, tmp_path / "log", signer, environment, tmp_path)
    assert (found["length"], found["fork"]) == (613, 1)
    assert found["treeHash"] == log.head().tree_hash.hex()

    log.append([b"after the truncate %d" % i for i in range(100)])
    log.flush()
    found = check(log, tmp_path / "log", signer, environment, tmp_path)
    assert (found["length"], found["fork"]) == (713, 1)


def test_npm_refuses_a_log_whose_block_was_changed(
    tmp_path: Path, log: Log, disk: Disk, signer: SigningKeyPair, environment: dict[str, str]
) -> None:
    log.append([b"block %d" % i for i in range(700)])
    log.flush()
    with (tmp_path / "log" / "blocks").open("r+b") as file:
        file.seek(log.block_range(650)[0])
        file.write(b"X")
    with pytest.raises(AssertionError, match="tree hash"):
        check(log, tmp_path / "log", signer, environment, tmp_path)
