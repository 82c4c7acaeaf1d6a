"""The conversation of docs/replication.md is what two sides say."""

import re
from pathlib import Path

from hyperfs.replication import (
    connection,
    dialogue,
    dialogue_codec,
    exchange,
    half_open,
    mux,
    mux_codec,
    one_session,
    secret_stream,
)

from .example import conversation

PAGE = (Path(__file__).parents[2] / "docs" / "replication.md").read_text()


def example(name: str) -> list[bytes]:
    """The pieces of an example, which empty lines part."""
    found = re.search(rf"```hex {name}\n(.*?)```", PAGE, re.S)
    assert found, f"no example {name}"
    pieces = found[1].split("\n\n")
    return [bytes.fromhex("".join(line.split(";")[0] for line in piece.splitlines())) for piece in pieces]


def test_the_conversation_of_the_page(tmp_path: Path) -> None:
    frames, spoken = conversation(tmp_path)
    for number in (0, 1):
        assert example(f"frames {number}") == [b"".join(frames[number])]
    assert example("messages") == [message for _, message in spoken]


def test_the_bounds_of_the_page() -> None:
    rows = [line.split("|") for line in PAGE.splitlines() if line.count("|") == 3]
    table = {row[1].strip(): row[2].strip() for row in rows}
    assert table["a frame, before a log's key was proved"] == f"{secret_stream.UNPROVEN_FRAME_BYTES:,} bytes"
    assert table["messages in a batch"] == f"{mux_codec.MOST_IN_BATCH:,}"
    assert table["channels of one side"] == f"{mux.MOST_CHANNELS:,}"
    assert table["channels that wait to be opened, and bytes sent to them"] == (
        f"{mux.MOST_WAITING}, {mux.MOST_WAITING_BYTES:,}"
    )
    assert table["time until a log is exchanged"] == f"{one_session.HANDSHAKE_SECONDS:g} s"
    assert table["connections of one address on which none is, and of all"] == (
        f"{half_open.MOST_HALF_OPEN}, {half_open.MOST_HALF_OPEN_IN_ALL}: then the oldest goes"
    )
    assert table["open requests of a side in `hyperfs/1`, and the body of one"] == (
        f"{dialogue.MOST_OPEN}, {dialogue_codec.MOST_BODY_BYTES:,} bytes"
    )
    assert table["requests of ours to one peer"] == str(exchange.MOST_IN_FLIGHT)
    assert table["requests of a peer that wait"] == f"{exchange.MOST_HELD:,}"
    assert table["requests that make no sense"].startswith(str(exchange.MOST_INVALID - 1))
    assert table["bytes to be written, above which the connection ends"] == f"{connection.MOST_UNREAD >> 20} MiB"
