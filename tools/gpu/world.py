"""Whole models of every family with an adapter and a reference: at true size with random weights, or in miniature.

The weights are noise made on the device, so nothing is downloaded; the work and the memory are those of published files.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

import comfy.sample
import comfy.supported_models
from comfy.model_patcher import ModelPatcher

from ...ipadapter_core.adapter.load import adapter_from_weights
from ...ipadapter_core.adapter.managed import ManagedAdapter
from ...ipadapter_core.patchers.apply import apply_image_prompt
from ...ipadapter_core.prompt.features import Features
from ...ipadapter_core.prompt.image_prompt import ImagePrompt
from ...ipadapter_core.sampling.strength import Strength
from ..bench import scenes
from ..bench.adapters import NOISE, file_weights, filled
from ..bench.steps import fill
from ..miniature import models as tiny
from ..miniature import transformers as dit
from ..miniature.published_faces import PUBLISHED as FACES
from ..miniature.published_transformers import FILES as TRANSFORMERS
from ..miniature.pulid import PUBLISHED_FACE, face_features, pulid_flux
from ..miniature.pulid_sdxl import pulid_v1_1
from .setup import Setup

SD35_LARGE = {
    "in_channels": 16, "out_channels": 16, "depth": 38, "patch_size": 2, "adm_in_channels": 2048, "input_size": None,
    "pos_embed_max_size": 192, "num_patches": 36864, "qk_norm": "rms", "pos_embed_scaling_factor": None,
    "x_block_self_attn_layers": [],
    "context_embedder_config": {"target": "torch.nn.Linear", "params": {"in_features": 4096, "out_features": 2432}},
}  # fmt: skip
ANIMA = {
    "image_model": "anima", "max_img_h": 240, "max_img_w": 240, "max_frames": 128, "in_channels": 16, "out_channels": 16,
    "patch_spatial": 2, "patch_temporal": 1, "concat_padding_mask": True, "model_channels": 2048, "num_blocks": 28,
    "num_heads": 16, "mlp_ratio": 4.0, "crossattn_emb_channels": 1024, "pos_emb_cls": "rope3d", "pos_emb_learnable": True,
    "pos_emb_interpolation": "crop", "min_fps": 1, "max_fps": 30, "use_adaln_lora": True, "adaln_lora_dim": 256,
    "extra_per_block_abs_pos_emb": False, "rope_h_extrapolation_ratio": 4.0, "rope_w_extrapolation_ratio": 4.0,
    "rope_t_extrapolation_ratio": 1.0, "rope_enable_fps_modulation": False,
}  # fmt: skip
MODELS = scenes.MODELS | {
    "SD3.5 Large": (comfy.supported_models.SD3, SD35_LARGE),
    "Anima": (comfy.supported_models.Anima, ANIMA),
}
TRUE_LATENT = {"SD1.5": (4, 64, 64), "SDXL": (4, 128, 128), "Anima": (16, 1, 128, 128)}  # of what is not 16 x 128 x 128


FeaturesOf = tuple[int, ...] | Callable[[int], Features]  # of a reference: their shape, or what makes them of a seed


class Family(NamedTuple):
    """How to make one family: an adapter's keys and shapes and its reference's features, at true size and in miniature.

    `adapter` is named where a model has several.
    """

    model: str
    miniature: str
    true_shapes: Callable[[], dict[str, tuple[int, ...]]]
    true_features: FeaturesOf
    tiny_shapes: Callable[[], dict[str, tuple[int, ...]]]
    tiny_features: FeaturesOf
    passes: int = 2
    adapter: str = ""

    @property
    def name(self) -> str:
        """Model and adapter."""
        return " ".join(word for word in (self.model, self.adapter) if word)


def _unet(base: str) -> Callable[[], dict[str, tuple[int, ...]]]:
    return lambda: {key: tuple(tensor.shape) for key, tensor in file_weights(base, 16).items()}


def tiny_unet(base: str, **changes: Any) -> Callable[[], dict[str, tuple[int, ...]]]:
    def shapes() -> dict[str, tuple[int, ...]]:
        widths = _tiny_widths(base, **changes)
        return {key: tuple(tensor.shape) for key, tensor in tiny.adapter_weights("base", widths, 96).items()}

    return shapes


def _tiny_widths(base: str, **changes: Any) -> list[int]:
    return tiny.widths_of(tiny.tiny_model(base, seed=None, **changes))


def _true_face(seed: int) -> Features:
    return face_features(seed, **PUBLISHED_FACE)


FAMILIES = (
    Family("SD1.5", "SD1.5", _unet("SD1.5"), (257, 1280), tiny_unet("SD1.5"), (64,)),
    Family("SDXL", "SDXL", _unet("SDXL"), (257, 1280), tiny_unet("SDXL"), (64,)),
    Family("Anima", "Anima", lambda: dit.lucifer(28, 2048, 768, 1024, 32), (1024, 768), lambda: dit.lucifer(3, 128), (9, 48)),
    Family("SD3.5 Large", "SD3", lambda: dit.instantx_sd3(38, 2432, 1152, 1280, 64, 320), (729, 1152),
           lambda: dit.instantx_sd3(3, 192), (9, 48)),
    Family("FLUX", "FLUX", lambda: dit.xlabs(19, 3072, 4096, 16, 768), (768,), lambda: dit.xlabs(2, 256, 64), (48,), 1),
    Family("SDXL", "SDXL", lambda: FACES["pulid_v1.1"][0], _true_face, lambda: pulid_v1_1(_tiny_widths("SDXL"), 96),
           face_features, adapter="PuLID"),
    Family("FLUX", "FLUX", lambda: TRANSFORMERS["PuLID FLUX"][0], _true_face, lambda: pulid_flux(2, 256), face_features, 1,
           "PuLID"),
)  # fmt: skip


class World(NamedTuple):
    """A model without an adapter, an adapter for it, and a reference."""

    family: Family
    model: ModelPatcher
    adapter: ManagedAdapter
    prompt: ImagePrompt
    features: FeaturesOf
    latent: tuple[int, ...]

    def applied(self, strength: Strength | None = None, mask: Tensor | None = None, seed: int = 8) -> ModelPatcher:
        """The model with the adapter, through Apply IP-Adapter's own function."""
        prompt = self.prompt if seed == 8 else _prompt(self.adapter, self.features, seed)
        return apply_image_prompt(self.model, self.adapter, prompt, strength or Strength(), mask)


