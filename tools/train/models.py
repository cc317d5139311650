"""The models that an adapter is trained between, by ComfyUI's own loaders."""

import argparse
from typing import Any, NamedTuple

import comfy.sd
import comfy.utils
from comfy.model_patcher import ModelPatcher

from ...demo import load as demo_world
from ...ipadapter_core.adapter.load import load_adapter
from ...ipadapter_core.adapter.managed import ManagedAdapter
from ...ipadapter_core.encoders.image_encoder import ImageEncoder
from ...ipadapter_core.encoders.load import load_image_encoder
from ...ipadapter_core.training.conditioning import Entry
from ...ipadapter_core.training.new_adapter import new_adapter


class Models(NamedTuple):
    """A base model with its text encoder and VAE, and an image encoder."""

    model: ModelPatcher
    clip: Any
    vae: Any
    encoder: ImageEncoder

    def caption(self, text: str) -> Entry:
        """A text as its encoder has it."""
        (entry,) = self.clip.encode_from_tokens_scheduled(self.clip.tokenize(text))
        return entry[0], entry[1]


def models_of(given: argparse.Namespace) -> Models:
    """What the command line names. Raises `ValueError` for a file that is something else."""
    if given.demo:
        world = demo_world.load()
        return Models(world.model, world.clip, world.vae, world.clip_vision)
    model, clip, vae = _base(given)
    if given.vae is not None:
        vae = comfy.sd.VAE(sd=comfy.utils.load_torch_file(str(given.vae)))
    for part, name in ((model, "diffusion model"), (clip, "text encoder"), (vae, "VAE")):
        if part is None:
            raise ValueError(f"{given.checkpoint}: found no {name} in it, expected a whole checkpoint")
    return Models(model, clip, vae, load_image_encoder(given.encoder))


def begun(models: Models, given: argparse.Namespace) -> ManagedAdapter:
    """A published adapter, or a new one."""
    file = given.from_adapter
    if given.demo and file is None:
        file = demo_world.WEIGHTS / demo_world.ADAPTER_FILE
    if file is not None:
        return load_adapter(str(file))
    return new_adapter(models.model, models.encoder, given.kind, seed=given.seed)


def _base(given: argparse.Namespace) -> tuple[Any, Any, Any]:
    if given.checkpoint is not None:
        return comfy.sd.load_checkpoint_guess_config(str(given.checkpoint), output_vae=True, output_clip=True)[:3]
    kind = getattr(comfy.sd.CLIPType, given.clip_type.upper(), None)
    if kind is None:
        known = ", ".join(one.name.lower() for one in comfy.sd.CLIPType)
        raise ValueError(f"--clip-type {given.clip_type}: expected one of {known}")
    files = [str(file) for file in given.text_encoder]
    return comfy.sd.load_diffusion_model(str(given.diffusion_model)), comfy.sd.load_clip(files, clip_type=kind), None
