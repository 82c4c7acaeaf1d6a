"""The time line of a path, as a template draws it."""

from dataclasses import dataclass

from hyperfs.web import timeline, words
from hyperfs.web.moments import Moments
from hyperfs.web.site import Site

STEP = 10
WIDTH = timeline.BARS * STEP
CELL = WIDTH // timeline.CELLS
NUMBER_DIGITS = 20


@dataclass(frozen=True)
class DrawnBar:
    x: int
    y: int
    height: int
    label: str
    version: int | None


@dataclass(frozen=True)
class Scrubber:
    """The slider goes by time, in cells of equal width; it stands at `cell`, and there are versions at `stops`.
    `around` is a version that tells the window.

    `earlier` and `later` are versions, `cursor` an x in the drawing, and `marks` a path in it.
    """

    scale: str
    scales: tuple[str, ...]
    cell: int
    cells: int
    stops: str
    marks: str
    around: int
    count: int
    total: int
    more: bool
    earlier: int | None
    later: int | None
    cursor: int
    start: str
    end: str
    bars: list[DrawnBar]


def scrubber(site: Site, moments: Moments, version: int, scale: str) -> Scrubber | None:
    """None where there are no moments: then nothing can be scrubbed."""
    if not moments.versions:
        return None
    times, versions = moments.times, moments.versions
    place = timeline.place_of(versions, version)
    found = timeline.window(times, scale, place)
    drawn = []
    for number, bar in enumerate(timeline.bars(times, found)):
        label = f"{words.time_text(bar.start, site.zone)}: {words.count_text(bar.versions, 'version')}"
        shown = versions[bar.place] if bar.place >= 0 else None
        drawn.append(DrawnBar(number * STEP, 100 - bar.height, bar.height, label, shown))
    stops = [cell for cell, _ in timeline.stops(times, found)]
    before = place - 1 if versions[place] == version or place == 0 else place
    return Scrubber(
        scale if scale in timeline.SCALES else "all",
        ("all", *reversed(timeline.SCALES)),
        timeline.bar_of(times, found, place, timeline.CELLS),
        timeline.CELLS - 1,
        " ".join(map(str, stops)),
        " ".join(f"M{cell * CELL + CELL / 2:g} 0V6" for cell in stops),
        versions[place],
        found.last - found.first,
        len(versions),
        moments.more,
        versions[before] if before >= 0 and versions[before] < version else None,
        versions[place + 1] if place + 1 < len(versions) else None,
        timeline.bar_of(times, found, place, timeline.CELLS) * CELL + CELL // 2,
        words.time_text(found.start, site.zone),
        words.time_text(found.end - 1, site.zone),
        drawn,
    )


def version_at(moments: Moments, cell: int, scale: str, around: str) -> str | None:
    """The version that the slider means at a cell, in the window of a scale in which `around` lies."""
    if not moments.versions:
        return None
    version = int(around) if around.isdecimal() and len(around) < NUMBER_DIGITS else moments.versions[-1]
    found = timeline.window(moments.times, scale, timeline.place_of(moments.versions, version))
    return str(moments.versions[timeline.place_in(moments.times, found, cell)])
