"""What was found out about files, remembered by path, size and time."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

Kind = TypeVar("Kind")


class FileCache(Generic[Kind]):
    """A function of a file's path that is computed anew only when the file changed."""

    def __init__(self, function: Callable[[Path], Kind]):
        self.function = function
        self.known: dict[str, tuple[tuple[int, int, int], Kind]] = {}

    def __call__(self, path: Path) -> Kind:
        """The function's value; of a path that leads to no file it is not remembered."""
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            return self.function(path)
        state = (status.st_size, status.st_mtime_ns, status.st_ino)
        known = self.known.get(str(path))
        if known is None or known[0] != state:
            known = (state, self.function(path))
            self.known[str(path)] = known
        return known[1]
