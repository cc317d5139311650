"""The LoRA inside a FaceID file: merged weights in diffusers' order, published naming, strength, and doubled use."""

import pytest
import torch
from pack.ipadapter_core.errors import ModelMismatchError
from pack.ipadapter_core.patchers.faceid_lora import apply_lora, attention_names, named_lora
from pack.tests.oracles.diffusers import fresh, relative, run_ours, run_theirs, some_call, twins
from pack.tools.miniature.faces import loaded, weights_of
from pack.tools.miniature.models import widths_of

import comfy.lora
from comfy.utils import unet_to_diffusers

pytestmark = pytest.mark.faces

STRENGTH = 0.6


def processors(unet):
    """diffusers' attention modules in the order of its processors, which is the numbering of the file."""
    return [unet.get_submodule(name.removesuffix(".processor")) for name in unet.attn_processors]


def merged(pair, weights, strength):
    """diffusers' UNet with W + strength * up @ down; returns the weights as they were."""
    before = {}
    for number, attention in enumerate(processors(pair.theirs)):
        parts = {"q": attention.to_q, "k": attention.to_k, "v": attention.to_v, "out": attention.to_out[0]}
        for part, layer in parts.items():
            name = f"ip_adapter.{number}.to_{part}_lora"
            before[layer] = layer.weight.data.clone()
            delta = weights[f"{name}.up.weight"].double() @ weights[f"{name}.down.weight"].double()
            layer.weight.data = (layer.weight.data.double() + strength * delta).to(layer.weight.dtype)
    return before


@pytest.mark.parametrize("base", ["SD1.5", "SDXL"])
def test_patched_weights_equal_merged_weights(base, tmp_path, capsys):
    """Each of q, k, v and out of attn1 and attn2, in every block; the model that went in is as it was."""
    pair = twins(base)
    fresh(pair)
    weights = weights_of("FaceID", widths_of(pair.ours), 96, lora=True)
    call = some_call(base, 2)
    plain_theirs, plain_ours = run_theirs(pair, call), run_ours(pair, call)
    before = merged(pair, weights, STRENGTH)
    theirs = run_theirs(pair, call)
    for layer, weight in before.items():
        layer.weight.data = weight

    patched, report = apply_lora(pair.ours, loaded(weights, tmp_path), STRENGTH)
    assert not pair.ours.patches
    patched.patch_model(torch.device("cpu"))
    ours = run_ours(pair, call)
    patched.unpatch_model(torch.device("cpu"))
    effect = theirs - plain_theirs
    error = relative(ours - theirs, effect)
    with capsys.disabled():
        print(f"\n  LoRA {base:5} effect {relative(effect, plain_theirs):.2f}  error {error:.1e}")
    assert relative(effect, plain_theirs) > 0.05
    assert error <= 5e-6
    assert torch.equal(run_ours(pair, call), plain_ours)
    assert f"{8 * len(widths_of(pair.ours))} weights at 0.6" in report


def named_by_diffusers(pair, weights):
    """The LoRA of the file as diffusers itself takes it out: names and order from its own loader of face adapters."""
    inside = {
        key.removeprefix("ip_adapter."): tensor for key, tensor in weights.items() if key.startswith("ip_adapter.")
    }
    (lora,) = pair.theirs._load_ip_adapter_loras([{"ip_adapter": inside}]).values()
    return lora


def named_by_kohya(pair, weights):
    """The same under the names of kohya's trainer, which ComfyUI derives from diffusers' module names."""
    lora = {}
    for number, name in enumerate(pair.theirs.attn_processors):
        attention = name.removesuffix(".processor").replace(".", "_")
        for part in ("q", "k", "v", "out"):
            module = f"lora_unet_{attention}_to_{part}" + ("_0" if part == "out" else "")
            for way in ("down", "up"):
                lora[f"{module}.lora_{way}.weight"] = weights[f"ip_adapter.{number}.to_{part}_lora.{way}.weight"]
    return lora


@pytest.mark.parametrize("naming", [named_by_diffusers, named_by_kohya])
@pytest.mark.parametrize("base", ["SD1.5", "SDXL"])
def test_the_separate_file_means_the_same_weights(base, naming, tmp_path):
    """ComfyUI's own loader puts either naming on the very keys, with the very tensors, that we take from the file.

    Sources: diffusers 0.42.1, loaders/unet.py, `_load_ip_adapter_loras`; ComfyUI 0.30.0, comfy/lora.py,
    `model_lora_keys_unet`, which knows both.
    """
    pair = twins(base)
    weights = weights_of("FaceID", widths_of(pair.ours), 96, lora=True)
    keys = comfy.lora.model_lora_keys_unet(pair.ours.model, {})
    published = comfy.lora.load_lora(naming(pair, weights), keys)
    ours = comfy.lora.load_lora(*named_lora(weights, attention_names(pair.ours.model.diffusion_model)))
    assert set(unet_to_diffusers(pair.ours.model.model_config.unet_config).values())
    assert published.keys() == ours.keys()
    assert len(ours) == 8 * len(widths_of(pair.ours))
    for key, patch in ours.items():
        assert all(
            one is None and other is None or torch.equal(one, other)
            for one, other in zip(patch.weights[:2], published[key].weights[:2], strict=True)
        )


def test_both_ways_at_once_are_noticed(tmp_path):
    """A separate file, and our own node twice."""
    pair = twins("SD1.5")
    weights = weights_of("FaceID", widths_of(pair.ours), 96, lora=True)
    adapter = loaded(weights, tmp_path)
    separate = pair.ours.clone()
    half = {key: tensor.half() for key, tensor in named_by_kohya(pair, weights).items()}
    separate.add_patches(comfy.lora.load_lora(half, comfy.lora.model_lora_keys_unet(separate.model, {})), 0.5)
    once = apply_lora(pair.ours, adapter, 1.0)
    assert "already" not in once.report
    assert "carries the same LoRA already, at 0.5" in apply_lora(separate, adapter, 1.0).report
    assert "carries the same LoRA already, at 1" in apply_lora(once.model, adapter, 1.0).report
    other = loaded(weights_of("FaceID", widths_of(pair.ours), 96, seed=7, lora=True), tmp_path, "other.safetensors")
    assert "already" not in apply_lora(once.model, other, 1.0).report


def test_no_lora_and_wrong_model_are_said(tmp_path):
    """Files without one, and a model of another family."""
    pair = twins("SD1.5")
    plain = loaded(weights_of("Portrait", widths_of(pair.ours), 96), tmp_path, "portrait.safetensors")
    with pytest.raises(ModelMismatchError, match="portrait.safetensors .* holds no LoRA"):
        apply_lora(pair.ours, plain, 1.0)
    for_sdxl = loaded(weights_of("FaceID", widths_of(twins("SDXL").ours), 96, lora=True), tmp_path, "xl.safetensors")
    with pytest.raises(ModelMismatchError, match="70 cross-attention layers"):
        apply_lora(pair.ours, for_sdxl, 1.0)