def dtype_of(family: Family, setup: Setup) -> torch.dtype:
    """As users load it: transformers in bf16, UNets in fp16."""
    return setup.half if family.model in ("SD1.5", "SDXL") else torch.bfloat16


def world(family: Family, setup: Setup, model: ModelPatcher | None = None) -> World:
    """A family on the setup's device, in the dtype that users load it in; with a `model`, around that one."""
    if model is None:
        model = network(family, setup, dtype_of(family, setup))
        torch.manual_seed(1)
        fill(model.model.diffusion_model)
    shapes = family.tiny_shapes() if setup.tiny else family.true_shapes()
    weights = dit.weights_of(shapes) if setup.tiny else _clear(filled(shapes, torch.float16))
    weights = {key: tensor * 0.2 if key.startswith("lora") else tensor for key, tensor in weights.items()}
    adapter = adapter_from_weights(weights, f"{family.name}.safetensors")
    features = family.tiny_features if setup.tiny else family.true_features
    latent = _tiny_latent(family) if setup.tiny else TRUE_LATENT.get(family.model, (16, 128, 128))
    return World(family, model, adapter, _prompt(adapter, features, 8), features, latent)


def _clear(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Noise of a size that gives an adapter a clear effect: matrices keep lengths, norms are near one."""
    found = {}
    for key, tensor in weights.items():
        matrix = tensor.ndim > 1
        scaled = tensor * (tensor.shape[-1] ** -0.5 / NOISE if matrix else 1.0)
        found[key] = scaled + 1.0 if tensor.ndim == 1 and key.endswith("weight") else scaled
    return found


def network(
    family: Family, setup: Setup, dtype: torch.dtype, cast: torch.dtype | None = None, **changes: Any
) -> ModelPatcher:
    """A patcher over ComfyUI's own class with room for weights; with `cast` they are cast to that dtype at each use.

    `changes` make it another size.
    """
    table = {**tiny.UNETS, **dit.MODELS} if setup.tiny else MODELS
    kind, sizes = table[family.miniature if setup.tiny else family.model]
    config = kind(sizes | changes)
    config.unet_config |= sizes | changes
    config.set_inference_dtype(dtype, cast)
    model = config.get_model({}, "", device=setup.device).eval().requires_grad_(False)
    return ModelPatcher(model, load_device=setup.device, offload_device=setup.device)


def same_weights(given: World, setup: Setup, dtype: torch.dtype, cast: torch.dtype | None = None) -> World:
    """The same model in another dtype, on the same device."""
    model = network(given.family, setup, dtype, cast)
    own = dict(given.model.model.diffusion_model.named_parameters())
    own |= dict(given.model.model.diffusion_model.named_buffers())
    with torch.no_grad():
        for name, tensor in (
            *model.model.diffusion_model.named_parameters(),
            *model.model.diffusion_model.named_buffers(),
        ):
            tensor.copy_(own[name])
    return given._replace(model=model)


def _prompt(adapter: ManagedAdapter, features: FeaturesOf, seed: int) -> ImagePrompt:
    image = features(seed) if callable(features) else dit.noise(1, *features, seed=seed)
    return dit.prompt_for(adapter, image)


def _tiny_latent(family: Family) -> tuple[int, ...]:
    return (16, 1, 16, 16) if family.model == "Anima" else (4, 16, 16)


def sample(given: World, model: ModelPatcher, steps: int = 1, look: Callable[..., None] | None = None) -> Tensor:
    """Latents by ComfyUI's own sampler, from the same noise and text at every call; `look` is called in every step."""
    noise = dit.noise(1, *given.latent, seed=5)
    cfg = 1.0 if given.family.passes == 1 else 4.0
    texts = [conditioning(given, seed) for seed in (6, 7)]
    options = {"seed": 1, "disable_pbar": True, "callback": look}
    return comfy.sample.sample(model, noise, steps, cfg, "euler", "simple", *texts, torch.zeros_like(noise), **options)


def conditioning(given: World, seed: int) -> list:
    """A text of noise, of the family's length and widths."""
    sizes = given.model.model.model_config.unet_config
    context = sizes.get("context_dim") or sizes.get("context_in_dim") or sizes.get("crossattn_emb_channels")
    context = context or sizes["context_embedder_config"]["params"]["in_features"]
    length = 512 if given.family.model in ("FLUX", "Anima") and given.latent[-1] > 16 else 77
    pooled = 1280 if given.family.model == "SDXL" else sizes.get("vec_in_dim") or sizes.get("adm_in_channels") or 1280
    extra = {"pooled_output": dit.noise(1, pooled, seed=seed), "guidance": 3.5}
    return [[dit.noise(1, length, context, seed=seed), extra]]
