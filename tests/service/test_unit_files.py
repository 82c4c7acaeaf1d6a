from pathlib import Path

import pytest

from hyperfs.service import kinds, unit_files

PROGRAM = ["/opt/hyperfs/bin/hyperfs"]
REPOSITORY = Path(__file__).resolve().parents[2]


def install(folder: Path, service: kinds.Service) -> Path | None:
    return unit_files.write(folder, service, kinds.drop_in(service, PROGRAM))


def test_units_are_those_of_the_repository() -> None:
    assert sorted(kinds.TEMPLATES) == sorted(path.name for path in (REPOSITORY / "systemd").iterdir())
    for name in kinds.TEMPLATES:
        assert unit_files.template(name) == (REPOSITORY / "systemd" / name).read_text()


def test_what_is_set_up_is_listed_and_goes_again(tmp_path: Path) -> None:
    units = tmp_path / "systemd/user"
    one, other = kinds.mount(PROGRAM, "/s", "/one", None), kinds.mount(PROGRAM, "/t", "/other", None)
    assert install(units, one) is None
    assert install(units, other) is None
    assert install(units, other) is None, "a second time changes nothing"
    assert unit_files.installed(units) == [one, other]
    unit_files.remove(units, one)
    assert unit_files.installed(units) == [other]
    assert (units / kinds.MOUNT).exists(), "the other one needs it"
    unit_files.remove(units, other)
    assert list(units.iterdir()) == []


def test_what_somebody_has_added_stays(tmp_path: Path) -> None:
    service = kinds.mount(PROGRAM, "/s", "/one", None)
    install(tmp_path, service)
    own = tmp_path / f"{service.unit}.d/override.conf"
    own.write_text("[Service]\nNice=5\n")
    (tmp_path / "other.service.d").mkdir()
    (tmp_path / "other.service.d/hyperfs.conf").write_text("[Service]\n")
    unit_files.remove(tmp_path, service)
    assert own.exists()
    assert (tmp_path / "other.service.d/hyperfs.conf").exists()


def test_a_unit_that_was_changed_is_kept_beside(tmp_path: Path) -> None:
    service = kinds.mount(PROGRAM, "/s", "/one", None)
    (tmp_path / kinds.MOUNT).write_text("[Service]\nExecStart=/my/own\n")
    kept = install(tmp_path, service)
    assert kept is not None
    assert kept.read_text() == "[Service]\nExecStart=/my/own\n"
    assert (tmp_path / kinds.MOUNT).read_text() == unit_files.template(kinds.MOUNT)


def test_a_link_into_a_checkout_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    checkout.write_text("an older unit")
    units = tmp_path / "units"
    units.mkdir()
    (units / kinds.MOUNT).symlink_to(checkout)
    assert install(units, kinds.mount(PROGRAM, "/s", "/one", None)) is None
    assert checkout.read_text() == "an older unit"
    assert not (units / kinds.MOUNT).is_symlink()


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"HOME": "/home/me"}, "/home/me/.config/systemd/user"),
        ({"HOME": "/home/me", "XDG_CONFIG_HOME": "/c"}, "/c/systemd/user"),
    ],
)
def test_where_a_users_units_are(environment: dict[str, str], folder: str) -> None:
    assert unit_files.of_user(environment) == Path(folder)
