"""What programs hear and see of files that a command puts back behind the kernel."""

import os

from tests.inotify import IN_DELETE_SELF, Watch

from .machine import Machine


def test_who_watches_what_is_replaced_or_goes_hears_that(mounted: Machine) -> None:
    drive = mounted.point
    folder, file, more = drive / "d", drive / "d/file", drive / "d/sub/more"
    more.parent.mkdir(parents=True)
    file.write_text("old")
    mounted.run("snapshot", drive, "old")
    file.write_text("new")
    more.write_text("more")
    os.link(file, drive / "twin")
    with Watch(folder, file, more.parent, more, drive / "twin") as watch:
        mounted.run("restore", folder, "--at", "old")
        heard = [path for path, what, _ in watch.heard() if what == IN_DELETE_SELF]
    assert heard.index(more) < heard.index(more.parent) < heard.index(folder)
    assert file not in heard  # it has another name, and goes on under that
    assert (file.read_text(), (drive / "twin").read_text()) == ("old", "new")
    assert os.stat(drive / "twin").st_nlink == 1
    with Watch(file) as watch:
        mounted.run("undo", folder)
        assert (file, IN_DELETE_SELF, b"") in watch.heard()
    assert not file.exists()  # all that came in one burst
