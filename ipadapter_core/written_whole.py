"""Files that are there whole or not at all."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(file: Path) -> Generator[Path, None, None]:
    """A place beside a file to write to; only what has reached the disk takes its name. Raises `OSError` where it cannot.

    What had the name before stays until then, and stays if writing breaks off. The file may be read by whoever may read any
    new file of this user's, however it was written: safetensors closes its own to everybody else.
    """
    partial = file.with_name(f".{file.name}.partial")
    try:
        partial.touch()
        mode = partial.stat().st_mode
        yield partial
        partial.chmod(mode)
        with partial.open("rb+") as written:
            os.fsync(written.fileno())
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
