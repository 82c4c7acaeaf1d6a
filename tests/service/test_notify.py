import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.service.notify import STATUS_CHARACTERS_MOST, Notifier

from .listening import Ear


@pytest.fixture(params=["a path", "an abstract name"])
def ear(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ear]:
    address = tmp_path / "notify" if request.param == "a path" else f"@hyperfs-test-{os.getpid()}-{tmp_path.name}"
    with Ear(address) as ear:
        yield ear


def test_what_is_told_arrives_and_comes_from_this_process(ear: Ear) -> None:
    manager = Notifier(ear.address, 4.0)
    manager.ready("Mounted at /home/me/Hyper")
    manager.status("version 3")
    manager.extend(1.5)
    manager.alive()
    manager.stopping("Committing")
    assert [ear.hear() for _ in range(5)] == [
        (os.getpid(), {"READY": "1", "STATUS": "Mounted at /home/me/Hyper"}),
        (os.getpid(), {"STATUS": "version 3"}),
        (os.getpid(), {"EXTEND_TIMEOUT_USEC": "1500000"}),
        (os.getpid(), {"WATCHDOG": "1"}),
        (os.getpid(), {"STOPPING": "1", "STATUS": "Committing"}),
    ]


def test_the_variables_are_taken_so_that_no_child_speaks(tmp_path: Path) -> None:
    with Ear(tmp_path / "notify") as ear:
        environment = {
            "NOTIFY_SOCKET": ear.address,
            "WATCHDOG_USEC": "3000000",
            "WATCHDOG_PID": str(os.getpid()),
            "HOME": "/",
        }
        manager = Notifier.taken(environment)
        assert environment == {"HOME": "/"}
        assert manager.watchdog_seconds == 3.0
        manager.ready("")
        assert "READY" in ear.hear()[1]


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({"WATCHDOG_USEC": "500000"}, 0.5),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_asked_for_by_the_variables(variables: dict[str, str], seconds: float | None) -> None:
    manager = Notifier.taken(variables | {"NOTIFY_SOCKET": "/nowhere"})
    assert manager.watchdog_seconds == seconds


@pytest.mark.parametrize("address", [None, "", "vsock:2:1234", "relative/path"])
def test_without_a_manager_nothing_is_told(address: str | None, caplog: pytest.LogCaptureFixture) -> None:
    manager = Notifier(address, 1.0)
    manager.ready("here")
    manager.alive()
    assert manager.watchdog_seconds is None
    assert caplog.records == []


def test_a_manager_that_is_gone_is_complained_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    manager = Notifier(str(tmp_path / "gone"), 1.0)
    with caplog.at_level(logging.WARNING):
        manager.ready("here")
        manager.alive()
        manager.stopping("")
    assert [record.getMessage() for record in caplog.records] == [
        "the service manager can't be told 'READY=1': [Errno 2] No such file or directory"
    ]


def test_a_manager_that_does_not_listen_holds_nothing_up(tmp_path: Path) -> None:
    """Its queue fills; what is told often is then lost instead of waited for."""
    with Ear(tmp_path / "notify") as ear:
        manager = Notifier(ear.address, 1.0)
        for _ in range(20_000):
            manager.alive()
        assert ear.hear()[1] == {"WATCHDOG": "1"}


@given(st.text(st.characters() | st.sampled_from("\n\0=\ud800"), max_size=500))
def test_no_text_can_say_anything_else(text: str) -> None:
    with Ear(f"@hyperfs-test-text-{os.getpid()}") as ear:
        Notifier(ear.address).status(text)
        said = ear.hear()[1]
    assert list(said) == ["STATUS"]
    assert len(said["STATUS"]) <= STATUS_CHARACTERS_MOST
