"""The commands `hyperfs peer serve` and `invite`: what they print, how they end, and what is durable by then."""

import json
import os
import random
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import trio

from hyperfs.replication import invitation, one_session
from tests import tally
from tests.peer.conftest import CONTENT, METADATA, Owner

from .calls import TRACE, has_ended, unsynced_when_sent
from .devices import Device, connected, until
from .process import Process, free_port, invite, run

LONG = os.environ.get("HYPERFS_ALL") == "1"
KILLS = int(os.environ.get("HYPERFS_SERVER_KILLS", "30" if LONG else "3"))
SEED = int(os.environ.get("HYPERFS_SEED", "1"))


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


async def test_it_serves_tells_and_ends_in_order(tmp_path: Path, owner: Owner) -> None:
    port = free_port()
    folder = tmp_path / "peer"
    with Process(folder, "--metrics", f"127.0.0.1:{port}", "--quota", "1G", "--public", "localhost:1") as process:
        made = invite(folder)
        assert invitation.parse(made["code"]).address == process.address
        assert str(process.address).endswith("@localhost:1")
        where = process.address._replace(endpoint=process.address.endpoint._replace(host="127.0.0.1"))
        where = where._replace(endpoint=where.endpoint._replace(port=process.said[-1]["port"]))
        async with connected(owner, where) as device:
            quota = await device.client.pair(invitation.parse(made["code"]), owner.id)
            assert quota == 1 << 30
            (await device.offer()).send()
            await device.until_held(CONTENT)
            status, text = await trio.to_thread.run_sync(get, port, "/metrics")
            assert status == 200
            assert f'hyperfs_peer_log_length_blocks{{drive="{owner.id.hex()[:16]}",fork="0",log="2"}} 50.0' in text
            assert "hyperfs_peer_connections 1.0" in text
            health = await trio.to_thread.run_sync(get, port, "/health")
            assert (health[0], json.loads(health[1])) == (200, {"serving": True, "problems": []})
            assert (await trio.to_thread.run_sync(get, port, "/drives"))[0] == 404
            process.process.send_signal(signal.SIGTERM)
            with trio.fail_after(60):
                await device.session.ended.wait()
        assert await trio.to_thread.run_sync(process.wait) == 0
    told = [line["event"] for line in process.said]
    assert told[0] == "serving"
    assert told[-2:] == ["stopping", "stopped"]
    assert {"paired", "drive admitted", "control chain", "log grew"} <= set(told)
    assert owner.logs[CONTENT].key.hex() not in json.dumps(process.said)


def test_what_can_t_be_is_said_with_its_code(tmp_path: Path) -> None:
    folder = tmp_path / "peer"
    none = run("invite", "--store", str(folder))
    assert (none.returncode, "serve it first" in none.stderr) == (5, True)
    assert not folder.exists()
    with Process(folder) as process:
        port = process.address.endpoint.port
        taken = run("serve", "--store", str(tmp_path / "other"), "--listen", f"127.0.0.1:{port}")
        assert (taken.returncode, "can't listen on" in taken.stderr) == (4, True)
        locked = run("serve", "--store", str(folder), "--listen", "127.0.0.1:0")
        assert (locked.returncode, "is in use" in locked.stderr) == (5, True)
        assert run("invite", "--store", str(folder), "--expires", "soon").returncode == 2
        assert process.end(signal.SIGINT) == 0
    assert run("serve", "--store", "/proc", "--listen", "nowhere").returncode == 2


def test_an_invite_is_made_with_and_without_a_server_and_keeps_the_address(tmp_path: Path) -> None:
    folder = tmp_path / "peer"
    first = invite(folder, "--public", "cloud.example:4717")
    assert first["address"].endswith("@cloud.example:4717")
    assert "where can this peer be reached" in run("invite", "--store", str(folder)).stderr
    with Process(folder) as process:
        served = invite(folder)
        assert served["address"] == str(process.address)
        assert served["public_key"] == first["public_key"] == process.address.key.hex()
    after = invite(folder, "--quota", "5G", "--expires", "2h")
    assert after["address"] == served["address"]
    assert len({first["code"], served["code"], after["code"]}) == 3
    shown = run("invite", "--store", str(folder)).stdout
    assert "hyperfs peer add CODE" in shown
    assert invitation.parse(shown.splitlines()[1]).address == process.address
    secret = invitation.parse(after["code"]).secret
    assert not any(secret in path.read_bytes() or secret.hex() in path.read_text("latin-1") for path in files(folder))


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.timeout(3600 if LONG else 300)
async def test_killed_while_a_drive_is_sent_it_has_what_it_acknowledged(tmp_path: Path, owner: Owner) -> None:
    """And the device goes on where it was, on the same port. The last time it is ended in order, in the middle."""
    rng, port, folder = random.Random(SEED), free_port(), tmp_path / "peer"
    acknowledged: dict[int, set[int]] = {METADATA: set(), CONTENT: set()}
    code, cut_short = "", 0
    for number in range(KILLS):
        owner.append(METADATA, 50)
        owner.append(CONTENT, 300)
        with Process(folder, port=port) as process:
            code = code or invite(folder)["code"]
            async with connected(owner, process.address) as device:
                if number == 0:
                    await device.pair(code)
                await device.offer()
                for log, blocks in acknowledged.items():
                    await check(device, log, blocks)
                device.send()
                enough, all_new = device.session.sent_bytes + rng.randrange(500, 60_000), 350
                await until(
                    device.exchanger,
                    lambda: heard(device, acknowledged) >= all_new or device.session.sent_bytes > enough,  # noqa: B023
                )
                is_last = number == KILLS - 1
                code_of_end = await trio.to_thread.run_sync(process.end, signal.SIGTERM if is_last else signal.SIGKILL)
                assert code_of_end == (0 if is_last else -signal.SIGKILL)
                heard(device, acknowledged)
                cut_short += not all(is_whole(device, log) for log in acknowledged)
    with Process(folder, port=port) as process:
        async with connected(owner, process.address) as device:
            for log, blocks in acknowledged.items():
                await check(device, log, blocks)
            device.send()
            for log in acknowledged:
                await device.until_held(log)
    tally.add("kills of a serving cloud peer", KILLS, seed=SEED)
    tally.add("of these before it had acknowledged everything", cut_short, seed=SEED)


