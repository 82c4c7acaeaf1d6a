"""What all pages have: the drive, what is remembered of it, templates, and what was just done."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import tzinfo
from itertools import count
from threading import Lock
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse

from hyperfs.daemon.times import duration_text
from hyperfs.web import addresses, words
from hyperfs.web.door import Door
from hyperfs.web.guard import Session
from hyperfs.web.moments import Remembered

Values = dict[str, str]
"""Of an address or a form."""
NOTICES_MOST: Final = 32
ANCHOR_BYTES: Final = 2000


@dataclass(frozen=True)
class Notice:
    """What was done, and how to take it back: `undo` as (path, version), `redo` a path."""

    words: str
    undo: tuple[str, int] | None = None
    redo: str | None = None
    conflicts: tuple[tuple[str, str], ...] = ()
    done: bool = True


class Site:
    """Any thread."""

    def __init__(self, door: Door, session: Session, zone: tzinfo, where: str) -> None:
        """`where`: the path in the drive with which it begins."""
        self.door = door
        self.zone = zone
        self.where = where
        self.moments = Remembered(door)
        self.session = session
        self._templates = _environment(zone)
        self._lock = Lock()  # guards `_notices`
        self._notices: OrderedDict[str, Notice] = OrderedDict()
        self._numbers = count(1)

    def page(self, template: str, values: Values, code: int = 200, /, **facts: Any) -> HTMLResponse:
        """`values`: those of the address. With `part` only what changes when somebody scrubs."""
        layout = "part.html" if values.get("part") else "base.html"
        common = {
            "layout": layout,
            "form": self.session.form,
            "notice": self._notices.get(values.get("done", "")),
            "here": addresses.address(template.removesuffix(".html"), {k: v for k, v in values.items() if k in KEPT}),
        }
        text = self._templates.get_template(template).render(common | facts)
        return HTMLResponse(text.encode("utf-8", "backslashreplace"), code)

    def notify(self, notice: Notice, back: str) -> RedirectResponse:
        """To a page of ours (an address as `page` gave it out), which shows what was done."""
        with self._lock:
            key = str(next(self._numbers))
            self._notices[key] = notice
            if len(self._notices) > NOTICES_MOST:
                self._notices.popitem(last=False)
        name, _, asked = back.partition("?")
        values = addresses.query(asked.encode("ascii", "replace")) if name in PAGES else {}
        kept = {key: value for key, value in values.items() if key in KEPT}
        return RedirectResponse(addresses.address(name if name in PAGES else "files", kept | {"done": key}), 303)


PAGES: Final = ("files", "deleted", "compare", "changes", "space", "drive")
KEPT: Final = ("p", "at", "scale", "after", "q", "a", "b")


def _environment(zone: tzinfo) -> Environment:
    made = Environment(
        loader=PackageLoader("hyperfs.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., Any]] = {
        "shown": words.shown,
        "size": words.size_text,
        "counted": words.count_text,
        "duration": duration_text,
        "time": lambda time_ns: words.time_text(time_ns, zone),
        "iso": lambda text: words.time_text(words.from_iso(text), zone),
        "field": addresses.to_field,
    }
    made.filters.update(filters)
    made.globals.update(to=lambda page, **values: addresses.address(page, values), crumbs=addresses.crumbs)
    return made
