import os
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfs.errors import BadRequest
from hyperfs.service.quoting import command_line, escaped_path, unit_name

PATHS = [
    "/", "/home/me/Hyper", "//home///me/", "/.hidden/.x", "/a-b/c d", "/ä/%h/$HOME", '/"q"/\\x', "/a.b:c_d/~@!", "/\n",
]
# systemd-escape refuses what is too long for a unit's name, in which a character can have 16 bytes.
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=5).filter(
    lambda name: name != ".."
)
ANY_PATH = st.lists(NAMES, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))
SYSTEMD_ESCAPE = shutil.which("systemd-escape")


def by_systemd(paths: list[str]) -> list[str]:
    done = subprocess.run(
        [str(SYSTEMD_ESCAPE), "--path", "--", *paths], check=True, capture_output=True, text=True
    )
    return done.stdout.removesuffix("\n").split(" ")


@pytest.mark.skipif(SYSTEMD_ESCAPE is None, reason="systemd is not installed")
def test_paths_are_escaped_as_systemd_does() -> None:
    assert [escaped_path(path) for path in PATHS] == by_systemd(PATHS)


@pytest.mark.skipif(SYSTEMD_ESCAPE is None, reason="systemd is not installed")
@settings(max_examples=15)
@given(st.lists(ANY_PATH, min_size=1, max_size=20))
def test_any_path_is_escaped_as_systemd_does(paths: list[str]) -> None:
    assert [escaped_path(path) for path in paths] == by_systemd(paths)


def test_bytes_that_are_no_text_have_a_name_too() -> None:
    assert escaped_path(os.fsdecode(b"/a\xff")) == "a\\xff"


def test_a_name_that_systemd_could_not_take_is_refused() -> None:
    assert unit_name("hyperfs-mount@.service", "home-me") == "hyperfs-mount@home-me.service"
    with pytest.raises(BadRequest, match="too long for a unit"):
        unit_name("hyperfs-mount@.service", "x" * 240)


def test_words_of_a_command_line_mean_nothing_but_themselves() -> None:
    assert command_line(["/opt/my $x/hyperfs", "a b", '"', "\\", "%h", "$HOME", "", "ä", "\n"]) == (
        r'"/opt/my $x/hyperfs" "a b" "\"" "\\" "%%h" "$$HOME" "" "ä" "\x0a"'
    )


def test_what_no_unit_can_hold_is_refused() -> None:
    with pytest.raises(BadRequest, match="not UTF-8"):
        command_line(["/bin/x", os.fsdecode(b"/a\xff")])
