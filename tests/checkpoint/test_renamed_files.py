"""Published files under other names than their first: the same adapter, tensor for tensor, and the same image."""

import pytest
import torch
from diffusers.models.embeddings import IPAdapterTimeImageProjection
from pack.ipadapter_core.adapter.load import load_adapter
from pack.ipadapter_core.adapter.network import Adapter
from pack.ipadapter_core.checkpoint.detect import detect
from pack.ipadapter_core.checkpoint.key_names import canonical_names
from pack.ipadapter_core.checkpoint.spec import BaseModel, Feature, Negative
from pack.ipadapter_core.errors import CheckpointError
from pack.ipadapter_core.patchers.faceid_lora import apply_lora
from pack.ipadapter_core.presets.identify import FileKind, identify
from pack.tests.oracles.diffusers import relative, run_ours, run_theirs, some_call, twins
from pack.tools.miniature.faces import lora_shapes
from pack.tools.miniature.models import adapter_weights, widths_of
from pack.tools.miniature.published_faces import PUBLISHED
from pack.tools.miniature.transformers import instantx_sd3, noise, weights_of
from safetensors.torch import save_file

pytestmark = pytest.mark.adapters

SD3 = instantx_sd3(3, 192)


def by_diffusers() -> dict[str, torch.Tensor]:
    """The file that SD.Next loads: the projector under the names of diffusers' own class, the layers as they were."""
    module = IPAdapterTimeImageProjection(
        embed_dim=48, output_dim=192, hidden_dim=128, heads=2, num_queries=5, timestep_in_dim=32
    )
    shapes = {f"image_proj.{key}": tuple(one.shape) for key, one in module.state_dict().items()}
    return weights_of(shapes | {key: shape for key, shape in SD3.items() if key.startswith("ip_adapter.")})


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 5e-6), (torch.float64, 1e-12)])
def test_sd35_in_diffusers_names_makes_diffusers_tokens(dtype, limit, tmp_path, monkeypatch, capsys):
    """Every name of diffusers' class has its place, and the tokens are those that diffusers makes.

    In float64 diffusers is kept from rounding its softmax to float32, so what is left is whether the formula is the same.
    """
    weights = by_diffusers()
    save_file(weights, tmp_path / "ip-adapter_diffusers.safetensors")
    adapter = load_adapter(str(tmp_path / "ip-adapter_diffusers.safetensors"))
    assert adapter.spec.base is BaseModel.SD35_LARGE
    assert {key: tuple(one.shape) for key, one in adapter.network.state_dict().items()} == SD3
    theirs = IPAdapterTimeImageProjection(
        embed_dim=48, output_dim=192, hidden_dim=128, heads=2, num_queries=5, timestep_in_dim=32
    )
    theirs.load_state_dict(
        {key.removeprefix("image_proj."): one for key, one in weights.items() if key.startswith("image_proj.")}
    )
    theirs, ours = theirs.to(dtype), adapter.network.image_proj.to(dtype)
    if dtype is torch.float64:
        monkeypatch.setattr(torch.Tensor, "float", lambda one: one)
    features, timestep = noise(2, 9, 48).to(dtype), torch.tensor([600.0])
    with torch.no_grad():
        wanted, embedding = theirs(features, timestep)
        got, time = ours(features, timestep)
    monkeypatch.undo()
    errors = relative(got - wanted, wanted), relative(time - embedding, embedding)
    with capsys.disabled():
        print(f"\n  SD3.5's projector in {dtype}: tokens {errors[0]:.1e}, time {errors[1]:.1e}")
    assert got.dtype is dtype and max(errors) <= limit


def animator(widths: list[int], context: int, wrapper: str = "module.") -> dict[str, torch.Tensor]:
    """A plus adapter under ID-Animator's names, with its LoRA on cross-attention alone."""
    named = {}
    for key, one in adapter_weights("plus", widths, context).items():
        key = key.replace("image_proj.", "image_proj_model.").replace("ip_adapter.", "adapter_modules.")
        named[f"{wrapper}{key.replace('_ip.', '_face.')}"] = one
    shapes = {
        key: shape for index, width in enumerate(widths) for key, shape in lora_shapes(index, width, context).items()
    }
    cross = {
        key.replace("ip_adapter.", "adapter_modules."): shape
        for key, shape in shapes.items()
        if int(key.split(".")[1]) % 2
    }
    return named | {f"{wrapper}{key}": one for key, one in weights_of(cross, 3).items()}


