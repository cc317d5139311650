"""float8 weights with scales of their own, as ComfyUI's mixed-precision operations keep them: the adapter acts as before."""

import torch
from torch import Tensor

import comfy.sd

from ..bench.steps import fill
from .laws import FLOAT8
from .setup import Setup, relative
from .world import FAMILIES, dtype_of, network, sample, world

FAMILY = "SD3.5 Large"
LARGEST = 448.0  # in float8_e4m3fn
DETECTED = {"in_channels": 16, "out_channels": 16}  # what ComfyUI tells SD3.5 by; the miniature has four


def quantised_weights_work(setup: Setup) -> None:
    """One step with and without the adapter, through ComfyUI's own loader, beside the same step on the weights themselves."""
    family = next(family for family in FAMILIES if family.name == FAMILY)
    model = network(family, setup, dtype_of(family, setup), **(DETECTED if setup.tiny else {}))
    torch.manual_seed(1)
    fill(model.model.diffusion_model)
    given = world(family, setup, model)
    given = given._replace(latent=(DETECTED["in_channels"], *given.latent[1:]))
    file = scaled(dict(model.model.diffusion_model.state_dict()))
    small = given._replace(model=comfy.sd.load_diffusion_model_state_dict(file))
    kinds = {
        type(layer.weight).__name__ for layer in small.model.model.diffusion_model.modules() if hasattr(layer, "weight")
    }
    setup.holds("laws", f"{FAMILY}: ComfyUI keeps the weights quantised", "QuantizedTensor" in kinds)
    effect = sample(given, given.applied()) - sample(given, given.model)
    own = sample(small, small.applied()) - sample(small, small.model)
    setup.holds("laws", f"{FAMILY}, scaled float8: the effect is finite", bool(torch.isfinite(own).all()))
    apart = relative(own - effect, effect)
    setup.at_most("laws", f"{FAMILY}, scaled float8: the effect beside that on the weights themselves", apart, FLOAT8)


def scaled(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """A diffusion model's file with scaled float8 in the matrices of its blocks, in ComfyUI's layout."""
    file = dict(weights)
    for key, tensor in weights.items():
        if tensor.ndim == 2 and "blocks." in key and key.endswith("weight"):
            scale = tensor.abs().max().float() / LARGEST
            name = key.removesuffix(".weight")
            file[key] = (tensor.float() / scale).to(torch.float8_e4m3fn)
            mark = torch.tensor(list(b'{"format": "float8_e4m3fn"}'), dtype=torch.uint8)
            file |= {f"{name}.weight_scale": scale, f"{name}.comfy_quant": mark}
    return file
