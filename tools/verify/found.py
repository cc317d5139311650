"""What lies below a folder, told by structure: checkpoints, adapters, image encoders, and what is none of these."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch

import comfy.model_detection

from ...ipadapter_core.checkpoint.enums import BaseModel
from ...ipadapter_core.checkpoint.headers import read_shapes
from ...ipadapter_core.checkpoint.spec import AdapterSpec, Shapes
from ...ipadapter_core.encoders.sizes import encoder_sizes
from ...ipadapter_core.errors import CheckpointError
from ...ipadapter_core.presets.identify import identify
from .kolors import is_kolors

ENDINGS = (".safetensors", ".sft", ".bin", ".pt", ".pth", ".ckpt")
INSIDE_CHECKPOINT = "model.diffusion_model."
KOLORS = "Kolors"  # for which ComfyUI has no class
BASES = {  # by the name of ComfyUI's class for a model
    "SD15": BaseModel.SD15, "SDXL": BaseModel.SDXL, "Flux": BaseModel.FLUX, "FluxSchnell": BaseModel.FLUX,
    "Chroma": BaseModel.FLUX, "SD3": BaseModel.SD35_LARGE, "Anima": BaseModel.ANIMA, KOLORS: BaseModel.KOLORS,
}  # fmt: skip
SIGLIP_HEAD = "vision_model.embeddings.patch_embedding.weight"
BLOCK = 2**22  # bytes that are hashed at once


class Checkpoint(NamedTuple):
    """A file with a diffusion model; `name` is ComfyUI's for it, `whole` where it lies beside other models."""

    path: Path
    base: BaseModel
    name: str
    whole: bool


class Found(NamedTuple):
    """Everything below a folder; `others` with a sentence for each."""

    checkpoints: tuple[Checkpoint, ...]
    adapters: tuple[tuple[Path, AdapterSpec], ...]
    encoders: tuple[Path, ...]
    others: tuple[tuple[Path, str], ...]


def look_below(folder: Path) -> Found:
    """Reads the headers of all files. Raises `SystemExit` where the folder is not there."""
    if not folder.is_dir():
        raise SystemExit(f"--models {folder}: there is no such folder, name the one that your model files lie below")
    checkpoints, adapters, encoders, others = [], [], [], []
    for path in _files(folder):
        try:
            shapes = read_shapes(path)
        except CheckpointError as error:
            others.append((path, str(error)))
            continue
        name = name_of(shapes)
        spec = None if name else identify(path).spec
        if name is not None:
            whole = any(key.startswith(INSIDE_CHECKPOINT) for key in shapes)
            checkpoints.append(Checkpoint(path, BASES[name], name, whole))
        elif spec is not None:
            adapters.append((path, spec))
        elif encoder_sizes(shapes) is not None or SIGLIP_HEAD in shapes:
            encoders.append(path)
        else:
            others.append((path, "no diffusion model with published adapters, no adapter and no image encoder"))
    return Found(tuple(checkpoints), tuple(adapters), tuple(encoders), tuple(others))


def _files(folder: Path) -> Iterator[Path]:
    yield from sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())


def name_of(shapes: Shapes) -> str | None:
    """Which diffusion model has these keys and shapes, by ComfyUI's own detection; None for one that has no adapters."""
    if is_kolors(shapes):
        return KOLORS
    tensors = {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
    prefix = INSIDE_CHECKPOINT if any(key.startswith(INSIDE_CHECKPOINT) for key in shapes) else ""
    try:
        config = comfy.model_detection.model_config_from_unet(tensors, prefix)
    except (KeyError, IndexError, ValueError, RuntimeError, TypeError, AttributeError):
        return None  # it looks at tensors that only a diffusion model has
    name = type(config).__name__
    return name if name in BASES else None


def sha256(path: Path) -> str:
    """The checksum of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
