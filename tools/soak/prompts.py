"""The prompts of a long run: adapters, references, weights, windows and branches change, and each prompt comes back."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from safetensors.torch import load_file, save_file

from ..comfyui.client import Prompt
from ..comfyui.server import ROOT
from ..workflows.graph import Graph, Output

ADAPTER = "demo_world_ip_adapter.safetensors"
SHUFFLED = "shuffled.safetensors"
SIZE, STEPS = 64, 2


@dataclass(frozen=True)
class Branch:
    """One application on the loader's model: file, seeds of the references, weight, and where it stops."""

    adapter: str
    references: tuple[int, ...]
    weight: float
    end_percent: float = 1.0


Branches = tuple[Branch, ...]
VARIANTS: tuple[Branches, ...] = (
    (Branch(ADAPTER, (1,), 1.0),),
    (Branch(ADAPTER, (1,), 0.4),),
    (Branch(ADAPTER, (2,), 1.0, 0.5),),
    (Branch(ADAPTER, (1, 2), 0.8),),
    (Branch(ADAPTER, (3, 4, 5), 1.2),),
    (Branch(SHUFFLED, (1,), 1.0),),
    (Branch(SHUFFLED, (6,), 0.7, 0.6),),
    (Branch(ADAPTER, (7,), 0.0),),
    (Branch(ADAPTER, (1,), 1.0), Branch(SHUFFLED, (1,), 1.0)),
    (Branch(SHUFFLED, (2,), 0.5), Branch(ADAPTER, (8, 9), 0.9)),
)


def sequence(count: int, seed: int = 0) -> Iterator[int]:
    """Places in `VARIANTS`: all of them in one order, then all in another, and so on."""
    dice = random.Random(seed)
    order: list[int] = []
    for _ in range(count):
        if not order:
            order = dice.sample(range(len(VARIANTS)), len(VARIANTS))
        yield order.pop()


def write_shuffled(folder) -> None:
    """The demo's adapter with the rows of each tensor in another order: as large, and altogether different."""
    generator = torch.Generator().manual_seed(1)
    weights = load_file(ROOT / "demo" / "weights" / "ipadapter" / ADAPTER)
    shuffled = {key: tensor[torch.randperm(len(tensor), generator=generator)] for key, tensor in weights.items()}
    save_file(shuffled, folder / SHUFFLED)


def prompt(branches: Branches, turn: int) -> Prompt:
    """A workflow with a preview titled "image 0", "image 1" for each branch, and the probe on the loader's model."""
    graph = Graph()
    world = graph.add("DemoWorldLoad")
    texts = [graph.add("CLIPTextEncode", clip=world[1], text=text)[0] for text in ("a star", "")]
    blank = graph.add("EmptyChromaRadianceLatentImage", width=SIZE, height=SIZE, batch_size=1)[0]
    for number, branch in enumerate(branches):
        noise = graph.add(
            "KSampler", model=_applied(graph, world[0], world[3], branch), seed=1, steps=STEPS, cfg=2.0, denoise=1.0,
            sampler_name="euler", scheduler="simple", positive=texts[0], negative=texts[1], latent_image=blank,
        )  # fmt: skip
        image = graph.add("VAEDecode", samples=noise[0], vae=world[2])[0]
        graph.add("PreviewImage", f"image {number}", images=image)
    graph.add("SoakProbe", "probe", model=world[0], turn=turn)
    return graph.prompt()


def _applied(graph: Graph, model: Output, encoder: Output, branch: Branch) -> Output:
    adapter = graph.add("IPAdapterCoreLoad", ip_adapter_name=branch.adapter)[0]
    words = dict.fromkeys(
        ("shape", "object_colour", "background_colour", "object_texture", "background_texture"), "any"
    )
    seen = {}
    for number, seed in enumerate(branch.references):
        image = graph.add("DemoWorldPicture", seed=seed, size=SIZE, batch_size=1, **words)[0]
        given = {"ip_adapter": adapter, "image": image, "clip_vision": encoder, "fit": "center"}
        seen[f"image_prompts.image_prompt{number}"] = graph.add("IPAdapterCoreEncode", **given)[0]
    prompts = (
        graph.add("IPAdapterCoreCombine", method="concat", **seen)[0] if len(seen) > 1 else next(iter(seen.values()))
    )
    return graph.add(
        "IPAdapterCoreApply", model=model, ip_adapter=adapter, image_prompt=prompts, weight=branch.weight,
        start_percent=0.0, end_percent=branch.end_percent,
    )[0]  # fmt: skip
