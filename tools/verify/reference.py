"""The same checkpoint and the same adapter file in diffusers, called with what ComfyUI's network was called with."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

import comfy.utils

from ...ipadapter_core.checkpoint.enums import BaseModel, ProjectorKind
from ...ipadapter_core.checkpoint.spec import AdapterSpec
from ...ipadapter_core.prompt.features import Features
from ...ipadapter_core.prompt.image_prompt import ImagePrompt
from .found import Checkpoint
from .sampling import Call

IN_UNETS = (
    ProjectorKind.LINEAR, ProjectorKind.MLP, ProjectorKind.RESAMPLER, ProjectorKind.FACE, ProjectorKind.FACE_PLUS,
)  # fmt: skip
COMPARED = {  # what diffusers' reader of an adapter file makes of each base model's files
    BaseModel.SD15: IN_UNETS,
    BaseModel.SDXL: IN_UNETS,
    BaseModel.KOLORS: (ProjectorKind.RESAMPLER,),
    BaseModel.FLUX: (ProjectorKind.LINEAR,),
    BaseModel.SD35_LARGE: (ProjectorKind.TIME_RESAMPLER,),
}


class Reference(Protocol):
    """A network of diffusers' from a checkpoint file."""

    def attach(self, adapter: Path, weight: float) -> None:
        """The adapter file as it is, through diffusers' own reader of its tensors."""
        ...

    def output(self, call: Call, pixels: int, prompt: ImagePrompt | None) -> Tensor:
        """What the network returns for the same inputs, with the adapter where there is a prompt."""
        ...


def why_not(checkpoint: Checkpoint, spec: AdapterSpec) -> str | None:
    """A sentence where diffusers has nothing to compare with, or takes other files."""
    if checkpoint.base not in COMPARED or checkpoint.name == "Chroma":
        return f"diffusers is not compared for {checkpoint.name}"
    if checkpoint.base in (BaseModel.SD15, BaseModel.SDXL) and not checkpoint.whole:
        return "diffusers reads a UNet from a whole checkpoint alone"
    if spec.projector.kind not in COMPARED[checkpoint.base]:
        return f"diffusers has no {spec.kind} with this projector"
    return None


def reference_of(checkpoint: Checkpoint, sizes: dict[str, Any], device: torch.device, dtype: torch.dtype) -> Reference:
    """diffusers' network of a checkpoint; `sizes` are those that ComfyUI has found in the file."""
    from .reference_transformer import FluxReference, SD3Reference
    from .reference_unet import KolorsReference, UNetReference

    kinds = {BaseModel.FLUX: FluxReference, BaseModel.SD35_LARGE: SD3Reference, BaseModel.KOLORS: KolorsReference}
    return kinds.get(checkpoint.base, UNetReference)(checkpoint, sizes, device, dtype)


def nested(path: Path, dtype: torch.dtype) -> dict[str, dict[str, Tensor]]:
    """A file's tensors by part, as a .bin has them and diffusers takes them."""
    weights = comfy.utils.load_torch_file(str(path), safe_load=True)
    if "image_proj" in weights:
        return {
            part: {key: one.to(dtype) for key, one in weights[part].items()} for part in ("image_proj", "ip_adapter")
        }
    split: dict[str, dict[str, Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for key, tensor in weights.items():
        part, name = key.split(".", 1)
        split[part][name] = tensor.to(dtype)
    return split


def features_of(prompt: ImagePrompt, call: Call) -> Sequence[Features]:
    """What the encoder said for each row of a call: of the image, or of its negative."""
    image = prompt.references[0].image
    return [image.negative if index else image.features for index in call.passes]
