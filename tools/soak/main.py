"""`python3 dev.py soak --prompts 300`: hundreds of prompts in real ComfyUI servers, a share under each cache mode.

Holds that the memory at the end is the memory after twenty prompts, that nothing grows on the cached model, and that the
same prompt is the same image to the byte, in every order and under every cache.
"""

import argparse
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..comfyui.api_prompt import node
from ..comfyui.client import ComfyClient
from ..comfyui.server import ComfyServer, Mounts
from ..demo.picture_grid import pixels
from .memory import resident
from .prompts import VARIANTS, prompt, sequence, write_shuffled

CACHES = ("--cache-classic", "--cache-lru 20", "--cache-none")
WARM = 20  # prompts after which everything that is made once has been made
GROWTH = 0.02  # of the memory after these


@dataclass
class Result:
    """What a run under one cache mode came to; `memory` in bytes after each prompt, `patches` as the probe counted them."""

    cache: str
    memory: list[int] = field(default_factory=list)
    patches: list[dict[str, int]] = field(default_factory=list)
    wrong: int = 0

    @property
    def growth(self) -> float:
        """How much more memory there is at the end than after the first prompts, as a part of it."""
        return self.memory[-1] / self.memory[min(WARM, len(self.memory)) - 1] - 1

    @property
    def held(self) -> bool:
        """Whether all that this tool is for is so."""
        steady = all(counted == self.patches[0] for counted in self.patches)
        return self.growth <= GROWTH and steady and not self.wrong

    def line(self) -> str:
        """One line for people."""
        warm = self.memory[min(WARM, len(self.memory)) - 1]
        return (
            f"{self.cache}: {len(self.memory)} prompts; memory {warm >> 20} MiB after {min(WARM, len(self.memory))}, "
            f"{self.memory[-1] >> 20} MiB at the end ({self.growth:+.2%}); wrong images {self.wrong}; "
            f"attached to the cached model {self.patches[0]} at first, {self.patches[-1]} at the end"
        )


def main(argv: list[str]) -> int:
    """Runs the prompts, prints a line for each cache mode and a last one, JSON; 1 where something did not hold."""
    parser = argparse.ArgumentParser(prog="dev.py soak", description=main.__doc__)
    parser.add_argument("--prompts", type=int, default=300, help="all cache modes together")
    arguments = parser.parse_args(argv)
    results = soak(arguments.prompts)
    for result in results:
        print(result.line())
    total = {"prompts": sum(len(result.memory) for result in results), "wrong": sum(result.wrong for result in results)}
    print(json.dumps(total | {"held": all(result.held for result in results)}))
    return 0 if all(result.held for result in results) else 1


def soak(prompts: int, caches: Sequence[str] = CACHES) -> list[Result]:
    """A share of the prompts under each cache mode; the images of the first mode are those that the others have to give."""
    known: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="ipadapter-core-soak-") as folder:
        write_shuffled(Path(folder))
        shares = [prompts // len(caches) + (place < prompts % len(caches)) for place in range(len(caches))]
        return [_under(cache, share, Path(folder), known) for cache, share in zip(caches, shares, strict=True)]


def _under(cache: str, prompts: int, adapters: Path, known: dict[str, str]) -> Result:
    mounts = Mounts((Path(__file__).parent / "probe",), {"ipadapter": adapters})
    result = Result(cache)
    python, comfyui = Path(sys.executable), Path(os.environ["COMFYUI_PATH"])
    with ComfyServer(python, comfyui, mounts=mounts, options=cache.split()) as server:
        client = ComfyClient(server.url)
        for turn, variant in enumerate(sequence(prompts, seed=len(cache))):
            images, patches = _run(client, variant, turn)
            result.wrong += sum(known.setdefault(name, image) != image for name, image in images.items())
            result.patches.append(patches)
            result.memory.append(resident(server.pid))
            _say(cache, turn + 1, prompts)
    return result


def _run(client: ComfyClient, variant: int, turn: int) -> tuple[dict[str, str], dict[str, int]]:
    """The images' checksums by variant and branch, and what the probe counted."""
    graph = prompt(VARIANTS[variant], turn)
    outputs = client.run(graph)
    images = {}
    for branch in range(len(VARIANTS[variant])):
        (entry,) = outputs[node(graph, "PreviewImage", f"image {branch}")]["images"]
        images[f"{variant}/{branch}"] = hashlib.sha256(pixels(client.picture(entry)).tobytes()).hexdigest()
    return images, json.loads(outputs[node(graph, "SoakProbe")]["text"][0])


def _say(cache: str, done: int, of: int) -> None:
    end = "\n" if done == of else ""
    print(f"\r{cache}: {done}/{of} prompts", end=end, file=sys.stderr, flush=True)
