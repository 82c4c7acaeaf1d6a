"""What changes the drive: each a form that was posted, and an answer that leads back to where it stood."""

from typing import Any, Final

from starlette.responses import Response

from hyperfs.daemon.exit_codes import Reported
from hyperfs.errors import BadRequest
from hyperfs.web import addresses, words
from hyperfs.web.site import Notice, Site, Values

SHOWN: Final = 20
NO_DAMAGE: Final = frozenset({"NotFound", "NoSuchVersion", "BadWhen", "InvalidArgument", "NoAttribute", "Refused",
                              "NotPermitted", "ReadOnlyDrive", "NotADirectory", "IsADirectory", "NoSpace"})  # fmt: skip
"""What a person may run into on the page: it is told where the button stood."""


def put_back(site: Site, values: Values) -> Response:
    path, at = _path(values), values.get("at", "")
    if not at.isdecimal():
        raise BadRequest("the form lacks the version")
    if not path:
        raise BadRequest("the form lacks a path: a whole drive is put back with 'hyperfs restore'")

    def done() -> Notice:
        made = site.door.ask("restore", {"path": path, "when": at})
        counts = [words.count_text(made[f"{kind}s"], kind) for kind in ("folder", "file") if made[f"{kind}s"]]
        what = ", ".join([*counts, words.size_text(made["bytes"])])
        told = f"Put back {words.shown(path)} as in version {at}: {what}."
        return Notice(told, undo=(path, made["made"]))

    return _told(site, values, done)


def undo(site: Site, values: Values) -> Response:
    path, version = _path(values), values.get("version", "")
    if not version.isdecimal():
        raise BadRequest("the form lacks the version")

    def done() -> Notice:
        asked = {"path": path, "version": int(version), "force": values.get("force") == "yes"}
        made = site.door.ask("undo", asked)
        if made["version"] is None:
            told = f"Nothing was done: {words.count_text(len(made['conflicts']), 'thing')} changed since."
            return Notice(told, undo=(path, int(version)), conflicts=_conflicts(made), done=False)
        return Notice(f"Took back what version {version} did: {made['change']}.", redo=path)

    return _told(site, values, done)


def redo(site: Site, values: Values) -> Response:
    path = _path(values)

    def done() -> Notice:
        made = site.door.ask("redo", {"path": path})
        if made["version"] is None:
            told = f"Nothing was done: {words.count_text(len(made['conflicts']), 'thing')} changed since."
            return Notice(told, conflicts=_conflicts(made), done=False)
        return Notice(f"Did it again: {made['change']}.", undo=(path, made["version"]))

    return _told(site, values, done)


def set_policy(site: Site, values: Values) -> Response:
    path = _path(values)
    name, value = values.get("name", "keep"), " ".join(values.get("value", "").split()) or None

    def done() -> Notice:
        found = site.door.ask("set_policy", {"path": path, "name": name, "value": value})
        told = found["policies"].get(name, {"words": "nothing is set"})["words"]
        return Notice(f"{words.shown(name)} of {words.shown(path) or 'the drive'}: {told}.")

    return _told(site, values, done)


def _path(values: Values) -> str:
    return addresses.normal(addresses.from_field(values.get("path", "")))


def _conflicts(made: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((conflict["path"], conflict["why"]) for conflict in made["conflicts"][:SHOWN])


def _told(site: Site, values: Values, deed: Any) -> Response:
    try:
        notice: Notice = deed()
    except Reported as error:
        if error.kind not in NO_DAMAGE:
            raise
        notice = Notice(f"Nothing was done: {error}", done=False)
    return site.notify(notice, values.get("back", "files"))
