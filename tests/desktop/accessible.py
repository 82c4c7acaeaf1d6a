"""Prints as JSON what the programs on the screen show, as they tell it to programs for the blind (AT-SPI).

Run with the system's Python, whose package `gi` has the binding: `python3 accessible.py`.
"""

import json
import sys
from typing import Any

import gi

gi.require_version("Atspi", "2.0")
from gi.repository import Atspi, GLib  # noqa: E402  # only after the version is chosen

MOST_CHILDREN = 300


def look(thing: Any, found: list[dict[str, Any]]) -> None:
    """Appends what is shown of a thing and all below it. What goes while it is looked at is left out."""
    try:
        if thing is None:
            return
        if thing.get_role_name() not in ("application", "menu", "menu item", "check menu item"):
            note(thing, found)
        for index in range(min(thing.get_child_count(), MOST_CHILDREN)):
            look(thing.get_child_at_index(index), found)
    except GLib.Error:
        return


def note(thing: Any, found: list[dict[str, Any]]) -> None:
    if not thing.get_state_set().contains(Atspi.StateType.SHOWING):
        return
    interfaces = thing.get_interfaces()
    box = Atspi.Component.get_extents(thing, Atspi.CoordType.SCREEN) if "Component" in interfaces else None
    found.append(
        {
            "role": thing.get_role_name(),
            "name": thing.get_name() or "",
            "text": Atspi.Text.get_text(thing, 0, -1) if "Text" in interfaces else "",
            "box": [box.x, box.y, box.width, box.height] if box else None,
        }
    )


def main() -> None:
    found: list[dict[str, Any]] = []
    desktop = Atspi.get_desktop(0)
    for index in range(desktop.get_child_count()):
        look(desktop.get_child_at_index(index), found)
    json.dump(found, sys.stdout)


main()
