"""What a worker has, by content: model files, and the pack's own source; and whether all workers have the same."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..environment import ROOT
from .outcome import Inventory

OURS = ("ipadapter_core/**/*.py", "nodes/**/*.py", "demo/**/*.py", "demo/**/*.safetensors")


def pack_digest() -> str:
    """A hash of the pack's code and the demo world's weights on this machine."""
    files = sorted(file for pattern in OURS for file in ROOT.glob(pattern))
    names = "".join(f"{file.relative_to(ROOT).as_posix()} {_of_file(file)}\n" for file in files)
    return hashlib.sha256(names.encode()).hexdigest()[:16]


def model_digests(names: Iterable[str], folders: Sequence[Path]) -> dict[str, str]:
    """The hash of each model file below the folders, "" where there is none; of all files where several have the name."""
    found = {name: [folder / name for folder in folders if (folder / name).is_file()] for name in names}
    return {name: " ".join(sorted({_of_file(file) for file in files})) for name, files in found.items()}


def agreeing(found: Sequence[Inventory]) -> tuple[Inventory | None, list[str]]:
    """What most workers that can render have alike, None where there is no such worker; and a sentence for each other."""
    able = [one for one in found if not one.problem]
    said = [f"{one.worker} cannot render: {one.problem}" for one in found if one.problem]
    whole = []
    for one in able:
        if missing := [name for name, digest in one.models.items() if not digest]:
            said.append(f"{one.worker} is left out: it has no file {', '.join(missing[:10])}")
        else:
            whole.append(one)
    if not whole:
        return None, said
    counted = Counter(digest(one) for one in whole)
    chosen = next(one for one in whole if counted[digest(one)] == max(counted.values()))
    said += [f"{one.worker} is left out: {_difference(one, chosen)}" for one in whole if digest(one) != digest(chosen)]
    if len(devices := sorted({one.device for one in whole})) > 1:
        said.append(f"workers have different devices ({', '.join(devices[:10])}): the last bits of images may differ")
    return chosen, said


def digest(one: Inventory) -> str:
    """A hash of what must be alike on all workers."""
    said = "\n".join(f"{name} {value}" for name, value in sorted((one.versions | one.models).items()))
    return hashlib.sha256(said.encode()).hexdigest()


def _difference(one: Inventory, chosen: Inventory) -> str:
    mine, other = one.versions | one.models, chosen.versions | chosen.models
    name = next(name for name in other if mine.get(name) != other[name])
    return f"its {name} is {mine.get(name, 'unknown')[:16]}, {chosen.worker} has {other[name][:16]}"


def _of_file(file: Path) -> str:
    with file.open("rb") as stream:
        sha = hashlib.sha256()
        while block := stream.read(2**20):
            sha.update(block)
    return sha.hexdigest()
