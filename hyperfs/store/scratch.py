"""An index for the time of one piece of work: in a folder of its own that goes when it is closed."""

import shutil
import tempfile
from pathlib import Path

from hyperfs.store.rocksdb import RocksIndex


class ScratchIndex(RocksIndex):
    """Where what is to be remembered may be too much for memory. Like every index it may hold no plaintext."""

    def __init__(self) -> None:
        """Raises OSError where there is no room for it."""
        self._parent = Path(tempfile.mkdtemp(prefix="hyperfs-"))
        try:
            super().__init__(self._parent / "index")
        except BaseException:
            shutil.rmtree(self._parent, ignore_errors=True)
            raise

    def close(self) -> None:
        super().close()
        shutil.rmtree(self._parent, ignore_errors=True)
