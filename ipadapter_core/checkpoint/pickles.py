"""PyTorch's own files: looked through before PyTorch reads them, and read without running anything.

`torch.load(weights_only=True)` runs nothing that a file names, but still makes what it is told to make. So the archive's
members and the names in the pickle are checked first: nothing compressed, no name outside `ALLOWED`. What training scripts
write beside their tensors (numpy scalars, arguments) becomes `Inert`.
"""

import pickletools
import re
import threading
import zipfile
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any, cast

import torch

from ..limits import KEYS, PICKLE_OPERATIONS
from ..quoting import listed, quoted

ALLOWED = re.compile(
    r"collections OrderedDict|torch\._utils _rebuild_(tensor|tensor_v2|tensor_v3|parameter|parameter_with_state)|"
    r"torch (\w+Storage|Size|device|[a-z]+\d+\w*)|torch\.storage \w+Storage|torch\.nn\.parameter Parameter|"
    r"torch\.serialization _get_layout|_codecs encode|__builtin__ (set|complex)|builtins (set|complex)"
)
INERT = (  # what training scripts keep beside their weights; made without running any of it
    "argparse.Namespace", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype",
    "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct", "numpy.ndarray",
    "pathlib.Path", "pathlib.PosixPath", "pathlib.PurePosixPath", "pathlib.WindowsPath", "datetime.datetime",
    "collections.defaultdict", "types.SimpleNamespace", "omegaconf.dictconfig.DictConfig",
)  # fmt: skip
SAFETENSORS = (".safetensors", ".sft")  # endings by which PyTorch would take a path for another container
_LOCK = threading.Lock()  # PyTorch keeps the names that it may make for the whole process


class UnsafePickleError(ValueError):
    """A pickle that names anything else than tensors and what training scripts keep beside them."""


class Inert:
    """Stands for an object that is not a tensor: it takes whatever it is made of, and keeps and does nothing."""

    def __new__(cls, *_: Any, **__: Any) -> "Inert":
        """Whatever the arguments."""
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        """Forgets the state."""


def read_tree(path: Path, device: str) -> Any:
    """What a file holds, with tensors on "meta" (nothing is read of them) or "cpu" (mapped where the file allows it).

    Raises `ValueError` with what was found for anything that is not tensors in dictionaries.
    """
    archive = is_archive(path)
    with path.open("rb") as file:
        size = path.stat().st_size
        names = archive_names(file, size) if archive else stream_names(Clamped(file, size))
    unknown = sorted(name for name in names if not ALLOWED.fullmatch(name) and _dotted(name) not in INERT)
    if unknown:
        raise UnsafePickleError(
            f"cannot be read safely: it holds more than tensors ({listed([_dotted(name) for name in unknown], 3)}), and "
            "nothing of it was run: look for it as safetensors, or choose another file"
        )
    inert = any(_dotted(name) in INERT for name in names)
    mapped = archive and path.suffix.lower() not in SAFETENSORS
    with _LOCK, _inert_names() if inert else nullcontext(), path.open("rb") as file:
        return torch.load(path if mapped else file, map_location=device, weights_only=True, mmap=mapped)


class Clamped:
    """A stream of which no more is asked for than there can be: a pickle may name any length."""

    def __init__(self, stream: IO[bytes], size: int):
        self.stream, self.size = stream, size

    def read(self, count: int) -> bytes:
        """At most the size."""
        return self.stream.read(max(0, min(count, self.size)))

    def readline(self) -> bytes:
        """A line of at most the size."""
        return self.stream.readline(self.size)


def is_archive(path: Path) -> bool:
    """Whether it is PyTorch's newer format, a zip archive."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def archive_names(file: IO[bytes], size: int) -> set[str]:
    """The names in an archive's pickle; raises `ValueError` where its members are not as PyTorch writes them."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            if len(members) > 2 * KEYS:
                raise ValueError(f"{len(members)} members, at most {2 * KEYS} are read")
            if any(one.compress_type != zipfile.ZIP_STORED for one in members):
                raise ValueError("compressed members, which PyTorch does not write")
            if sum(one.file_size for one in members) > size:
                raise ValueError("members that are larger than the file")
            pickles = [one for one in members if one.filename.rsplit("/", 1)[-1] == "data.pkl"]
            if len(pickles) != 1:
                raise ValueError(f"{len(pickles)} members data.pkl, expected one")
            with archive.open(pickles[0]) as stream:
                return _globals(Clamped(stream, pickles[0].file_size))
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError) as error:
        raise ValueError(f"a broken archive ({quoted(error)})") from error


def stream_names(file: Clamped) -> set[str]:
    """The names in the pickles of PyTorch's older format: a magic number, a version, the system, the objects, the keys."""
    return {name for _ in range(5) for name in _globals(file)}


def _globals(stream: Clamped) -> set[str]:
    names: set[str] = set()
    try:
        for count, (operation, argument, _) in enumerate(pickletools.genops(cast(IO[bytes], stream))):
            if count > PICKLE_OPERATIONS:
                raise ValueError(f"a pickle of more than {PICKLE_OPERATIONS} steps")
            if operation.name == "GLOBAL":
                names.add(str(argument))
            elif operation.name in ("STACK_GLOBAL", "INST", "OBJ"):
                raise ValueError(f"a pickle with {operation.name}, which PyTorch does not write")
    except (OverflowError, IndexError, UnicodeError) as error:
        raise ValueError(f"a broken pickle ({type(error).__name__})") from error
    return names


def _dotted(name: str) -> str:
    return name.replace(" ", ".", 1)


@contextmanager
def _inert_names() -> Generator[None, None, None]:
    """Only ours for the time being: ComfyUI allows the real class of some of these names, which would be made instead."""
    globals_of: Any = cast(Any, torch.serialization)  # which has no types
    others = globals_of.get_safe_globals()
    globals_of.clear_safe_globals()
    globals_of.add_safe_globals([(Inert, name) for name in INERT])
    try:
        yield
    finally:
        globals_of.clear_safe_globals()
        globals_of.add_safe_globals(others)
