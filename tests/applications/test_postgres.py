"""PostgreSQL on a drive: made, run by pgbench, killed together with the drive, and recovered."""

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tally
from tests.mount.drive import LONG, Drive, until

from .programs import run

KILLS = int(os.environ.get("HYPERFS_POSTGRES_KILLS", "5" if LONG else "1"))
SCALE = int(os.environ.get("HYPERFS_POSTGRES_SCALE", "10" if LONG else "1"))
SECONDS = int(os.environ.get("HYPERFS_POSTGRES_SECONDS", "30" if LONG else "2"))
USER = "postgres"

# The sums that every transaction of pgbench keeps equal.
BALANCES = """select (select sum(abalance) from pgbench_accounts), (select sum(tbalance) from pgbench_tellers),
(select sum(bbalance) from pgbench_branches), (select coalesce(sum(delta), 0) from pgbench_history)"""


def programs_folder() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if found:
        return found[-1].parent
    if LONG:
        pytest.fail("PostgreSQL is not installed: packaging/suites installs it")
    pytest.skip("PostgreSQL is not installed")


class Cluster:
    """A database cluster whose files are on the drive; its socket and its log are not."""

    def __init__(self, folder: Path, data: Path) -> None:
        self.data = data
        self.folder = folder
        self.bin = programs_folder()
        self.as_user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"] if os.getuid() == 0 else []
        self.log = folder / "postgres.log"
        self.server: subprocess.Popen[bytes] | None = None

    def run(self, program: str, *words: object, seconds: float = 600) -> str:
        return run(*self.as_user, self.bin / program, *words, seconds=seconds, environment={"PGHOST": str(self.folder)})

    def sql(self, command: str, seconds: float = 600) -> str:
        return self.run("psql", "-XAtq", "-d", "postgres", "-c", command, seconds=seconds).strip()

    def start(self) -> None:
        """Returns when it answers, after whatever recovery it had to do."""
        with self.log.open("ab") as log:
            self.server = subprocess.Popen(
                [*self.as_user, self.bin / "postgres", "-D", self.data, "-k", self.folder, "-c", "listen_addresses="],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
            )
        until("PostgreSQL answers", self._answers, 300)

    def _answers(self) -> bool:
        assert self.server is not None
        assert self.server.poll() is None, self.log.read_text()[-4000:]
        asked: list[str | Path] = [*self.as_user, self.bin / "pg_isready", "-q", "-h", self.folder]
        return subprocess.run(asked, check=False, timeout=60, cwd="/").returncode == 0

    def stop(self) -> None:
        assert self.server is not None
        self.server.send_signal(signal.SIGINT)  # a fast shutdown: with a checkpoint
        assert self.server.wait(300) == 0, self.log.read_text()[-4000:]
        self.server = None

    def kill(self) -> None:
        """SIGKILL to all its processes; its children are sessions of their own."""
        if self.server is None:
            return
        family = [self.server.pid]
        with contextlib.suppress(OSError):
            family += map(int, Path(f"/proc/{self.server.pid}/task/{self.server.pid}/children").read_text().split())
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.server.wait(60)
        until("its children are gone", lambda: not any(_is_alive(pid) for pid in family), 60)
        self.server = None


def _is_alive(pid: int) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


@pytest.fixture
def drive_and_cluster() -> Iterator[tuple[Drive, Cluster]]:
    """A drive that lets its user in, and on it a new cluster of PostgreSQL's, with checksums of its pages."""
    programs_folder()
    # Not below pytest's folder, into which it lets nobody but the user who runs it.
    with tempfile.TemporaryDirectory(prefix="hyperfs-pg-") as name:
        folder = Path(name)
        folder.chmod(0o777)
        drive = Drive(folder)
        data = drive.point / "data"
        cluster = Cluster(folder, data)
        try:
            drive.mount(*_flags())
            data.mkdir(mode=0o700)
            if os.getuid() == 0:
                run("chown", f"{USER}:", data)
            cluster.run("initdb", "--data-checksums", "--auth=trust", "-U", USER, "-D", data, "--no-instructions")
            yield drive, cluster
        finally:
            cluster.kill()
            drive.end()


def _flags() -> list[str]:
    return ["allow-other"] if os.getuid() == 0 else []


