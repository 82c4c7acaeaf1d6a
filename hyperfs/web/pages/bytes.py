"""The bytes of a file as it was: as a picture, or to be saved. Nothing in them is ever run."""

from urllib.parse import quote

from starlette.responses import PlainTextResponse, Response, StreamingResponse

from hyperfs.web import addresses, previews
from hyperfs.web.site import Site, Values

ALONE = "default-src 'none'; sandbox"
"""The policy of what comes out of the drive: it may load, run and send nothing."""


def picture(site: Site, values: Values) -> Response:
    path = addresses.normal(values.get("p", ""))
    size, pieces = site.door.read(path, values.get("at") or None, previews.PICTURE_MOST + 1)
    if size > previews.PICTURE_MOST:
        return PlainTextResponse("This picture is too large to be shown.", 415)
    data = b"".join(pieces)
    kind = previews.picture_type(data[: previews.HEAD_BYTES])
    if kind is None:
        return PlainTextResponse("This is no picture that is shown.", 415)
    return Response(data, media_type=kind, headers={"content-security-policy": ALONE})


def download(site: Site, values: Values) -> Response:
    path = addresses.normal(values.get("p", ""))
    size, pieces = site.door.read(path, values.get("at") or None)
    name = quote(path.rpartition("/")[2].encode("utf-8", "replace"), safe="")
    headers = {
        "content-security-policy": ALONE,
        "content-disposition": f"attachment; filename*=UTF-8''{name}",
        "content-length": str(size),
    }
    return StreamingResponse(pieces, media_type="application/octet-stream", headers=headers)
