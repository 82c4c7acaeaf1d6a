"""The facts of a cloud peer in Prometheus' text form. The only module that knows the library."""

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from hyperfs.peer.facts import DriveFacts, PeerFacts, Traffic, health

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_OF_A_DRIVE: Final = (
    ("used_bytes", "Bytes that a drive takes on this peer."),
    ("quota_bytes", "Bytes that a drive may take; no sample where it has no quota."),
    ("control_records", "Records of a drive's control chain that are here."),
    ("devices", "Active devices in a drive's roster."),
    ("clears_waiting", "Clears that are held for 30 days before they are done."),
    ("clears_taken_back", "Clears that were not done because the device that signed them was revoked."),
    ("forks_held", "Forks of logs that the root has let go and that are held for 30 days."),
    ("evidence", "Pieces of evidence against a drive's keys: anything but 0 needs a person."),
    ("damaged_blocks", "Blocks found damaged on this peer's disk since it was started."),
)


class _Facts(Collector):
    """Facts are values, so a registry with these gives the same text however often it is asked."""

    def __init__(self, facts: PeerFacts, traffic: Traffic | None) -> None:
        self._facts = facts
        self._traffic = traffic

    def collect(self) -> Iterator[Metric]:
        facts = self._facts
        found = health(facts)
        for name, text, value in (
            ("serving", "1 if the peer takes and gives.", int(found.is_serving)),
            ("problems", "What its owner should look at; the health page says what.", len(found.problems)),
            ("drives", "Drives that are served.", len(facts.drives)),
            ("drives_broken", "Drives whose records can't be read.", len(facts.broken)),
            ("disk_free_bytes", "Bytes that the disk has left.", facts.free_bytes),
            ("disk_floor_bytes", "Bytes of the disk that blocks may not take.", facts.floor_bytes),
        ):
            yield GaugeMetricFamily(f"hyperfs_peer_{name}", text, value)
        for name, text in _OF_A_DRIVE:
            family = GaugeMetricFamily(f"hyperfs_peer_drive_{name}", text, labels=["drive"])
            for drive in facts.drives:
                if (number := _numbers(drive)[name]) is not None:
                    family.add_metric([drive.name], number)
            yield family
        yield from _logs(facts)
        if self._traffic is not None:
            yield from _of_traffic(self._traffic)


def render(facts: PeerFacts, traffic: Traffic | None = None) -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Facts(facts, traffic))
    return generate_latest(registry)


def _numbers(drive: DriveFacts) -> dict[str, int | None]:
    return {
        "used_bytes": drive.used_bytes,
        "quota_bytes": drive.quota_bytes,
        "control_records": drive.records,
        "devices": drive.devices,
        "clears_waiting": drive.clears_waiting,
        "clears_taken_back": drive.clears_taken_back,
        "forks_held": drive.forks_held,
        "evidence": len(drive.evidence),
        "damaged_blocks": drive.damaged,
    }


def _logs(facts: PeerFacts) -> Iterator[Metric]:
    labels = ["drive", "log", "fork"]
    length = GaugeMetricFamily("hyperfs_peer_log_length_blocks", "Blocks that a log's head here signs.", labels=labels)
    size = GaugeMetricFamily("hyperfs_peer_log_length_bytes", "Bytes that a log's head here signs.", labels=labels)
    for drive in facts.drives:
        for log in drive.logs:
            names = [drive.name, str(log.number), str(log.fork)]
            length.add_metric(names, log.length)
            size.add_metric(names, log.byte_length)
    yield length
    yield size


def _of_traffic(traffic: Traffic) -> Iterator[Metric]:
    yield GaugeMetricFamily("hyperfs_peer_connections", "Connections that are open.", traffic.connections)
    yield GaugeMetricFamily(
        "hyperfs_peer_connections_half_open", "Connections on which nothing is exchanged yet.", traffic.half_open
    )
    for name, value in (("received", traffic.received_bytes), ("sent", traffic.sent_bytes)):
        text = f"Bytes {name} over all connections since the start."
        yield CounterMetricFamily(f"hyperfs_peer_{name}_bytes", text, value)
