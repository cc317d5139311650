"""Models, adapters, encoders and images in miniature, standing in for what loaders bring, and their files in a folder."""

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from pack.nodes.folders import register_folders
from pack.tools.miniature import faces as tiny_faces
from pack.tools.miniature.executing import Step
from pack.tools.miniature.models import adapter_weights, tiny_model, widths_of
from pack.tools.miniature.transformers import tiny_transformer
from pack.tools.miniature.transformers import weights_of as dit_weights
from safetensors.torch import save_file
from torch import Tensor

import folder_paths

TEXT = {"SD1.5": 768, "SDXL": 2048}  # the published text widths: what an adapter is for is read off them
FOLDERS = ("ipadapter", "clip_vision", "image_prompts", "image_prompt_images")


@functools.cache
def _widths(base: str) -> tuple[int, ...]:
    return tuple(widths_of(tiny_model(base, seed=None)))


class Workshop:
    """Makes steps; files go below `models`."""

    def __init__(self, models: Path):
        self.models = models

    def checkpoint(self, base: str = "SD1.5", **changes: Any) -> Step:
        """A UNet of the true structure and text width."""
        made = lambda: tiny_model(base, **({"context_dim": TEXT[base]} | changes))  # noqa: E731
        return Step("Load Checkpoint", note=f"{base}", make=made)

    def transformer(self, name: str, **changes: Any) -> Step:
        """FLUX, SD3 or Anima; with a class name of ComfyUI's for `called`, a model of that name."""
        called = changes.pop("called", None)

        def make():
            model = tiny_transformer(name, **changes)
            if called:
                model.model.__class__ = type(called, (type(model.model),), {})
            return model

        return Step("Load Diffusion Model", note=called or name, make=make)

    def adapter(self, file: str = "ip-adapter_sd15.safetensors", base: str = "SD1.5", kind: str = "base") -> Step:
        """A file of tencent's layout for a UNet."""
        weights = adapter_weights(kind, self.widths(base), TEXT[base], feature=1024 if kind == "base" else 1280)
        return self.load(file, weights)

    def face_adapter(self, file: str, kind: str, base: str = "SD1.5", lora: bool = False, layers: int = 70) -> Step:
        """A file of another layout for a UNet."""
        return self.load(file, tiny_faces.weights_of(kind, self.widths(base)[:layers], TEXT[base], lora=lora))

    def transformer_adapter(self, file: str, shapes: dict[str, tuple[int, ...]]) -> Step:
        """A file for a transformer model."""
        return self.load(file, dit_weights(shapes))

    def widths(self, base: str) -> list[int]:
        """The widths of the miniature's layers."""
        return list(_widths(base))

    def load(self, file: str, weights: dict[str, Tensor], **metadata: str) -> Step:
        """*Load IP-Adapter* on a file with these tensors."""
        place = self.place("ipadapter", file)
        save_file({key: tensor.contiguous() for key, tensor in weights.items()}, place, metadata=metadata or None)
        return Step("IPAdapterCoreLoad", {"ip_adapter_name": file})

    def place(self, kind: str, file: str) -> Path:
        """Where a file of a kind lies."""
        path = self.models / kind / file
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def encoder(self, note: str = "ViT-H", width: int = 1280, projection: int = 1024) -> Step:
        """A CLIP vision model of true widths with few layers."""
        return Step("Load CLIP Vision", note=note, make=lambda: tiny_faces.tiny_encoder(width, 56, projection))

    def picture(self, note: str = "an image", batch: int = 1) -> Step:
        """Noise."""
        noise = torch.rand(batch, 96, 96, 3, generator=torch.Generator().manual_seed(1))
        return Step("Load Image", note=note, make=lambda: noise)

    def encoded(self, adapter: Step, **inputs: Any) -> Step:
        """*Encode Reference Image*."""
        given = {"ip_adapter": adapter, "image": self.picture(), "clip_vision": self.encoder(), "fit": "stretch"}
        return Step("IPAdapterCoreEncode", given | inputs)

    def applied(self, model: Step, adapter: Step, prompt: Step | None = None, **inputs: Any) -> Step:
        """*Apply IP-Adapter*."""
        given = {"model": model, "ip_adapter": adapter, "image_prompt": prompt or self.encoded(adapter)}
        return Step("IPAdapterCoreApply", given | inputs)


@contextlib.contextmanager
def workshop(folder: Path) -> Iterator[Workshop]:
    """A workshop whose files ComfyUI finds; its folders are put back afterwards."""
    register_folders()
    models = folder / "models"
    before, known = folder_paths.models_dir, dict(folder_paths.folder_names_and_paths)
    temporary, output = folder_paths.get_temp_directory(), folder_paths.get_output_directory()
    try:
        folder_paths.models_dir = str(models)
        folder_paths.set_temp_directory(str(folder / "temp"))
        folder_paths.set_output_directory(str(folder / "output"))
        for kind in FOLDERS:
            (models / kind).mkdir(parents=True, exist_ok=True)
            folder_paths.folder_names_and_paths[kind] = ([str(models / kind)], folder_paths.supported_pt_extensions)
        folder_paths.filename_list_cache.clear()
        yield Workshop(models)
    finally:
        folder_paths.models_dir = before
        folder_paths.set_temp_directory(temporary)
        folder_paths.set_output_directory(output)
        folder_paths.folder_names_and_paths.clear()
        folder_paths.folder_names_and_paths.update(known)
        folder_paths.filename_list_cache.clear()
