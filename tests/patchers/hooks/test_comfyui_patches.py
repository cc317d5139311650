"""ComfyUI's own patches on the same model: each pass is the bare UNet's under theirs, plus our part."""

from typing import NamedTuple

import pytest
import torch
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles.control_net import control_net
from pack.tests.oracles.recorded_passes import (
    Recorder,
    alone,
    error,
    naive_hooks,
    patched,
    picture,
    sample,
    short_adapter,
    short_model,
    text,
)

import comfy.cldm.cldm
import comfy.controlnet
import comfy.lora
import comfy.sd
from comfy_extras.nodes_freelunch import FreeU, FreeU_V2
from comfy_extras.nodes_hypertile import HyperTile
from comfy_extras.nodes_model_downscale import PatchModelAddDownscale
from comfy_extras.nodes_tomesd import TomePatchModel
from nodes import ControlNetApplyAdvanced

pytestmark = pytest.mark.engine

PICTURE = picture(2)
BOUND = 3e-6


class World(NamedTuple):
    """A bare model and an adapter for it."""

    model: object
    adapter: object


@pytest.fixture
def world():
    model = short_model()
    return World(model, short_adapter(model))


def free_u(model):
    return FreeU.execute(model, 1.3, 1.4, 0.9, 0.2)[0]


def free_u_2(model):
    return FreeU_V2.execute(model, 1.3, 1.4, 0.9, 0.2)[0]


def hyper_tile(model):
    return HyperTile.execute(model, 32, 1, 0, False)[0]


def deep_shrink(model):
    return PatchModelAddDownscale.execute(model, 1, 2.0, 0.0, 1.0, True, "bicubic", "bicubic")[0]


def tome(model):
    return TomePatchModel.execute(model, 0.4)[0]


def lora(model):
    weights = {}
    keys = comfy.lora.model_lora_keys_unet(model.model)
    for seed, name in enumerate(
        sorted(key for key in keys if key.endswith("attn2.to_q") and key.startswith("diffusion_model"))
    ):
        target = model.model.get_parameter(f"{name}.weight")
        generator = torch.Generator().manual_seed(seed)
        weights[f"{name}.lora_up.weight"] = torch.randn(target.shape[0], 2, generator=generator) * 0.1
        weights[f"{name}.lora_down.weight"] = torch.randn(2, target.shape[1], generator=generator) * 0.1
    assert weights
    return comfy.sd.load_lora_for_models(model, None, weights, 1.0, 0.0)[0]


NEIGHBOURS = [free_u, free_u_2, hyper_tile, deep_shrink, tome, lora]


@pytest.mark.parametrize("neighbour", NEIGHBOURS)
@pytest.mark.parametrize("first", ["theirs", "ours"])
def test_neighbour(world, neighbour, first):
    """Each pass equals the reference under their patches; weight 0 is their image to the bit."""
    if first == "theirs":
        model = patched(neighbour(world.model), world.adapter, PICTURE)
    else:
        model = neighbour(patched(world.model, world.adapter, PICTURE))
    recorder = Recorder(model)
    torch.manual_seed(0)
    result = sample(recorder.model, steps=1)
    patches = dict(model.model_options["transformer_options"]["patches"])
    for place, features in enumerate((PICTURE.negative, PICTURE.features)):
        one = recorder.passes[place]
        torch.manual_seed(0)
        sigmas = world.model.model.model_sampling.sigma(one.timestep)
        options = {"patches": patches, "sigmas": sigmas}
        expected = alone(world.model, one, naive_hooks(world.model, world.adapter, features), **options)
        assert error(one.output, expected) < BOUND
    torch.manual_seed(0)
    without = sample(neighbour(world.model), steps=1)
    torch.manual_seed(0)
    silent = sample(patched(neighbour(world.model), world.adapter, PICTURE, Strength(0.0)), steps=1)
    assert result.isfinite().all() and not torch.allclose(result, without)
    assert torch.equal(silent, without)
    assert not torch.allclose(without, sample(world.model, steps=1))


def test_control_net(world):
    """Its residuals and our part act together, and it never sees our patches itself."""
    hint = torch.rand(1, 128, 128, 3, generator=torch.Generator().manual_seed(8))
    conds = ControlNetApplyAdvanced().apply_controlnet(text(0), text(1), control_net(), hint, 0.6, 0.0, 1.0)
    plain = Recorder(world.model)
    without = sample(plain.model, steps=1, conds=conds)
    recorder = Recorder(patched(world.model, world.adapter, PICTURE))
    result = sample(recorder.model, steps=1, conds=conds)
    assert [one.control for one in recorder.passes] and all(one.control for one in recorder.passes)
    for one, bare, features in zip(recorder.passes, plain.passes, (PICTURE.negative, PICTURE.features), strict=True):
        for name, tensors in one.control.items():
            assert all(torch.equal(a, b) for a, b in zip(tensors, bare.control[name], strict=True) if a is not None)
        expected = alone(world.model, one, naive_hooks(world.model, world.adapter, features))
        assert error(one.output, expected) < BOUND
    silent = patched(world.model, world.adapter, PICTURE, Strength(0.0))
    assert torch.equal(sample(silent, steps=1, conds=conds), without)
    assert not torch.allclose(result, without)
