import pytest

from hyperfs.errors import Corrupt
from hyperfs.service import kinds

PROGRAM = ["/opt/hyperfs/bin/hyperfs"]


def test_the_drop_in_of_a_mount_says_what_is_special_about_it() -> None:
    service = kinds.mount(PROGRAM, "/home/me/drives/photos", "/home/me/My Photos", "/home/me/secret")
    assert service.unit == "hyperfs-mount@home-me-My\\x20Photos.service"
    assert kinds.drop_in(service, PROGRAM).splitlines()[2:] == [
        "[Service]",
        "ExecStartPre=",
        'ExecStartPre=-"/usr/bin/env" "mkdir" "-p" "/home/me/My Photos"',
        "ExecStart=",
        'ExecStart="/opt/hyperfs/bin/hyperfs" "mount" "--foreground" "--passphrase-file" "/home/me/secret" '
        '"/home/me/drives/photos" "/home/me/My Photos"',
        "ExecStop=",
        'ExecStop=-"/opt/hyperfs/bin/hyperfs" "unmount" "--wait" "/home/me/My Photos"',
    ]


def test_a_follow_waits_for_the_mount_that_it_works_in() -> None:
    service = kinds.follow(PROGRAM, "/home/me/Documents", "/home/me/Hyper/docs")
    assert service.unit == "hyperfs-follow@home-me-Hyper-docs.service"
    assert kinds.drop_in(service, PROGRAM, "/home/me/Hyper").splitlines()[2:] == [
        "[Unit]",
        "After=hyperfs-mount@home-me-Hyper.service",
        "[Service]",
        "EnvironmentFile=",
        "ExecStart=",
        'ExecStart="/opt/hyperfs/bin/hyperfs" "follow" "/home/me/Documents" "/home/me/Hyper/docs"',
    ]


def test_a_cloud_peer_may_write_where_it_keeps_its_drives() -> None:
    here = kinds.drop_in(kinds.peer(PROGRAM, kinds.PEER_STORE, ["--listen", "[::]:4780"]), PROGRAM)
    assert "ReadWritePaths" not in here
    elsewhere = kinds.drop_in(kinds.peer(PROGRAM, "/srv/peer", ["--listen", "[::]:4780"]), PROGRAM)
    assert elsewhere.splitlines()[2:] == [
        "[Service]",
        "ExecStart=",
        'ExecStart="/opt/hyperfs/bin/hyperfs" "peer" "serve" "--store" "/srv/peer" "--listen" "[::]:4780"',
        'ReadWritePaths="/srv/peer"',
    ]


@pytest.mark.parametrize(
    "service",
    [
        kinds.mount(PROGRAM, "/s", '/a "b"\n%h', None),
        kinds.follow(PROGRAM, "/s", "/ä"),
        kinds.peer(PROGRAM, "/s", ["--listen", "x:1"]),
    ],
)
def test_what_was_set_up_is_read_back(service: kinds.Service) -> None:
    assert kinds.Service.read(kinds.drop_in(service, PROGRAM)) == service


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[Service]\nExecStart=/bin/true",
        "# hyperfs: {",
        "# hyperfs: []",
        "# hyperfs: {}",
        '# hyperfs: {"kind": "moon", "unit": "a", "folder": "", "command": []}',
        '# hyperfs: {"kind": "mount", "unit": "a", "folder": "", "command": 5}',
        "# hyperfs: " + "[" * 100_000,
    ],
)
def test_files_of_others_are_not_read(text: str) -> None:
    with pytest.raises(Corrupt):
        kinds.Service.read(text)
