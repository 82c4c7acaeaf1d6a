"""A real Ceph on loopback: a monitor, a manager, three disks (BlueStore on sparse files) and an S3 gateway.

All daemons are children of the test, in the foreground, with their files in one folder; nobody proves who he is but
to the gateway. Seen to work with Ceph 16.2 of Debian 12, as root.
"""

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path

STORAGE_CLASS = "STANDARD_IA"
"""What it has beside its standard class."""
PROGRAMS = ("ceph-mon", "ceph-mgr", "ceph-osd", "radosgw", "radosgw-admin", "monmaptool", "ceph")
OSDS = 3
KEY_ID, SECRET = "HYPERFS", "secret-of-tests"
UP_SECONDS = 300.0

CONFIG = """
[global]
fsid = {fsid}
mon_initial_members = a
mon_host = [v2:127.0.0.1:{mon},v1:127.0.0.1:{mon_v1}]
public_network = 127.0.0.0/8
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc
run_dir = {folder}/run
log_file = {folder}/log/$name.log
admin_socket = {folder}/run/$name.asok
crash_dir = {folder}/crash
osd_pool_default_size = {osds}
osd_pool_default_min_size = 2
osd_pool_default_pg_num = 8
osd_crush_chooseleaf_type = 0
osd_max_object_name_len = 256
osd_memory_target = 939524096
bluestore_block_size = 4294967296
bluestore_block_db_create = false
bluestore_block_wal_create = false
bluestore_cache_autotune = false
bluestore_cache_size = 67108864
mon_data_avail_crit = 1
mon_data_avail_warn = 2
mon_warn_on_pool_no_redundancy = false
[mon]
mon_data = {folder}/mon
[mgr]
mgr_data = {folder}/mgr
[osd]
osd_data = {folder}/osd$id
[client.rgw.a]
rgw_frontends = beast endpoint=127.0.0.1:{gateway}
rgw_data = {folder}/rgw
"""


def missing() -> list[str]:
    """The programs that are not installed."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    return [name for name in PROGRAMS if shutil.which(name, path=path) is None]


class Ceph:
    """`end` must be called, however far `start` came."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._daemons: list[subprocess.Popen[bytes]] = []
        self._environment = os.environ | {
            "CEPH_CONF": str(folder / "ceph.conf"),
            "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",
        }
        self.endpoint = ""

    def start(self) -> None:
        mon, mon_v1, gateway = _free_ports(3)
        fsid = str(uuid.uuid4())
        for name in ("mon", "mgr", "run", "log", "crash", "rgw", *(f"osd{number}" for number in range(OSDS))):
            (self._folder / name).mkdir(parents=True)
        config = CONFIG.format(fsid=fsid, folder=self._folder, mon=mon, mon_v1=mon_v1, gateway=gateway, osds=OSDS)
        (self._folder / "ceph.conf").write_text(config)
        self._start_monitor(fsid, mon, mon_v1)
        self._daemon("ceph-mgr", "-i", "x")
        for number in range(OSDS):
            self._start_osd(number)
        self._until("the disks are up", lambda: f"{OSDS} up" in self._run("ceph", "osd", "stat"))
        self._run(
            *("radosgw-admin", "user", "create", "--uid", "hyperfs", "--display-name", "hyperfs"),
            *("--access-key", KEY_ID, "--secret", SECRET),
        )
        self._add_storage_class(STORAGE_CLASS)
        self._daemon("radosgw", "-n", "client.rgw.a")
        self.endpoint = f"http://127.0.0.1:{gateway}"
        self._until("the gateway answers", self._answers)

    def _add_storage_class(self, name: str) -> None:
        """Beside STANDARD; a gateway that runs would have to be started again."""
        where = ("--placement-id", "default-placement", "--storage-class", name)
        self._run("radosgw-admin", "zonegroup", "placement", "add", "--rgw-zonegroup", "default", *where)
        pool = ("--data-pool", "default.rgw.buckets.data")
        self._run("radosgw-admin", "zone", "placement", "add", "--rgw-zone", "default", *where, *pool)

    def _start_monitor(self, fsid: str, port: int, port_v1: int) -> None:
        monmap = str(self._folder / "monmap")
        addresses = f"[v2:127.0.0.1:{port},v1:127.0.0.1:{port_v1}]"
        self._run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", addresses, monmap)
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap)
        self._daemon("ceph-mon", "-i", "a")
        self._until("the monitor answers", lambda: bool(self._run("ceph", "-s")))

    def _start_osd(self, number: int) -> None:
        name = str(uuid.uuid4())
        self._run("ceph", "osd", "new", name, str(number))
        self._run("ceph-osd", "-i", str(number), "--mkfs", "--osd-uuid", name, "--osd-objectstore", "bluestore")
        self._daemon("ceph-osd", "-i", str(number))

    def end(self) -> None:
        """Gateway first: who is asked for longer than it is there waits."""
        for daemon in reversed(self._daemons):
            daemon.terminate()
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def stop_gateway(self) -> None:
        """Halted, as it were in the middle of a request; `go_on` lets it run again."""
        os.kill(self._daemons[-1].pid, 19)

    def go_on(self) -> None:
        os.kill(self._daemons[-1].pid, 18)

    def _daemon(self, *command: str) -> None:
        with (self._folder / "log" / f"{command[0]}-{command[-1]}.out").open("wb") as out:
            started = subprocess.Popen(
                [*command, "-f"], env=self._environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        self._daemons.append(started)

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command[:4])}: {done.stderr}{done.stdout}")
        return done.stdout

    def _until(self, what: str, true: Callable[[], bool]) -> None:
        until = time.monotonic() + UP_SECONDS
        while time.monotonic() < until:
            dead = [daemon.args for daemon in self._daemons if daemon.poll() is not None]
            if dead:
                raise RuntimeError(f"{dead} ended: {self._last_words()}")
            try:
                if true():
                    return
            except (RuntimeError, subprocess.TimeoutExpired, OSError):
                pass
            time.sleep(0.3)
        raise RuntimeError(f"Ceph does not come up: {what} is not so after {UP_SECONDS:.0f} s: {self._last_words()}")

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(self.endpoint, timeout=5).close()
        except urllib.error.HTTPError:
            return True
        return True

    def _last_words(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-800:] for path in (self._folder / "log").glob("*.out"))


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for made in sockets:
            made.bind(("127.0.0.1", 0))
        return [made.getsockname()[1] for made in sockets]
    finally:
        for made in sockets:
            made.close()
