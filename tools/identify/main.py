"""`python3 dev.py identify FILE...`: prints what each file is, and for folders each file in them.

Only headers are read and nothing in a file is run. The exit status is 1 when something is neither an adapter nor an image
encoder.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from ...ipadapter_core.presets.identify import FileKind, Identity, identify
from ...ipadapter_core.quoting import quoted

USEFUL = (FileKind.ADAPTER, FileKind.ENCODER)


def main(arguments: list[str]) -> int:
    """Prints a block for each file."""
    parser = argparse.ArgumentParser(prog="dev.py identify", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    found = [(path, identify(path)) for file in options.files for path in files_of(file)]
    for path, identity in found:
        print(report(path, identity))
    if not found:
        print("no files there", file=sys.stderr)
    return 0 if found and all(identity.kind in USEFUL for _, identity in found) else 1


def files_of(path: Path) -> Iterator[Path]:
    """The path itself, or the files in a folder in order of their names."""
    try:
        yield from (sorted(one for one in path.iterdir() if not one.is_dir()) if path.is_dir() else [path])
    except OSError:
        yield path


def report(path: Path, identity: Identity) -> str:
    """A file's name and kind, and below it what was found."""
    said = identity.said
    if identity.encoder is not None:
        said = f"{identity.encoder.name}, {identity.encoder.layers} layers: use Load Image Encoder, models/clip_vision"
    elif path.name == "config.json" and identity.kind is FileKind.UNREADABLE:
        said = _folder(path)
    lines = "\n".join(f"  {line}" for line in said.splitlines())
    return f"{quoted(str(path))}: {identity.kind.value}\n{lines}"


def _folder(path: Path) -> str:
    """What a Hugging Face folder says of itself."""
    try:
        kind = json.loads(path.read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "a config.json without a model_type"
    return f"the configuration of a {quoted(kind)}: its folder is loaded with Load Image Encoder"
