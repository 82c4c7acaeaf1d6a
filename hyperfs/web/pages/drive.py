"""How the drive is: sizes, warnings, snapshots, policies, peers."""

from starlette.responses import Response

from hyperfs.web import addresses
from hyperfs.web.site import Site, Values


def drive(site: Site, values: Values) -> Response:
    path = addresses.normal(values.get("p", site.where))
    return site.page(
        "drive.html",
        values,
        path=path,
        status=site.door.ask("status", {}),
        policies=site.door.ask("policy", {"path": path})["policies"],
        snapshots=site.door.ask("snapshots", {"path": path})["snapshots"],
    )
