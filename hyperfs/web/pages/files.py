"""A folder or file as it was, with the time line."""

from typing import Any, Final

from starlette.responses import Response

from hyperfs.daemon.exit_codes import Reported
from hyperfs.daemon.paging import items
from hyperfs.web import addresses, previews
from hyperfs.web.pages.scrubbing import NUMBER_DIGITS, scrubber, version_at
from hyperfs.web.site import Site, Values

ENTRIES: Final = 200
VERSIONS: Final = 50


def files(site: Site, values: Values) -> Response:
    path = addresses.normal(values.get("p", site.where))
    moments = site.moments.of(path)
    at = values.get("at") or None
    if (cell := values.get("cell", "")).isdecimal() and len(cell) < NUMBER_DIGITS:
        at = version_at(moments, int(cell), values.get("scale", "all"), values.get("around", "")) or at
    found = _look(site, path, at, values.get("after") or None)
    version = found["version"]
    facts: dict[str, Any] = {
        "path": path,
        "at": at if at is None else str(version),
        "found": found,
        "scrub": scrubber(site, moments, version, values.get("scale", "all")),
        "snapshots": site.door.ask("snapshots", {"path": path})["snapshots"],
        "limit": VERSIONS,
        "brake": {"on": False} if values.get("part") else site.door.ask("brake", {"look": False}),
    }
    kept = values | {"p": path, "at": facts["at"] or "", "cell": "", "around": ""}
    if found["kind"] in ("folder", "absent"):
        return site.page("files.html", kept, **facts)
    limit = int(values["limit"]) if values.get("limit", "").isdecimal() else VERSIONS
    facts["limit"] = min(max(limit, VERSIONS), 100_000)
    asked = {"path": path, "limit": facts["limit"] + 1}
    facts["versions"] = list(items(site.door.ask, "versions", asked, "versions"))
    facts["preview"] = _preview(site, path, str(version), found) if found["kind"] == "file" else None
    return site.page("files.html", kept, **facts)


def _look(site: Site, path: str, at: str | None, after: str | None) -> dict[str, Any]:
    asked: dict[str, Any] = {"path": path, "limit": ENTRIES, "after": after}
    try:
        return site.door.ask("folder", asked | {"when": at})
    except Reported as error:
        if error.kind != "NotFound":
            raise
    # There is the drive, but not this in it: the time line still leads to when there was.
    root = site.door.ask("folder", {"path": "", "limit": 0, "when": at})
    return root | {"kind": "absent", "entries": [], "more": False}


def _preview(site: Site, path: str, at: str, found: dict[str, Any]) -> dict[str, Any]:
    """`kind`: text, picture, empty, large or other."""
    size, pieces = site.door.read(path, at, previews.TEXT_MOST)
    data = b"".join(pieces)
    if not size:
        return {"kind": "empty"}
    if previews.picture_type(data[: previews.HEAD_BYTES]):
        return {"kind": "picture" if size <= previews.PICTURE_MOST else "large"}
    text = previews.text_of(data, size <= previews.TEXT_MOST)
    return {"kind": "other"} if text is None else {"kind": "text", "text": text, "whole": size <= previews.TEXT_MOST}
