"""What the demo's adapters reach, in numbers: each on the same references, words and noise."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

import comfy.sample

from ...ipadapter_core.adapter.load import load_adapter
from ...ipadapter_core.adapter.managed import ManagedAdapter
from ...ipadapter_core.encoders.clip_vision import encode_references
from ...ipadapter_core.encoders.options import EncodeOptions
from ...ipadapter_core.patchers.apply import apply_image_prompt
from ...ipadapter_core.sampling.strength import Strength
from ..fitting import fit_shape
from ..load import ADAPTER_FILE, DemoWorld, load
from ..measure import palette_distance, second_shade_inside, stripes_followed, textures_kept
from ..pictures import scene_of
from ..shapes import SHAPE_NAMES
from ..texture_fit import PLAIN
from ..world import SIZE, Scene, random_scene, render
from .brand import BRAND

BRAND_FILE = "demo_world_ip_adapter_brand.safetensors"  # beside the checkpoints: it is there to be measured
STEPS, CFG = 20, 2.0
SEED = 3  # of the references; another than those of the trainings


class Reached(NamedTuple):
    """Means over all references: how an adapter does on one kind of them."""

    adapter: str
    references: str
    palette: float  # the distance's share of what it is without an adapter
    shape: float  # share of images with the shape that the text names
    textures: float  # share of both surfaces with the reference's texture
    stripes: float | None  # share of striped surfaces whose stripes run the same way
    second_shade: float  # of a textured shape, how far the share of its second shade is from the reference's


def measured(weights: Path, tuned: Path, count: int = 64) -> list[Reached]:
    """The general adapter on any style, and where there is a tuned one both on the brand's; 64 references each."""
    world = load(weights)
    anything = random_scene(count, torch.Generator().manual_seed(SEED))
    brand = scene_of(BRAND, SEED, count)
    tasks = [("general", weights / ADAPTER_FILE, "any", anything)]
    if tuned.is_file():
        tasks += [
            ("general", weights / ADAPTER_FILE, "the brand's", brand),
            ("tuned on the brand", tuned, "the brand's", brand),
        ]
    return [_reached(world, file, name, kind, scene) for name, file, kind, scene in tasks]


def table(found: Sequence[Reached]) -> str:
    """In Markdown."""
    lines = [
        "| adapter | references | palette distance | named shape kept | textures | stripes' direction | second shade off by |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in found:
        stripes = "" if one.stripes is None else f"{one.stripes:.2f}"
        lines.append(
            f"| {one.adapter} | {one.references} | {one.palette:.2f} | {one.shape:.2f} | {one.textures:.2f} "
            f"| {stripes} | {one.second_shade:.3f} |"
        )
    return "\n".join(lines)


def _reached(world: DemoWorld, file: Path, name: str, kind: str, scene: Scene) -> Reached:
    references = render(scene).movedim(1, -1)
    named = torch.arange(len(scene)) % len(SHAPE_NAMES)
    without = _sampled(world, None, references, named)
    images = _sampled(world, file, references, named)
    fit = fit_shape(images)
    palette = palette_distance(images, references).mean() / palette_distance(without, references).mean()
    off = (second_shade_inside(images, scene) - second_shade_inside(references, scene)).abs()
    textures = textures_kept(images, scene, fit).float()
    stripes = stripes_followed(images, scene, fit).float()
    return Reached(
        name, kind, float(palette), float((fit.shape == named).float().mean()), float(textures.mean()),
        float(stripes.mean()) if len(stripes) else None, float(off[scene.object_texture != PLAIN].mean()),
    )  # fmt: skip


@torch.no_grad()
def _sampled(world: DemoWorld, file: Path | None, references: Tensor, named: Tensor) -> Tensor:
    """Images (B, H, W, 3), a text that names a shape and a reference for each, from noise of the same seed."""
    adapter = None if file is None else load_adapter(str(file))
    made = [
        _one(world, adapter, references[place : place + 1], SHAPE_NAMES[int(shape)], place)
        for place, shape in enumerate(named)
    ]
    return torch.cat(made)


def _one(world: DemoWorld, adapter: ManagedAdapter | None, reference: Tensor, shape: str, seed: int) -> Tensor:
    model = world.model
    if adapter is not None:
        prompt, _ = encode_references(adapter.spec, world.clip_vision, reference, EncodeOptions())
        model = apply_image_prompt(model, adapter, prompt, Strength(1.0))
    texts = [
        [list(entry) for entry in world.clip.encode_from_tokens_scheduled(world.clip.tokenize(text))]
        for text in (f"a {shape}", "")
    ]
    noise = torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))
    out = comfy.sample.sample(
        model, noise, STEPS, CFG, "euler", "normal", *texts, torch.zeros_like(noise), seed=seed, disable_pbar=True
    )
    return world.vae.decode(out)[..., :3].float().cpu()