@pytest.mark.timeout(7200 if LONG else 300)
def test_pgbench_and_recovery_after_everything_was_killed(drive_and_cluster: tuple[Drive, Cluster]) -> None:
    drive, cluster = drive_and_cluster
    cluster.start()
    assert cluster.sql("show full_page_writes") == "on"
    cluster.run("pgbench", "-i", "-q", "-s", SCALE, "-U", USER, "postgres", seconds=1800)
    cluster.sql("create table ledger(number bigint primary key)")
    rng = random.Random(8)
    for kill in range(KILLS):
        acknowledged = bench_until_killed(drive, cluster, rng, postgres_first=kill % 2 == 0)
        drive.mount(*_flags())
        cluster.start()
        found = int(cluster.sql("select count(*) from ledger"))
        assert found >= acknowledged, "a transaction that was acknowledged is gone"
        tally.add("PostgreSQL transactions acknowledged and there after a kill", acknowledged, seed=8)
        tally.add("kills of PostgreSQL and the drive", 1, seed=8)
        balances(cluster)
        cluster.sql("truncate ledger")
    done = cluster.run("pgbench", "-n", "-c", 4, "-j", 2, "-T", SECONDS, "-U", USER, "postgres", seconds=SECONDS + 600)
    count = re.search(r"transactions actually processed: (\d+)", done)
    assert count, done
    assert int(count[1]) > 0
    tally.add("pgbench transactions with nothing killed", int(count[1]))
    balances(cluster)
    cluster.stop()
    drive.remount(*_flags())
    checked = cluster.run("pg_checksums", "--check", "-D", cluster.data)
    assert re.search(r"Bad checksums: +0\b", checked), checked


@pytest.mark.timeout(1800)
def test_a_cluster_copied_out_of_a_version_recovers(drive_and_cluster: tuple[Drive, Cluster]) -> None:
    """A version is one instant of a running PostgreSQL, as a power cut would have left it."""
    if not LONG:
        pytest.skip("a second cluster takes long: HYPERFS_ALL=1")
    drive, cluster = drive_and_cluster
    cluster.start()
    cluster.run("pgbench", "-i", "-q", "-s", SCALE, "-U", USER, "postgres", seconds=1800)
    bench = start_bench(cluster)
    try:
        counts: list[int] = []
        for number in range(4):
            until(
                "transactions",
                lambda: int(cluster.sql("select count(*) from pgbench_history")) > max(counts, default=0),
                120,
            )
            counts.append(int(cluster.sql("select count(*) from pgbench_history")))
            drive.snapshot(f"kept{number}")
    finally:
        bench.kill()
        bench.communicate(timeout=60)
    cluster.stop()
    for number, count in enumerate(counts):
        old = Cluster(cluster.folder, cluster.folder / f"old{number}")
        run("cp", "-a", drive.versions() / f"kept{number}" / "data", old.data, seconds=600)
        (old.data / "postmaster.pid").unlink()
        old.start()
        try:
            assert int(old.sql("select count(*) from pgbench_history")) >= count
            balances(old)
        finally:
            old.stop()
        shutil.rmtree(old.data)
        tally.add("clusters copied out of a version that recovered", 1)


def balances(cluster: Cluster) -> None:
    """pgbench's sums are equal, and every page of tables and indexes can be read and is as amcheck wants it."""
    assert len(set(cluster.sql(BALANCES).split("|"))) == 1
    cluster.run("pg_amcheck", "--install-missing", "--heapallindexed", "-U", USER, "-d", "postgres")


def start_bench(cluster: Cluster) -> subprocess.Popen[bytes]:
    where: list[str | Path] = ["-h", cluster.folder, "-U", USER]
    return subprocess.Popen(
        [*cluster.as_user, cluster.bin / "pgbench", "-n", "-c", "4", "-T", "600", *where, "postgres"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
    )


def bench_until_killed(drive: Drive, cluster: Cluster, rng: random.Random, *, postgres_first: bool) -> int:
    """pgbench and a ledger run; all is killed at a moment by chance. How many entries had been acknowledged."""
    bench = start_bench(cluster)
    ledger = subprocess.Popen(
        [*cluster.as_user, cluster.bin / "psql", "-XAtq", "-h", cluster.folder, "-U", USER, "-d", "postgres"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd="/",
    )
    assert ledger.stdin is not None
    assert ledger.stdout is not None
    deadline = time.monotonic() + rng.uniform(1, SECONDS + 1)
    acknowledged = 0
    try:
        while time.monotonic() < deadline:
            ledger.stdin.write(f"insert into ledger values ({acknowledged}) returning number;\n")
            ledger.stdin.flush()
            assert ledger.stdout.readline() == f"{acknowledged}\n"
            acknowledged += 1
        if postgres_first:
            cluster.kill()
            drive.kill()
        else:
            drive.kill()
            cluster.kill()
    finally:
        for client in (bench, ledger):
            client.kill()
            client.communicate(timeout=60)
    return acknowledged