def is_whole(device: Device, number: int) -> bool:
    end = device.owner.logs[number].length
    return any(exchange.remote_has.next_unset(0, end) == end for exchange in device.logs[number].exchanges)


def heard(device: Device, acknowledged: dict[int, set[int]]) -> int:
    """Notes which blocks the peer has announced, and says how many of those that were not known before."""
    new = 0
    for number, log in device.logs.items():
        for exchange in log.exchanges:
            end = device.owner.logs[number].length
            there = {block for run in exchange.remote_has.runs(0, end) for block in range(*run)}
            new += len(there - acknowledged[number])
            acknowledged[number] |= there
    device.new = getattr(device, "new", 0) + new  # type: ignore[attr-defined]
    return int(device.new)  # type: ignore[attr-defined]


async def check(device: Device, number: int, blocks: set[int]) -> None:
    if blocks:
        receipt = await device.receipt(number)
        assert blocks <= {block for run in receipt.ranges for block in range(*run)}
        some = sorted(blocks)[:: max(1, len(blocks) // 60)][:64]
        found = await device.client.audit(device.owner.id, device.owner.discovery_key(number), 0, bytes(32), some)
        assert all(what == 1 for what, _ in found)


def can_trace() -> str | None:
    """Why not, or None."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    done = subprocess.run(["strace", "-f", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    return done.stderr.strip() if done.returncode else None


@pytest.mark.skipif(can_trace() is not None, reason=f"processes can't be traced here: {can_trace()}")
async def test_nothing_is_acknowledged_before_it_is_on_the_disk(
    tmp_path: Path, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the kernel's record: when the byte that acknowledges something was sent, all that was written was synced."""
    monkeypatch.setattr(one_session, "_READ_BYTES", 1)  # so that it is known to the byte when something was heard
    folder, record = tmp_path / "peer", tmp_path / "record"
    moments: dict[str, int] = {}
    with Process(folder, before=(*TRACE, "-o", str(record))) as process:
        code = invite(folder)["code"]
        async with connected(owner, process.address) as device:
            await device.pair(code)
            moments["the answer to a pairing"] = device.session.received_bytes
            await device.offer()
            moments["the answer to a chain"] = device.session.received_bytes
            device.send(CONTENT)
            (log,) = device.logs.values()
            for count in (0, 40, 1):
                if count:
                    device.append(CONTENT, count)
                await until(device.exchanger, lambda: is_whole(device, CONTENT))
                moments[f"{owner.logs[CONTENT].length} blocks announced"] = device.session.received_bytes
            assert log.exchanges
            receipt = await device.receipt(CONTENT)
            assert receipt.covers(0, 91)
            moments["a receipt"] = device.session.received_bytes
        process.process.send_signal(signal.SIGTERM)
        await trio.to_thread.run_sync(process.wait)
    with trio.fail_after(60):
        while not has_ended(text := record.read_text(), process.process.pid):
            await trio.sleep(0.05)  # strace writes its last lines after the process is gone
    assert {name: unsynced_when_sent(text, folder, sent) for name, sent in moments.items()} == {n: [] for n in moments}
    # The record does show what is not synced: without the syncs all of it would count.
    blind = "\n".join(line for line in text.splitlines() if "sync" not in line)
    found = unsynced_when_sent(blind, folder, moments["a receipt"])
    assert {Path(path).name for path in found} >= {"blocks", "tree", "heads", "have", "records"}
    tally.add("acknowledgements compared with the kernel's record", len(moments))


async def test_who_comes_while_it_is_down_gets_it_when_it_is_up(tmp_path: Path, owner: Owner) -> None:
    folder, port = tmp_path / "peer", free_port()
    with Process(folder, port=port) as process:
        code = invite(folder)["code"]
        assert process.end() == 0
    with pytest.RaisesGroup(OSError, flatten_subgroups=True):
        async with connected(owner, process.address):
            pass
    with Process(folder, port=port) as process:
        async with connected(owner, process.address) as device:
            (await (await device.pair(code)).offer()).send()
            await device.until_held(METADATA)
