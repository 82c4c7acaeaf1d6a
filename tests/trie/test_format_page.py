"""The worked examples of docs/formats/trie.md are true."""

import re
from pathlib import Path

from trie_model import MemoryLog, identify

from hyperfs.trie import canonical_size, decode
from hyperfs.trie.node_pack import build

PAGE = Path(__file__).parents[2] / "docs" / "formats" / "trie.md"

EXTENT = (
    bytes(range(16)) + (0).to_bytes(4, "little") + (131072).to_bytes(4, "little"),
    b"\2\0\0\0" + (77).to_bytes(8, "little") + b"\xff" * 4,
)
EXAMPLES = {
    "leaf": {
        bytes(7) + b"\x01\x02a": (bytes(7) + b"\x02\x01", b""),
        bytes(7) + b"\x02\x03" + bytes(8): EXTENT,
    },
    "branch": {b"a": (b"v", b"here"), b"ab": (b"x" * 2100, b""), b"aq": (b"x" * 2100, b"")},
}


def examples() -> dict[str, tuple[bytes, int, str]]:
    """Of each example on the page: its bytes, where its canonical part ends, the id that is given."""
    found = {}
    for name, body, id_ in re.findall(r"```hex (\w+)\n(.*?)```\s+Its id is `(\w+)`", PAGE.read_text(), re.S):
        parts = body.split("; here the canonical part ends")
        canonical, rest = (
            bytes.fromhex("".join(line.split(";")[0] for line in part.splitlines())) for part in parts
        )
        found[name] = (canonical + rest, len(canonical), id_)
    return found


def test_the_examples_are_what_the_codec_writes_and_reads() -> None:
    page = examples()
    assert page.keys() == EXAMPLES.keys()
    for name, (data, canonical_end, id_) in page.items():
        log = MemoryLog()
        root = log.of(EXAMPLES[name])
        assert root is not None
        assert log.blocks[-1] == data
        assert decode(data) == log.load(root)
        assert canonical_size(data) == canonical_end
        assert root.id.hex() == id_ == identify(data[:canonical_end]).hex()


def test_the_example_of_a_pack_is_what_is_written() -> None:
    found = re.search(r"```hex pack\n(.*?)```", PAGE.read_text(), re.S)
    assert found
    log = MemoryLog()
    log.of({b"key": (b"value", b"")})
    log.of({b"": (b"value", b"hint")})
    assert build(log.blocks) == bytes.fromhex("".join(line.split(";")[0] for line in found[1].splitlines()))
