"""Xfce's file manager, driven as a user drives it: by its keys, its menus and the mouse."""

import os
import re
import time
from pathlib import Path

from tests.cli.machine import NOBODY

from .session import Session, until

SETTINGS = """<?xml version="1.0" encoding="UTF-8"?>
<channel name="thunar" version="1.0">
  <property name="last-view" type="string" value="ThunarDetailsView"/>
  <property name="misc-thumbnail-mode" type="string" value="THUNAR_THUMBNAIL_MODE_ALWAYS"/>
</channel>
"""
"""Details, because the view by icons tells programs for the blind nothing of its files."""

BUTTON_PIXELS = 10
"""From the middle of a button at the side to the end of its row."""


class Thunar:
    """One window of it. The session has a screen."""

    def __init__(self, session: Session) -> None:
        self.session = session
        settings = session.home / "config/xfce4/xfconf/xfce-perchannel-xml/thunar.xml"
        settings.parent.mkdir(parents=True)
        settings.write_text(SETTINGS)
        if session.prefix:
            for path in (session.home / "config").rglob("*"):
                os.chown(path, NOBODY, NOBODY)
            os.chown(session.home / "config", NOBODY, NOBODY)

    def open(self, folder: Path) -> None:
        """A new window, large enough for all that tests look at."""
        self.session.start("thunar", folder)
        window = self._wait_for(folder)
        self.session.run("xdotool", "windowsize", "--sync", window, "1100", "700")

    def go(self, folder: Path) -> None:
        """To a typed place."""
        self.session.press("ctrl+l")
        self.session.press("ctrl+a")
        self.session.write(f"{folder}/")
        self.session.press("Return")
        self._wait_for(folder)

    def _wait_for(self, folder: Path) -> str:
        window = self.session.window(f"^{re.escape(folder.name)} - Thunar$")
        self.session.run("xdotool", "windowactivate", "--sync", window)
        until(f"{folder} as the place", lambda: f"{folder}/" in self.session.names("text"))
        return window

    def names(self) -> list[str]:
        """Of the files that are shown, and of what stands at the side."""
        return self.session.names("table cell")

    def sees(self, name: str) -> None:
        """Waits until a file is shown."""
        until(f"{name!r} in the window", lambda: name in self.names())

    def sees_no_more(self, name: str) -> None:
        until(f"{name!r} gone from the window", lambda: name not in self.names())

    def status(self) -> str:
        return " ".join(self.session.names("status bar")).replace("\xa0", " ")

    def select(self, pattern: str) -> None:
        """Files by a pattern: one `*` for any text."""
        self.session.press("ctrl+s")
        self.session.window("^Select by Pattern$")
        self.session.write(pattern)
        self.session.press("Return")
        until("an end of the dialog", lambda: not self.session.has_window("^Select by Pattern$"))
        until("a selection", lambda: any(self._tells_of_selection(bar) for bar in self.session.names("status bar")))

    @staticmethod
    def _tells_of_selection(bar: str) -> bool:
        return bar.startswith('"') or "selected" in bar

    def unmount(self, name: str) -> None:
        """Presses the button in the row with that name at the side."""
        shown = self.session.shown()
        side = min((thing["box"] for thing in shown if thing["role"] == "table"), key=lambda box: int(box[0]))
        rows = [thing["box"] for thing in shown if thing["role"] == "table cell" and thing["name"] == name]
        row = min(rows, key=lambda box: int(box[0]))
        self.session.click(side[0] + side[2] - BUTTON_PIXELS, row[1] + row[3] // 2)

    def answer(self, label: str) -> None:
        """Presses a button with that label."""
        until(f"a button {label!r}", lambda: any(self._is_button(thing, label) for thing in self.session.shown()))
        for thing in self.session.shown():
            if self._is_button(thing, label):
                x, y, width, height = thing["box"]
                self.session.click(x + width // 2, y + height // 2)
                return

    @staticmethod
    def _is_button(thing: dict[str, object], label: str) -> bool:
        return thing["role"] == "push button" and thing["name"] == label

    def pause(self) -> None:
        """For drawing only, before a picture is taken."""
        if "HYPERFS_SCREENSHOTS" in os.environ:
            time.sleep(1)
