"""On quantised weights, as other packs and ComfyUI have them, an adapter does what it does on plain ones."""

import pytest
import torch
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles.transformer_world import CASES, world
from pack.tools.miniature.transformers import noise, predict, relative, some_call, tiny_transformer
from torch.nn.functional import linear

import comfy.lora
import comfy.sd

pytestmark = pytest.mark.dit

LIMIT = 5e-6

# a LoRA on quantised weights, as LuciferTC's adapter brings one, is rounded with them by ComfyUI
WITHOUT_LORA = pytest.mark.parametrize("case", [case for case in CASES if case != "Anima LuciferTC"])


def patched(case, model, weight=1.0):
    """The model with the case's adapter."""
    return apply_image_prompt(model, world(case)[2], world(case)[3], Strength(weight))


class Packed(torch.nn.Module):
    """A linear layer as GGUF packs make it: bytes of another shape in `weight`, turned into numbers at each call."""

    def __init__(self, layer):
        super().__init__()
        self.scale = layer.weight.abs().max() / 127
        packed = (layer.weight / self.scale).round().to(torch.int8)
        self.rows, self.weight = len(packed), torch.nn.Parameter(packed.flatten(), requires_grad=False)
        self.bias = layer.bias

    def forward(self, x):
        return linear(x, self.weight.view(self.rows, -1).to(x) * self.scale.to(x), self.bias)


def replaced(network, change):
    """Every linear layer of the blocks exchanged for what `change` makes of it."""
    for name, layer in list(network.named_modules()):
        if isinstance(layer, torch.nn.Linear) and "block" in name:
            parent, _, own = name.rpartition(".")
            setattr(network.get_submodule(parent), own, change(layer))


def rounded(layer):
    """The same layer with the numbers that the packed one stands for."""
    with torch.no_grad():
        scale = layer.weight.abs().max() / 127
        layer.weight.copy_((layer.weight / scale).round() * scale)
    return layer


def compared(case, one, other, call=None):
    """The adapter on two models that are to compute the same: their results agree, and the adapter acts."""
    call = call or some_call(world(case)[0])
    found, wanted, plain = predict(patched(case, one), call), predict(patched(case, other), call), predict(other, call)
    assert relative(found - wanted, wanted - plain) < 2e-5
    assert relative(wanted - plain, plain) > 0.02


@WITHOUT_LORA
def test_dit_on_packed_weights(case):
    """As GGUF: no layer's `weight` has its shape."""
    packed, plain = tiny_transformer(world(case)[0]), tiny_transformer(world(case)[0])
    replaced(packed.model.diffusion_model, Packed)
    replaced(plain.model.diffusion_model, rounded)
    compared(case, packed, plain)


@WITHOUT_LORA
def test_dit_on_float8_weights(case):
    """ComfyUI casts them at each use; the same as their values in float32."""
    name = world(case)[0]
    small = tiny_transformer(name, dtype=torch.float8_e4m3fn, cast=torch.float32)
    plain = tiny_transformer(name)
    with torch.no_grad():
        own, values = small.model.diffusion_model.state_dict(), plain.model.diffusion_model.state_dict()
        assert any(tensor.dtype is torch.float8_e4m3fn for tensor in own.values())
        for key, tensor in own.items():
            tensor.copy_(values[key])
            values[key].copy_(tensor.float())
    compared(case, small, plain)


def scaled(weights):
    """A diffusion model's file with scaled float8 in its blocks, as ComfyUI writes it, and the values that it stands for."""
    file, values = {}, {}
    mark = torch.tensor(list(b'{"format": "float8_e4m3fn"}'), dtype=torch.uint8)
    for key, tensor in weights.items():
        file[key] = values[key] = tensor.clone()
        if tensor.ndim == 2 and "blocks." in key and key.endswith("weight"):
            scale = tensor.abs().max() / 448
            file[key] = (tensor / scale).to(torch.float8_e4m3fn)
            values[key] = file[key].float() * scale
            name = key.removesuffix(".weight")
            file |= {f"{name}.weight_scale": scale, f"{name}.comfy_quant": mark.clone()}
    return file, values


@pytest.mark.parametrize("case", ["FLUX XLabs", "FLUX InstantX", "FLUX InstantCharacter", "SD3.5 InstantX"])
def test_dit_on_scaled_float8_through_the_stock_loader(case):
    """ComfyUI recognises the file and keeps its tensors quantised; the adapter computes what it does on their values."""
    name = world(case)[0]
    weights = tiny_transformer(name, in_channels=16, out_channels=16).model.diffusion_model.state_dict()
    file, values = scaled(weights)
    options = {"dtype": torch.float32}
    quantised = comfy.sd.load_diffusion_model_state_dict(file, model_options=dict(options))
    plain = comfy.sd.load_diffusion_model_state_dict(values, model_options=dict(options))
    layers = [type(layer.weight) for layer in quantised.model.diffusion_model.modules() if hasattr(layer, "weight")]
    assert any("Quantized" in kind.__name__ for kind in layers)
    compared(case, quantised, plain, some_call(name)._replace(latent=noise(2, 16, 8, 6)))
