"""Nodes that only tests mount into a server: models in miniature where ComfyUI's own loaders know full sizes alone."""

import importlib.util
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
_spec = importlib.util.spec_from_file_location("ipadapter_core_loading", ROOT / "tools" / "loading.py")
_loading = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_loading)
_loading.load_pack()

from pack.tools.miniature.clip import TinyClip
from pack.tools.miniature.models import tiny_model
from pack.tools.miniature.transformers import tiny_transformer

TRANSFORMERS = ("Anima", "Chroma")


class TinyModel:
    """A seeded model that no stock loader would recognise, for its size."""

    RETURN_TYPES = ("MODEL",)
    FUNCTION, CATEGORY = "load", "tests"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"kind": (["SD1.5", "SDXL", *TRANSFORMERS],)}}

    def load(self, kind):
        return (tiny_transformer(kind) if kind in TRANSFORMERS else tiny_model(kind),)


class TinyText:
    """Seeded noise where a text encoder's output would be."""

    RETURN_TYPES = ("CONDITIONING",)
    FUNCTION, CATEGORY = "make", "tests"

    @classmethod
    def INPUT_TYPES(cls):
        number = ("INT", {"default": 0, "min": 0, "max": 4096})
        return {"required": {"width": number, "pooled": number, "seed": number}}

    def make(self, width, pooled, seed):
        generator = torch.Generator().manual_seed(seed)
        text = torch.randn(1, 7, width, generator=generator)
        extra = {"pooled_output": torch.randn(1, pooled, generator=generator)} if pooled else {}
        return ([[text, extra]],)


class TinyTextEncoder:
    """A CLIP text encoder of three small layers."""

    RETURN_TYPES = ("CLIP",)
    FUNCTION, CATEGORY = "load", "tests"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    def load(self):
        return (TinyClip("last"),)


NODE_CLASS_MAPPINGS = {kind.__name__: kind for kind in (TinyModel, TinyText, TinyTextEncoder)}
