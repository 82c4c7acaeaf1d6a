"""What takes how much: by folder, and by version."""

from typing import Any

from starlette.responses import Response

from hyperfs.web import addresses, timeline, words
from hyperfs.web.pages.scrubbing import STEP, WIDTH
from hyperfs.web.site import Site, Values

FILES_MOST = 100_000
SHOWN = 100
RECENT = 30
BARS = 30
WIDE = 1000
"""Of a bar, in the units of the drawing."""


def space(site: Site, values: Values) -> Response:
    path = addresses.normal(values.get("p", site.where))
    found = site.door.ask("space", {"path": path, "when": values.get("at") or None, "files": FILES_MOST})
    largest = max((child["bytes"] for child in found["children"]), default=0) or 1
    children = [child | {"width": round(WIDE * child["bytes"] / largest)} for child in found["children"][:SHOWN]]
    everything = site.moments.of("")
    recent = list(reversed(everything.versions[-RECENT:]))
    written = site.door.ask("written", {"versions": recent})["versions"]
    return site.page(
        "space.html",
        values,
        path=path,
        at=values.get("at", ""),
        found=found,
        children=children,
        recent=written,
        growth=_growth(site, everything.versions, everything.times),
        step=STEP * timeline.BARS // BARS,
        width=WIDTH,
    )


def _growth(site: Site, versions: Any, times: Any) -> list[dict[str, Any]]:
    """Bars of time, and by how much the store grew in each."""
    bars = timeline.bars(times, timeline.window(times, "all", 0), BARS)
    asked = [versions[bar.place] for bar in bars if bar.place >= 0]
    lengths = {facts["version"]: facts["logs"] for facts in site.door.ask("written", {"versions": asked})["versions"]}
    before: dict[str, int] = {}
    grown: list[int] = []
    for bar in bars:
        now = lengths.get(versions[bar.place], before) if bar.place >= 0 else before
        grown.append(growth(now, before))
        before = before | now
    most = max(grown, default=0) or 1
    return [
        {
            "height": max(4, round(100 * nbytes / most)) if nbytes else 0,
            "label": f"{words.time_text(bar.start, site.zone)}: {words.size_text(nbytes)}",
        }
        for bar, nbytes in zip(bars, grown, strict=True)
    ]


def growth(now: dict[str, int], before: dict[str, int]) -> int:
    """By how many bytes logs have become longer."""
    return sum(max(0, length - before.get(log, 0)) for log, length in now.items())
