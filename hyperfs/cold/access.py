"""Credentials of S3 stores: where they come from, and how those that were given to us are kept. Pure.

    from a file that was given with the place, else AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, else the profile
    (AWS_PROFILE, else `default`) in ~/.aws/credentials

Given ones are kept sealed in the store folder's file `access-keys`: "hfsakeys", u32 format, AES-256-SIV of JSON. They
are this device's: they are in no version and go to no other device.
"""

import configparser
import json
import struct
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from hyperfs.crypto.keys import derive
from hyperfs.errors import Corrupt, FormatTooNew, InvalidArgument
from hyperfs.store.objects import AccessKey

FILE: Final = "access-keys"
FORMAT: Final = 1
TEXT_MOST: Final = 64 << 10
KEY_MOST: Final = 4096

_HEAD: Final = struct.Struct("<8sI")
_MAGIC: Final = b"hfsakeys"
_DOMAIN: Final = b"hyperfs/store/access-keys"
_ID, _SECRET, _TOKEN = "aws_access_key_id", "aws_secret_access_key", "aws_session_token"


def parse_access_key(text: str, profile: str = "default") -> AccessKey | None:
    """Of a file as AWS's programs have it; its first lines may do without a profile's name. None where the profile is
    not in it. Raises InvalidArgument, which repeats nothing of the text."""
    parser = configparser.RawConfigParser(default_section="\0", strict=False)
    try:
        parser.read_string(text if text.lstrip().startswith("[") else f"[{profile}]\n{text}")
    except (configparser.Error, ValueError):
        raise InvalidArgument(f"an access key's file has lines like '{_ID} = ...' and '{_SECRET} = ...'") from None
    if profile not in parser:
        return None
    found = parser[profile]
    return checked(found.get(_ID, ""), found.get(_SECRET, ""), found.get(_TOKEN, ""))


def checked(key_id: str, secret: str, token: str) -> AccessKey:
    """Raises InvalidArgument for what no server would take."""
    if not key_id or not secret:
        raise InvalidArgument(f"an access key has two parts, {_ID} and {_SECRET}")
    if not all(part.isascii() and part.isprintable() and len(part) <= KEY_MOST for part in (key_id, secret, token)):
        raise InvalidArgument("an access key is of letters, digits and signs")
    return AccessKey(key_id, secret, token)


def of_environment(environ: Mapping[str, str], credentials: str | None) -> AccessKey | None:
    """`credentials`: the text of ~/.aws/credentials, or None. None where neither has one. Raises InvalidArgument."""
    if environ.get("AWS_ACCESS_KEY_ID") and environ.get("AWS_SECRET_ACCESS_KEY"):
        token = environ.get("AWS_SESSION_TOKEN", "")
        return checked(environ["AWS_ACCESS_KEY_ID"], environ["AWS_SECRET_ACCESS_KEY"], token)
    if credentials is None:
        return None
    return parse_access_key(credentials, environ.get("AWS_PROFILE") or "default")


class AccessKeys:
    """The keys by the places' names, and their file's bytes."""

    def __init__(self, key: bytes) -> None:
        """`key`: the drive's for node ids, 32 bytes, which lasts as long as the drive."""
        self._cipher = AESSIV(b"".join(derive(key, _DOMAIN, bytes([number])) for number in (1, 2)))

    def encode(self, keys: Mapping[str, AccessKey]) -> bytes:
        listed = {name: [key.key_id, key.secret, key.token] for name, key in sorted(keys.items())}
        head = _HEAD.pack(_MAGIC, FORMAT)
        return head + self._cipher.encrypt(json.dumps(listed).encode(), [head])

    def decode(self, data: bytes) -> dict[str, AccessKey]:
        """Raises Corrupt, FormatTooNew."""
        if len(data) < _HEAD.size + 16 or not data.startswith(_MAGIC):
            raise Corrupt("the file of access keys is none", FILE)
        head = data[: _HEAD.size]
        number = _HEAD.unpack(head)[1]
        if number > FORMAT:
            raise FormatTooNew("the file of access keys", number, FORMAT)
        try:
            listed = json.loads(self._cipher.decrypt(data[_HEAD.size :], [head]))
        except InvalidTag:
            raise Corrupt("the file of access keys is damaged, or of another drive", FILE) from None
        except ValueError:
            raise Corrupt("the file of access keys holds no JSON", FILE) from None
        return {name: AccessKey(*parts) for name, parts in listed.items()}
