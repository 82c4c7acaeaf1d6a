"""The time line of a path, as a template draws it."""

from dataclasses import dataclass

from hyperfs.web import timeline, words
from hyperfs.web.moments import Moments
from hyperfs.web.site import Site

STEP = 10
WIDTH = timeline.BARS * STEP


@dataclass(frozen=True)
class DrawnBar:
    x: int
    y: int
    height: int
    label: str
    version: int | None


@dataclass(frozen=True)
class Scrubber:
    """`place`: of the version that is shown, among all moments; the slider goes from `first` to `last`.

    `earlier` and `later` are versions, `cursor` an x in the drawing.
    """

    scale: str
    scales: tuple[str, ...]
    place: int
    first: int
    last: int
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
    before = place - 1 if versions[place] == version or place == 0 else place
    return Scrubber(
        scale if scale in timeline.SCALES else "all",
        ("all", *reversed(timeline.SCALES)),
        place,
        found.first,
        max(found.first, found.last - 1),
        found.last - found.first,
        len(versions),
        moments.more,
        versions[before] if before >= 0 and versions[before] < version else None,
        versions[place + 1] if place + 1 < len(versions) else None,
        timeline.bar_of(times, found, place) * STEP + STEP // 2,
        words.time_text(found.start, site.zone),
        words.time_text(found.end - 1, site.zone),
        drawn,
    )
