"""How far what is to move has got, for `status`."""

from dataclasses import dataclass


@dataclass
class Standing:
    """Bytes. `freeable_bytes`: here, and proven where they may be; `left_bytes`, `returned_bytes`: since the drive was
    opened. Owned by the trio thread."""

    to_leave_bytes: int = 0
    to_return_bytes: int = 0
    left_bytes: int = 0
    returned_bytes: int = 0
    freeable_bytes: int = 0
