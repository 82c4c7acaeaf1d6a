"""How systemd wants paths in names of units, and words in command lines: systemd.unit(5), systemd.service(5)."""

import os
import re
from collections.abc import Sequence
from typing import Final

from hyperfs.errors import BadRequest

NAME_BYTES_MOST: Final = 255
_PLAIN: Final = re.compile(rb"[A-Za-z0-9:_.]")


def escaped_path(path: str) -> str:
    """An absolute path as the instance of a unit, as `systemd-escape --path` makes it."""
    parts = [part for part in os.fsencode(path).split(b"/") if part not in (b"", b".")]
    if not parts:
        return "-"
    joined = b"/".join(parts)
    return "".join(_escaped(joined[at : at + 1], at == 0) for at in range(len(joined)))


def _escaped(byte: bytes, is_first: bool) -> str:
    if byte == b"/":
        return "-"
    if _PLAIN.fullmatch(byte) and not (is_first and byte == b"."):
        return byte.decode()
    return f"\\x{byte[0]:02x}"


def unit_name(template: str, instance: str) -> str:
    """`hyperfs-mount@.service` with an instance in it. Raises BadRequest for one that is too long."""
    name = template.replace("@.", f"@{instance}.", 1)
    if len(name.encode()) > NAME_BYTES_MOST:
        raise BadRequest(
            f"the path is too long for a unit of systemd: its name would have {len(name.encode())} bytes, and "
            f"{NAME_BYTES_MOST} are the most. Choose a shorter path"
        )
    return name


def command_line(words: Sequence[str]) -> str:
    """Exactly these words after `ExecStart=`: nothing in them is a specifier, a variable or an escape.

    The first one is the program, in which systemd looks for no variables. Raises BadRequest for what no unit can hold.
    """
    return " ".join([_word(words[0], dollar="$"), *(_word(word, dollar="$$") for word in words[1:])])


def _word(word: str, dollar: str) -> str:
    try:
        word.encode()
    except UnicodeEncodeError:
        raise BadRequest(f"{word!r} is not UTF-8, which units of systemd have to be") from None
    return '"' + "".join(_character(character, dollar) for character in word) + '"'


def _character(character: str, dollar: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character == "%":
        return "%%"
    if character == "$":
        return dollar
    return f"\\x{ord(character):02x}" if character < " " or character == "\x7f" else character
