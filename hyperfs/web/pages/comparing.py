"""Two versions of a file side by side, and what a version changed."""

from typing import Any

from starlette.responses import Response

from hyperfs.daemon.exit_codes import Reported
from hyperfs.errors import BadRequest
from hyperfs.web import addresses, previews, side_by_side
from hyperfs.web.site import Site, Values

CHANGES_SHOWN = 500


def compare(site: Site, values: Values) -> Response:
    path = addresses.normal(values.get("p", ""))
    sides = [_side(site, path, values.get(name, "")) for name in ("a", "b")]
    sides.sort(key=lambda side: int(side["version"]))
    texts = [side["text"] for side in sides]
    rows = None
    if texts[0] is not None and texts[1] is not None:
        rows = side_by_side.rows(texts[0], texts[1])
    same = sides[0]["data"] is not None and sides[0]["data"] == sides[1]["data"]
    return site.page("compare.html", values, path=path, old=sides[0], new=sides[1], rows=rows, same=same)


def _side(site: Site, path: str, at: str) -> dict[str, Any]:
    """`kind`: text, picture, other, large, or absent."""
    if not at:
        raise BadRequest("name two versions to compare")
    try:
        found = site.door.ask("folder", {"path": path, "when": at, "limit": 0})
    except Reported as error:
        if error.kind != "NotFound":
            raise
        found = site.door.ask("folder", {"path": "", "when": at, "limit": 0}) | {"kind": "absent", "size": None}
    side = found | {"text": None, "data": None}
    if found["kind"] != "file":
        return side | {"text": "" if found["kind"] == "absent" else None}
    size, pieces = site.door.read(path, str(found["version"]), previews.TEXT_MOST)
    data = b"".join(pieces)
    if previews.picture_type(data[: previews.HEAD_BYTES]):
        return side | {"kind": "picture", "data": data if size <= len(data) else None}
    if size > previews.TEXT_MOST:
        return side | {"kind": "large"}
    text = previews.text_of(data, True)
    return side | {"kind": "other" if text is None else "text", "text": text, "data": data}


def changes(site: Site, values: Values) -> Response:
    """What a version changed at and below a path."""
    path = addresses.normal(values.get("p", ""))
    found = site.door.ask("folder", {"path": "", "when": values.get("at") or None, "limit": 0})
    version = int(found["version"])
    answer = site.door.ask("changed", {"path": path, "version": version})
    told = sorted(answer["changes"], key=lambda change: str(change["path"]))
    return site.page(
        "changes.html",
        values,
        path=path,
        version=version,
        found=found,
        before=answer["before"],
        changes=told[:CHANGES_SHOWN],
        more=not answer["whole"] or len(told) > CHANGES_SHOWN,
    )
