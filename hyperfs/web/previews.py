"""What kind of bytes a file holds, by the bytes alone. Pure."""

from typing import Final

TEXT_MOST: Final = 256 << 10
PICTURE_MOST: Final = 32 << 20
HEAD_BYTES: Final = 32

_PICTURES: Final = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF87a", "image/gif"),
                    (b"GIF89a", "image/gif"))  # fmt: skip


def picture_type(head: bytes) -> str | None:
    """The type to serve a picture with; None for all else, and for SVG, which is a program."""
    for magic, kind in _PICTURES:
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return None


def text_of(data: bytes, whole: bool) -> str | None:
    """The text that bytes are, None if they are none. `whole`: nothing was cut off, perhaps within a letter."""
    for encoding in ("utf-16",) if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig",):
        for cut in range(1 if whole else 4):
            try:
                return _visible(data[: len(data) - cut].decode(encoding))
            except UnicodeDecodeError:
                continue
    if b"\0" in data or not _mostly_letters(data):
        return None
    return _visible(data.decode("latin-1"))


def _mostly_letters(data: bytes) -> bool:
    """Of bytes that are no UTF-8: whether they may be text of an older make."""
    control = sum(byte < 9 or 13 < byte < 32 or 126 < byte < 160 for byte in data)
    return control * 100 <= len(data)


def _visible(text: str) -> str | None:
    return None if "\0" in text else text.replace("\r\n", "\n").replace("\r", "\n")
