"""What was deleted and can still be had."""

from typing import Any

from starlette.responses import Response

from hyperfs.web import addresses
from hyperfs.web.site import Site, Values

SHOWN = 200


def deleted(site: Site, values: Values) -> Response:
    path = addresses.normal(values.get("p", site.where))
    pattern = values.get("q", "").strip()
    asked: dict[str, Any] = {"path": path, "limit": SHOWN}
    if pattern:
        asked["pattern"] = pattern if any(c in pattern for c in "*?[") else f"*{pattern}*"
    found = site.door.ask("find_deleted", asked)
    return site.page(
        "deleted.html", values, path=path, pattern=pattern, found=found["deleted"], count=found["count"], limit=SHOWN
    )