@pytest.mark.parametrize("wrapper", ["module.", ""])
def test_id_animator_is_a_plus_adapter_with_a_lora(wrapper, tmp_path):
    """As its checkpoint has it, below state_dict; its tensors are those of a plus adapter."""
    widths = [32, 64]
    path = tmp_path / "animator.ckpt"
    torch.save({"state_dict": animator(widths, 96, wrapper)}, path)
    adapter, plain = load_adapter(str(path)), adapter_weights("plus", widths, 96)
    own = adapter.network.state_dict()
    assert own.keys() == plain.keys() and all(torch.equal(own[key], plain[key]) for key in plain)
    assert (adapter.spec.lora_rank, str(adapter.spec.format)) == (4, "plus")
    assert identify(path).kind is FileKind.ADAPTER


def test_id_animators_published_sizes():
    """Resampler and layers of SD1.5's plus adapter, a LoRA of rank 128, ViT-H with zero pixels as its negative."""
    shapes, *_ = PUBLISHED["id_animator"]
    spec = detect({new: shapes[old] for old, new in canonical_names(shapes).items()}, "animator.ckpt")
    assert (spec.base, spec.lora_rank, spec.projector.tokens) == (BaseModel.SD15, 128, 16)
    assert (spec.projector.feature, spec.projector.negative) == (Feature.HIDDEN, Negative.ZERO_PIXELS)
    Adapter(spec, torch.nn, device="meta")


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 5e-6), (torch.float64, 1e-6)])
def test_id_animators_lora_is_on_cross_attention_alone(dtype, limit, tmp_path, capsys):
    """W + strength * up @ down in q, k, v and out of each attn2; self-attention stays."""
    pair = twins("SD1.5", dtype)
    weights = animator(widths_of(pair.ours), 96)
    torch.save({"state_dict": weights}, tmp_path / "animator.ckpt")
    call = some_call("SD1.5", 2, dtype)
    plain = run_theirs(pair, call)
    before = {}
    for number, name in enumerate(pair.theirs.attn_processors):
        attention = pair.theirs.get_submodule(name.removesuffix(".processor"))
        for part, layer in (
            ("q", attention.to_q),
            ("k", attention.to_k),
            ("v", attention.to_v),
            ("out", attention.to_out[0]),
        ):
            lora = f"module.adapter_modules.{number}.to_{part}_lora"
            if f"{lora}.up.weight" in weights:
                before[layer] = layer.weight.data.clone()
                delta = weights[f"{lora}.up.weight"].double() @ weights[f"{lora}.down.weight"].double()
                layer.weight.data = (layer.weight.data.double() + 0.6 * delta).to(dtype)
    wanted = run_theirs(pair, call)
    for layer, weight in before.items():
        layer.weight.data = weight
    patched, report = apply_lora(pair.ours, load_adapter(str(tmp_path / "animator.ckpt")), 0.6)
    patched.patch_model(torch.device("cpu"))
    ours = run_ours(pair, call)
    patched.unpatch_model(torch.device("cpu"))
    assert len(before) == 4 * len(widths_of(pair.ours)) and f"{len(before)} weights at 0.6" in report
    assert relative(wanted - plain, plain) > 0.02
    error = relative(ours - wanted, wanted - plain)
    with capsys.disabled():
        print(f"\n  ID-Animator's LoRA in {dtype}: error {error:.1e}")
    assert error <= limit


def test_half_a_lora_is_refused(tmp_path):
    """Neither all attention layers nor all cross-attention layers."""
    weights = animator([32, 64], 96)
    del weights["module.adapter_modules.3.to_q_lora.up.weight"]
    torch.save({"state_dict": weights}, tmp_path / "animator.ckpt")
    with pytest.raises(CheckpointError, match="LoRA keys ip_adapter.3.to_q_lora.up.weight are missing"):
        load_adapter(str(tmp_path / "animator.ckpt"))
